"""Floor 8: the typed client; the same verbs whether a node runs or not.

`client`    synchronous, for programs and the command line
`embedded`  opens the store itself and runs the whole peer in this process
"""
