"""Goal: a node finds its federation by addresses, by a name, and by the peers of its last run."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from hive.errors import ConfigError
from hive.node.acquaintances import ADDRESSES_PER_NAME_MAX, PEERS_MAX, Acquaintances, parsed
from hive.node.home import Home
from hive.node.logs import Log
from hive.transport.addresses import parse_seed


class Names(trio.abc.HostnameResolver):
    """A name server that knows what a test tells it."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        self.asked.append(name)
        if name == "hangs.example":
            await trio.sleep_forever()
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (a, port)) for a in self.known[name]]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise AssertionError("nobody asks for names of addresses")


@pytest.fixture
def names() -> Names:
    return Names()


def made(folder: Path, *bootstrap: str) -> tuple[Acquaintances, io.StringIO]:
    written = io.StringIO()
    return Acquaintances(Home(folder), bootstrap, Log(written)), written


def gathered(names: Names, acquaintances: Acquaintances, clock: Any = None) -> tuple[Any, ...]:
    async def main() -> tuple[Any, ...]:
        trio.socket.set_custom_hostname_resolver(names)
        return await acquaintances.gather()

    return trio.run(main, clock=clock)


def test_addresses_names_and_remembered_peers_are_all_greeted(tmp_path: Path, names: Names) -> None:
    names.known["seed.example"] = ["192.0.2.1", "2001:db8::1"]
    found, _ = made(tmp_path, "198.51.100.1:7440", "seed.example:7441", "198.51.100.2:1")
    found.remember([("203.0.113.5", 9), ("2001:db8::9", 10)])
    assert gathered(names, found) == (
        ("198.51.100.1", 7440),
        ("192.0.2.1", 7441),
        ("2001:db8::1", 7441),
        ("198.51.100.2", 1),
        ("203.0.113.5", 9),
        ("2001:db8::9", 10),
    )


def test_a_name_is_asked_anew_and_its_last_answer_is_kept(tmp_path: Path, names: Names) -> None:
    found, written = made(tmp_path, "seed.example:1")
    assert gathered(names, found) == ()
    assert json.loads(written.getvalue())["event"] == "name_unresolved"
    names.known["seed.example"] = ["192.0.2.1"]
    assert gathered(names, found) == (("192.0.2.1", 1),)
    names.known["seed.example"] = ["192.0.2.2"]
    assert gathered(names, found) == (("192.0.2.2", 1),)
    del names.known["seed.example"]
    assert gathered(names, found) == (("192.0.2.2", 1),)


def test_a_resolver_that_hangs_delays_nobody_else_for_long(tmp_path: Path, names: Names) -> None:
    names.known["seed.example"] = ["192.0.2.1"]
    found, _ = made(tmp_path, "hangs.example:1", "seed.example:1")
    clock = trio.testing.MockClock(autojump_threshold=0)
    assert gathered(names, found, clock) == (("192.0.2.1", 1),)


def test_what_a_name_resolves_to_is_bounded_and_numeric(tmp_path: Path, names: Names) -> None:
    names.known["seed.example"] = ["evil.example", *(f"192.0.2.{n}" for n in range(99))]
    found, _ = made(tmp_path, "seed.example:1")
    assert len(gathered(names, found)) == ADDRESSES_PER_NAME_MAX
    assert names.asked == ["seed.example"]


def test_the_file_of_peers_is_bounded_and_damage_in_it_stops_nobody(tmp_path: Path) -> None:
    found, _ = made(tmp_path)
    assert found.remembered() == []
    found.remember([(f"192.0.2.{n}", 1) for n in range(99)])
    assert len(found.remembered()) == PEERS_MAX
    found.remember([])
    assert len(found.remembered()) == PEERS_MAX
    (tmp_path / "peers").write_bytes(b"\xff\x00junk\n192.0.2.1:7\nseed.example:1\n" + b"x" * 99_999)
    assert found.remembered() == [("192.0.2.1", 7)]


def test_names_in_the_file_of_peers_are_never_resolved() -> None:
    assert parsed(["seed.example:1", "192.0.2.1:1"]) == [("192.0.2.1", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "seed.example",
        "seed.example:0",
        "seed.example:99999",
        "-x.example:1",
        "1.2.3:4",
        "a..b:1",
        "a" * 64 + ".example:1",
        "seed example:1",
        ":1",
        "",
    ],
)
def test_what_is_neither_address_nor_name_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_seed(text)
    assert caught.value.hint


def test_seeds_are_addresses_or_names() -> None:
    assert parse_seed("Seed.Example.org:7440") == ("seed.example.org", 7440)
    assert parse_seed("localhost:1") == ("localhost", 1)
    assert parse_seed("[::1]:7440") == ("::1", 7440)
