"""Both stores, for the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hive.store.lmdb_store import LmdbStore, LmdbStoreConfig
from hive.store.memory_store import MemoryStore

AnyStore = LmdbStore | MemoryStore


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    made: AnyStore
    if request.param == "memory":
        made = MemoryStore()
    else:
        made = LmdbStore(tmp_path / "store", LmdbStoreConfig(is_durable=False))
    yield made
    made.close()
