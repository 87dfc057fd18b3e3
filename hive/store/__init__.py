"""Floor 6: adapters that keep what peers prove.

Implements the ports of `hive.protocol.ports`; may import everything below it, and
lmdb, hnswlib, tantivy, tokenizers, wordllama, onnx and onnxruntime.

`memory_store`   the contract in dictionaries, and the model for the other
`outlook`        judges a batch for the memory store before it is touched
`lmdb_store`     the store that lasts: opening, configuration, commit
`lmdb_reader`    its questions, each from one snapshot
`writer`         its one thread: group commit and who is told what
`ledger`         the writes of one transaction, log and indexes together
`layout`         tables, keys, values, schema version and migrations
`entries`        how one delta is kept
`paths`          audit paths, kept once a tree
`consistency`    whether every index agrees with the log
`backup`         online copies, and their way back
`lock`           one process to a directory
`integrity`      looks at a file before LMDB maps it
`faults`         disk errors as the family's errors, with hints

`projection`     recall: vectors and words joined, rebuildable from the store
`columns`        the rows of one namespace as columns
`vectors`        vectors, exact while small, a graph above
`graph`          hnswlib with its traps fenced
`words`          terms, exact scores, and tantivy for large holdings
`embedder`       text to vectors in integers
`embedders`      which embedder a setting names, and whether it is installed
`minilm`         text to vectors by a transformer, the extra
`minilm_graph`   its encoder as an ONNX graph of 8-bit weights
`word_pieces`    text to the pieces that it was trained on
`forgotten`      rows forgotten since the last snapshot
`snapshots`      whole files that are old, new or known to be broken
"""
