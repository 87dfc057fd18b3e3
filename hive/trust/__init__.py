"""Floor 2: keys, records, chains, revocation, rotation: who may write what.

Imports errors and wire; the only floor that imports pynacl and `cryptography`. Pure: entropy,
time and bytes are handed in.

`keys`        algorithms, point checks, signing keys, signatures over (label, digest)
`capability`  what may be done where, and the subset rule
`records`     root, org, issuer, node, agent, session, revocation, freshness: shapes and ids
`envelope`    a record as it travels: body, signatures, id
`chain`       verification of a leaf up to the root, in numbered steps
`roots`       the history of roots and how one replaces another
`revocation`  revocations and seals: what stays good
`rotation`    pre-rotation: the next key is committed before it is needed
`sealing`     boxes between two peers, sealed secrets at rest
`tls`         X.509 leaves bound to node records
`invite`      one-time secrets that let a new node in
"""
