"""Shared memory for AI agents of organisations that do not trust each other.

Pure machines decide, adapters act, one node joins them, and imports only point down.
The floors, bottom to top: `errors`, `wire`, `trust`, `memory`, `law`, `protocol`,
`store` | `transport` | `custody`, `node`, `client`; beside them `hive.cli` and
`hive.simulations`. Import from the defining module, never `from hive import …`.
"""
