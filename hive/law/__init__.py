"""Floor 4: the law behind steps 7, 12 and 13; pure. Imports errors, wire, trust and memory.

`epochs`      which policy epochs are in force: one, until the rail exists
`rules`       policy beyond capabilities: none yet, capabilities alone decide
`durability`  what an acknowledgement promises: a local durable write

Each implementation carries the name under which `hive status` shows it.
"""
