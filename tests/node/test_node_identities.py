"""Goal: records renew by themselves, keys rotate in a live federation, revocation bites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from node_processes import Process
from node_world import (
    HOUR_MS,
    Living,
    Realm,
    Skew,
    address,
    eventually,
    federation,
    found,
    living,
    run,
    seconds,
    settled,
    until,
)

from hive.client.client import connect
from hive.errors import Refused
from hive.node.enrolment import join
from hive.node.home import Home, initialise
from hive.protocol.discovery.records import PeerRecord, open_untrusted
from hive.trust.keys import verify

REVOCATION_S = 60
SECRET = b"the backup's own passphrase"


async def remember(node: Living, text: str) -> str:
    return str((await node.call("remember", text=text, namespace="commons/notes"))["id"])


async def everywhere(nodes: list[Living], id: str) -> None:
    await until(lambda: all(node.holds(id) for node in nodes), "all hold it")


async def joined(realm: Realm, inviter: Living, name: str) -> Home:
    text = (await inviter.call("invite", name=name, region="us-east"))["invite"]
    home = Home(realm.folder / name)
    await trio.to_thread.run_sync(lambda: join(home.path, text, listen=address()))
    return home


@pytest.mark.parametrize("hours", [13, 25])
def test_a_laptop_renews_its_records_when_it_opens(tmp_path: Path, skew: Skew, hours: int) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    with connect(tmp_path / "home") as hive:
        before = hive.status()["node"]
        hive.remember("before")
    skew.ms = hours * HOUR_MS
    with connect(tmp_path / "home") as hive:
        after = hive.status()["node"]
        assert after["record_ends_ms"] > before["record_ends_ms"]
        assert after["peer"] == before["peer"]
        assert hive.remember("after")["sequence"] == 2


@pytest.mark.parametrize("days", [31, 91, 399, 401, 1_300])
def test_a_laptop_lives_on_when_issuer_org_and_root_have_ended(
    tmp_path: Path, skew: Skew, days: int
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    with connect(tmp_path / "home") as hive:
        before = hive.status()["node"]
        kept = hive.remember("otters hold hands")["id"]
    for sequence, jump in ((2, days), (3, 2 * days)):
        skew.ms = jump * 24 * HOUR_MS
        with connect(tmp_path / "home") as hive:
            assert hive.status()["node"]["peer"] == before["peer"]
            assert hive.remember("after")["sequence"] == sequence
            assert hive.call("show", id=kept)["state"] == "live"
            codes = [each["code"] for each in hive.call("doctor")["findings"]]
            assert not [code for code in codes if code.endswith("_ending")]


def test_a_laptop_stopped_between_a_new_root_and_its_keys_takes_up_both(
    tmp_path: Path, skew: Skew
) -> None:
    """The promotion is undone by putting the key file of before back: a crash leaves just that."""
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    file = tmp_path / "home" / "keys" / "root.key"
    skew.ms = 201 * 24 * HOUR_MS
    with connect(tmp_path / "home"):
        staged = file.read_bytes()
    with connect(tmp_path / "home"):
        assert file.read_bytes() != staged
    file.write_bytes(staged)
    for days in (402, 804):
        skew.ms = days * 24 * HOUR_MS
        with connect(tmp_path / "home") as hive:
            assert hive.remember(f"day {days}")["id"]


def test_a_laptop_that_looks_at_its_clock_again_and_again_renews_once(
    tmp_path: Path, skew: Skew
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")

    async def main() -> None:
        async with living(Home(tmp_path / "home"), is_online=False) as node:
            skew.ms = 401 * 24 * HOUR_MS
            await node.node.renew_what_is_due()
            count = len(list(node.node.store.records()))
            for _ in range(3):
                await node.node.renew_what_is_due()
            assert len(list(node.node.store.records())) == count

    run(main)


@pytest.mark.parametrize("hours", [13, 25])
def test_a_member_is_renewed_by_its_issuers_node_also_after_its_record_ended(
    tmp_path: Path, skew: Skew, hours: int
) -> None:
    """The clock begins in the past, because TLS compares leaves with the real one."""
    skew.ms = -hours * HOUR_MS
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")
    homes: list[Home] = []

    async def before() -> None:
        async with federation(acme) as (one,):
            homes.append(await joined(realm, one, "acme-2"))

    async def after() -> None:
        async with federation(acme) as (one,), living(homes[0]) as two:
            own = two.node.peer.core.own
            began = own.record
            await until(lambda: own.record != began, "the node's record is renewed")
            await settled([one, two])
            written = await remember(one, "to the renewed node")
            await everywhere([two], written)

    run(before)
    skew.ms = 0
    run(after)


def test_a_rotated_node_key_keeps_streams_and_logs_going(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    homes = [realm.member(org) for org in ("acme", "bell")]

    async def main() -> None:
        async with federation(*homes) as (acme, bell):
            first = await remember(acme, "before")
            await everywhere([bell], first)
            identity = acme.node.peer.core.own.inception
            await acme.call("rotate", name="node")
            assert acme.node.peer.core.own.inception == identity
            second = await remember(acme, "after")
            assert (await acme.call("show", id=second))["sequence"] == 2
            await everywhere([bell], second)
            await until(lambda: _is_introduced(bell, acme), "its address under its new key")
            back = await remember(bell, "and the other way")
            await everywhere([acme], back)
            assert (await acme.call("log"))["forks"] == []
        async with federation(*homes) as (acme, bell):
            third = await remember(acme, "restarted")
            assert (await acme.call("show", id=third))["sequence"] == 3
            await everywhere([bell], third)

    run(main)


def _is_introduced(by: Living, other: Living) -> bool:
    """Whether one node keeps the other's peer record as signed by the other's present key."""
    own = other.node.peer.core.own
    known = by.node.peer.introductions.known.get(own.peer)
    if known is None or known.signed is None:
        return False
    opened = open_untrusted(known.signed)
    return verify(own.key, PeerRecord.LABEL, opened.digest, known.signed.signature)


def test_a_revoked_node_is_thrown_out_everywhere_within_a_minute(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme_home, bell_home = realm.member("acme"), realm.member("bell")

    async def main() -> None:
        async with federation(acme_home, bell_home) as (acme, bell):
            home = await joined(realm, acme, "acme-2")
            _take_agent(acme_home, home)
            async with living(home) as out:
                nodes = [acme, bell, out]
                await settled(nodes)
                first = await remember(acme, "the agent's record goes round")
                await everywhere([bell, out], first)
                good = await remember(await _as_me(out), "before")
                await everywhere([acme, bell], good)
                peer, began = out.node.peer.core.own.peer, seconds()
                await acme.call("revoke", name="acme-2", reason="compromised")
                await until(
                    lambda: all(peer not in n.node.peer.core.connected for n in (acme, bell)),
                    "its streams are closed",
                    REVOCATION_S,
                )
                assert seconds() - began < REVOCATION_S
                assert acme.holds(good)
                assert bell.holds(good)
                await until(
                    lambda: not any(n.node.peer.introductions.known.get(peer) for n in nodes[:2]),
                    "it is nobody's contact",
                    REVOCATION_S,
                )
                written = await remember(acme, "without it")
                await everywhere([bell], written)
                assert not out.holds(written)

    run(main)


async def _as_me(node: Living) -> Living:
    await until(lambda: node.node.peer.recordkeeping.agents, "the agent is known")
    object.__setattr__(node.node, "settings", node.node.home.settings(agent="me"))
    return node


def _take_agent(original: Home, other: Home) -> None:
    file = other.path.with_name("agent.keys")
    original.open_keyring(None).backup(file, SECRET, only=["agent-me"])
    other.open_keyring(None).recover(file, SECRET)


def test_a_revoked_agents_writes_are_refused_on_its_own_node_at_once(tmp_path: Path) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    with connect(tmp_path / "home") as hive:
        hive.call("agent_issue", name="scribe")
        kept = hive.remember("before", agent="scribe")["id"]
        hive.call("revoke", name="scribe")
        with pytest.raises(Refused) as caught:
            hive.remember("after", agent="scribe")
        assert caught.value.hint
        assert hive.call("show", id=kept)["state"] == "live"
        assert hive.remember("the other agent goes on")["sequence"] == 1


def test_a_clock_ten_minutes_ahead_refuses_own_writes_and_names_the_clock(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme, bell = (realm.member(org) for org in ("acme", "bell"))
    right, wrong = start(bell), start(acme, ahead_ms=600_000)
    with wrong.client() as hive, right.client() as other:
        eventually(lambda: hive.status()["freshness"]["is_clock_ahead"], "it notices", 60)
        with pytest.raises(Refused) as caught:
            hive.remember("from the future", namespace="commons/notes")
        assert caught.value.reason == "clock_ahead"
        assert "clock" in caught.value.hint
        assert "clock_ahead" in [each["code"] for each in hive.call("doctor")["findings"]]
        assert not other.status()["freshness"]["is_clock_ahead"]
