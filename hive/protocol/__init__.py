"""Floor 5: the sans-I/O machines. Imports errors, wire, trust, memory and law.

`peer`             one participant: composes what is below, one door
`peer_config`      every bound of a peer, and what it reads and asks
`neighbours`       the seam between introductions, membership and discovery
`replication`      the seam between dissemination and reconciliation
`membership/`      SWIM: who is alive
`discovery/`       Kademlia: who is where
`dissemination/`   trees: new deltas to all interested members
`reconciliation/`  heads and buckets: what was missed
`introductions`    from an address to an attested contact, and to a stream
`accusations`      fork proofs, verified, kept and told
`recordkeeping`    trust records: admitted, asked for, passed on
`statements`       freshness statements: made and passed on
`authorship`       own authors: drafts become signed deltas
`recollection`     recall: what the asker may read, before anything is ranked
`intake`           flies deltas through ingress
`outcomes`         what intake says became of them
`waiting`          arrivals that wait for a missing piece
`ingress`          steps 0–13: the only way in
`locality`         step 5: where a delta may be
`judgement`        what the steps read and what they can say
`capacity`         what this node can afford: step 0, and quotas
`refusals`         every way to be refused: step, fault, cause, remedy
`pending`          what is decided and not yet durable, laid over the store
`quarantine`       what proven forks exclude
`freshness`        how old this peer's knowledge of revocations may be
`budget`           what peers, organisations and subnets may cost
`quota`            who takes how much of the store
`tolls`            what each frame and answer costs its peer
`stores`           what is on its way to the disk, and what is owed
`core`             what every part of a peer shares
`events`           what the driver tells a peer, and what a peer asks of it
`commands`         what users ask of a peer, and the answers
`messages`         what peers say on streams
`bounded`          bounded memory of what was seen
`machine`          one door: events in, effects out, one deadline
`ports`            what the machines read and whom they ask
"""
