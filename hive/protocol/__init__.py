"""Floor 5: the sans-I/O machines. Imports errors, wire, trust, memory and law.

`machine`          one door: events in, effects out, one deadline
`ports`            what the machines read and whom they ask
`messages`         what peers say to each other
`commands`         what users ask of a peer, and the answers
`ingress`          steps 0–13: the only way in
`membership/`      SWIM: who is alive
`discovery/`       Kademlia: who is where
`dissemination/`   push: new deltas to all interested members
`reconciliation/`  heads and buckets: what was missed
`freshness`        how old this peer's knowledge of revocations may be
`peer`             composes the machines; every seam between two of them is there
"""
