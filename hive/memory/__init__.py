"""Floor 3: namespaces, deltas, author logs, receipts, forks and bundles; pure.

Imports errors, wire and trust.

`namespaces`  the grammar of namespace names
`delta`       the signed header, its proof, and the envelope a delta travels in
`bodies`      what a delta says, kind by kind; erasable beside the header
`authoring`   makes and signs deltas, alone or up to 64 under one signature
`receipt`     what the admitting node vouches for: when, under which law, how fresh
`log`         author logs: heads, continuation, seals and forks
`fork`        two signed deltas at one position: a portable proof
`ranking`     fuses ranked lists
`evidence`    judges deltas by what is in hand, without a store or a network
`bundle`      evidence in one file that anybody verifies offline
"""
