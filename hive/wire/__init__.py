"""Floor 1: bytes and vocabulary. Imports `hive.errors` only.

`codec`       canonical msgpack with typed shapes (the only importer of msgpack)
`schema`      labelled, versioned records declared as dataclasses
`brisk`       constructors of frozen dataclasses at the price of open ones
`ids`         SHA-256 identifiers with type labels
`clock`       monotonic and wall time, the hybrid logical clock
`merkle`      RFC 6962 trees and inclusion proofs
`version`     which protocol versions two sides speak
`framing`     length-prefixed frames
`randomness`  keyed integer streams
"""
