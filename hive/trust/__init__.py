"""Floor 2: keys, records, chains, revocation, rotation: who may write what.

Imports errors and wire; the only floor that imports pynacl and `cryptography`. Pure: entropy,
time and bytes are handed in.

`keys`             algorithms, point checks, signing keys, signatures over (label, digest)
`capability`       what may be done where, and the subset rule
`records`          root, org, issuer, node, agent, session, revocation, freshness: shapes and ids
`envelope`         a record as it travels: body, signatures, id
`verdicts`         what becomes of a record or a position: reasons, values
`links`            what each kind of record rests on: signers, thresholds, lives
`checks`           the single checks of a record, each with one question
`chain`            their order and numbers; the chain of a leaf up to the root
`state`            every admitted record, and what follows from them
`shelf`            what is kept of one organisation, within its bounds
`revocation`       revocations and seals: what stays good
`rotation`         pre-rotation: the next key is committed before it is needed
`roots`            the history of roots, and the ceremonies that sign roots and orgs
`issuing`          builders of signed records, from an org to a session
`laptop`           one person's federation, made at once
`invite`           one-time secrets that let a new node in
`armour`           bytes as text that survives mail, or says what happened to it
`secrets_at_rest`  passphrases, stretched and sealing
`sealing`          boxes between two peers
`tls`              X.509 leaves bound to node records
"""
