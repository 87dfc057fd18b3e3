"""Reconciliation: what push missed is found by comparing, exactly and cheaply.

`config`      every interval and bound
`events`      what goes in and out of the machine
`messages`    what two reconcilers say to each other
`digests`     replica digests: heads, and time buckets in three levels, recomputed lazily
`slices`      long work cut into slices, jobs in turn
`replica`     what one peer may see of this replica
`session`     one exchange with one peer
`heads`       the first step: which ids are held; finds forks
`buckets`     the second step: which time buckets differ
`windows`     the third step: which ids differ in them, by lists or coded symbols
`elements`    what is held in some buckets, as session ids beside full ids
`short_ids`   eight bytes that stand for a delta in one session
`iblt`        a rateless invertible Bloom lookup table over them
`dialogue`    answers a session's messages: heads, buckets, ids
`shelves`     what a peer was found to lack, laid out for it
`fetcher`     asks for what is missing, one bounded ask at a time a peer
`pace`        how large the asks are and how long they rest
`server`      answers such asks within bounds
`reconciler`  the machine: rounds, sessions, timeouts
"""
