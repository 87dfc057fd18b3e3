"""Floor 6: adapters that keep what peers prove.

Implements the ports of `hive.protocol.ports`; may import everything below it and lmdb.

    memory_store   the contract in dictionaries, and the model for the others
    outlook        judges a batch for the memory store before it is touched
    faults         disk errors as the family's errors, with hints
"""
