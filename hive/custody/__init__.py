"""Floor 6: adapters that hold keys. Imports errors, wire and trust; entropy is handed in.

`signer`      the port: what a held key can do, what a keyring can do, and how both fail
`memory`      keys in this process, for simulations and tests
`keyfile`     the format of sealed keys on disk, and the care with which files are touched
`file`        keys sealed by Argon2id in files that nobody else may read, backup and recovery
`passphrase`  where an unattended node gets its passphrase from
`agent`       keys held by ssh-agent
`outside`     which keys stay with an agent outside, and how they are asked for
"""
