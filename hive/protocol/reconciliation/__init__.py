"""Reconciliation: what push missed is found by comparing, exactly and cheaply.

`config`      every interval and bound
`events`      what goes in and out of the machine
`messages`    what two reconcilers say to each other
`digests`     replica digests: heads, and time buckets in two levels, recomputed lazily
`replica`     what one peer may see of this replica
`session`     one exchange with one peer
`heads`       the first step: which ids are held; finds forks
`buckets`     the second step: which states differ
`dialogue`    answers a session's messages: heads first, then buckets
`fetcher`     asks for what is missing, one bounded ask at a time a peer
`server`      answers such asks within bounds
`reconciler`  the machine: rounds, sessions, timeouts
"""
