"""The command line: people and scripts at a terminal; installed as `hive.cli`.

Thin: every command turns into a verb of `hive.client` or a file of a ceremony. Data goes to
stdout, talk to stderr; nothing heavy is imported before it is needed.

`main`       the group `hive`: which commands there are
`command`    what all commands share: help with an example, `--json`, errors and exit codes
`session`    one invocation: home, passphrase, the client, what is printed
`output`     stdout, stderr, hints, tables
`inputs`     arguments checked before anything is written
`progress`   a bar on stderr
`importing`  files cut into memories
`marks`      which memories of a file were taken already
`files`      files that are never overwritten silently
`commands/`  one file a command or noun
`bench/`     figures beside their calibration
"""
