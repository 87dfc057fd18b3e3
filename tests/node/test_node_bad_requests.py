"""Goal: what a user asks wrongly is refused before anything is written, and harms no node."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from node_processes import Process

from hive.client.client import Client, connect
from hive.errors import ConfigError, DeltaTooLarge, HiveError
from hive.node.home import Home, initialise


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("laptop") / "home"
    initialise(path, listen="127.0.0.1:0")
    with connect(path) as client:
        yield client


BAD_REQUESTS: list[tuple[str, dict[str, Any], type[HiveError]]] = [
    ("remember", {"text": "x" * 10 * 1024 * 1024}, DeltaTooLarge),
    ("remember", {"text": ""}, ConfigError),
    ("remember", {"text": " \n\t"}, ConfigError),
    ("remember", {"text": "\ud800"}, ConfigError),
    ("remember", {"text": 5}, ConfigError),
    ("remember", {"text": None}, ConfigError),
    ("remember", {}, ConfigError),
    ("remember", {"text": "a", "colour": "red"}, ConfigError),
    ("remember", {"text": "a", "namespace": "Home"}, ConfigError),
    ("remember", {"text": "a", "namespace": "../etc"}, ConfigError),
    ("remember", {"text": "a", "namespace": "a/" * 20}, ConfigError),
    ("remember", {"text": "a", "agent": "nobody"}, HiveError),
    ("remember", {"text": "a", "tags": "red"}, ConfigError),
    ("remember", {"text": "a", "tags": ["t"] * 10_000}, DeltaTooLarge),
    ("remember", {"text": "a", "tags": ["t" * 100_000]}, HiveError),
    ("remember", {"text": "a", "source": "s" * 100_000}, DeltaTooLarge),
    ("remember", {"text": "a", "parents": ["beefbeef"]}, HiveError),
    ("remember", {"text": "a", "valid_from_ms": -1}, HiveError),
    ("remember", {"text": "a", "valid_from_ms": 2**70}, HiveError),
    ("remember", {"text": "a", "valid_from_ms": True}, ConfigError),
    ("remember_many", {"items": [5]}, ConfigError),
    ("remember_many", {"items": [{}]}, ConfigError),
    ("remember_many", {"items": [{"text": "a"}, {"text": ["a"]}]}, ConfigError),
    ("remember_many", {"items": [{"text": "a"}, {"text": ""}]}, ConfigError),
    ("remember_many", {"items": [{"text": "a"}] * 4_097}, DeltaTooLarge),
    ("recall", {"text": "a", "count": 0}, ConfigError),
    ("recall", {"text": "a", "count": "ten"}, ConfigError),
    ("show", {"id": "zz"}, ConfigError),
    ("show", {"id": "zzzzzzzz"}, ConfigError),
    ("show", {"id": "00000000"}, HiveError),
    ("forget", {"ids": [5]}, ConfigError),
    ("forget", {"ids": "00000000"}, ConfigError),
    ("log", {"count": 10**9}, ConfigError),
    ("bundle", {"namespace": "x" * 600}, ConfigError),
    ("bundle", {}, HiveError),
    ("take_bundle", {"bundle": "#"}, ConfigError),
    ("take_bundle", {"bundle": "AAAA"}, HiveError),
    ("invite", {"name": "a", "kind": "king"}, ConfigError),
    ("agent_issue", {"name": "a", "hours": 0}, ConfigError),
    ("agent_issue", {"name": "../../a"}, HiveError),
    ("agent_issue", {"name": "a", "capabilities": [{"prefix": 5}]}, ConfigError),
    ("agent_issue", {"name": "a", "capabilities": [{"actions": 5}]}, ConfigError),
    ("agent_issue", {"name": "a", "capabilities": [{"actions": ["fly"]}]}, ConfigError),
    ("agent_issue", {"name": "a", "capabilities": ["x"]}, ConfigError),
    ("agent_renew", {"name": "nobody"}, HiveError),
    ("rotate", {"name": "nobody"}, HiveError),
    ("revoke", {"name": "me", "reason": "whim"}, ConfigError),
    ("revoke", {"name": "nobody"}, HiveError),
    ("backup", {"path": "/proc/nowhere/backup"}, HiveError),
    ("fly", {}, ConfigError),
]


@pytest.mark.parametrize(("verb", "arguments", "kind"), BAD_REQUESTS)
def test_a_bad_request_is_refused_with_a_hint_before_anything_is_written(
    hive: Client, verb: str, arguments: dict[str, Any], kind: type[HiveError]
) -> None:
    with pytest.raises(kind) as caught:
        hive.call(verb, **arguments)
    assert caught.value.hint
    assert hive.status()["store"]["last_row"] == 0
    assert [agent["name"] for agent in hive.call("agents")["agents"]] == ["me"]


BAD_LINES = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"5",
    b"null",
    b"{}",
    b'{"verb": []}',
    b'{"verb": {"a": 1}}',
    b'{"verb": "remember", "arguments": []}',
    b'{"verb": "remember", "arguments": null}',
    b'{"verb": "remember", "arguments": {"text": "\\ud800"}}',
    b"[" * 100_000,
    b'{"verb": "recall", "arguments": {"text": "a", "count": 1e999}}',
    b'{"verb": "recall", "arguments": {"text": "a", "count": ' + b"9" * 5_000 + b"}}",
]


def test_no_line_on_the_control_socket_harms_the_node(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    process = start(Home(tmp_path / "home"))
    with socket.socket(socket.AF_UNIX) as raw, raw.makefile("rb") as answers:
        raw.connect(str(process.home.socket))
        for line in BAD_LINES:
            raw.sendall(line + b"\n")
            assert json.loads(answers.readline())["error"]["hint"], line[:40]
        raw.sendall(b'{"verb": "remember", "argu')
    with process.client() as client:
        assert client.status()["store"]["last_row"] == 0
        assert client.remember("otters hold hands")["sequence"] == 1
    assert "Traceback" not in process.stderr
