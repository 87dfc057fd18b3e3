"""Kademlia: who is where. A pure machine on the data structures of the `kademlia` package.

Imports errors, wire, the seals of trust and `hive.protocol.machine`; of `kademlia` only `node`,
`routing` and `storage`, which start nothing when imported (`kademlia.routing` does import asyncio
for one call that `table` overrides; its server, protocol, crawler and rpcudp are never imported).

`config`        every bound and period, with presets
`contact`       addresses, pointers and contacts (on `Node`)
`bucket`        one bucket (on `KBucket`): diverse, refreshed, bounded
`table`         buckets, siblings and passers-by (on `RoutingTable`), exact XOR order
`shortlist`     candidates of one lookup path in order of distance (on `NodeHeap`)
`lookup`        one lookup: disjoint paths, alpha without barrier, beta, follow-up
`records`       signed peer and provider records, their keys, what they are judged by
`storage`       the records kept for others (on `IStorage`)
`messages`      what two peers say to each other
`rpc`           exchanges: request ids, adaptive retransmission
`events`        what goes in and comes out
`errand`        a wish under way, and what each of its exchanges is for
`errands`       the asking side: lookups, reads and publications under way
`reading`       records found by a read, verified and put in order
`publications`  own records kept published
`service`       the answering side: finds, reads and stores asked by others
`kademlia`      the machine
`scoped`        the same for an admissible set: restricted namespaces
"""
