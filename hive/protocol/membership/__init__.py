"""SWIM with suspicion, indirect probes and refutation in one cell: who is alive.

A pure machine: it imports errors, wire, and `machine`, `budget` and `bounded` of
this floor only, and reads no clock.

`swim`             the door: routes events to the parts and owns the deadline
`config`           every bound and interval, with presets
`events`           what enters beside the shared events, and the news that leaves
`messages`         what members say to each other, and the statements they sign
`view`             who is known, in which standing, and the digest of that
`cell`             what the parts share: view, queue, budgets, outbox
`judge`            statements: which are news, which hold, what they change
`author`           what this node itself states, signed
`strangers`        peers named but never introduced
`prober`           one probe an interval: ping, retries, helpers, verdict
`relays`           pings made for others, and their nacks
`digest_exchange`  anti-entropy: 32 bytes when two views are equal
`suspicion`        how long a suspicion waits, in integers
`gossip_queue`     which statement is said next, and how often
`health`           Lifeguard's measure of our own slowness
`verifier`         signatures of statements: each root once
`damping`          who dies and returns again and again is not told of
`place`            region, cluster and cell of a peer
`election`         who speaks for a group: rendezvous hashing over live members
`hierarchy`        cells, clusters and regions, and who speaks for whom: the door of all groups
`rings`            the same machine among super-peers, while they are elected
`ring_messages`    what super-peers say to each other beside SWIM
`outlines`         summaries upward: counts, digest and interest of a group
"""
