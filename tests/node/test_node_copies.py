"""Goal: one agent on two machines, a restored backup and a cloned disk never make a forker."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from node_world import Living, Realm, address, federation, found, living, run, settled, until

from hive.client.client import connect
from hive.errors import StateError
from hive.node.config import write
from hive.node.enrolment import join
from hive.node.home import Home, initialise
from hive.store.backup import restore

SECRET = b"the backup's own passphrase"


def move_to_free_port(home: Home) -> None:
    """A copy on the same machine cannot have the original's port."""
    port = int(address().rpartition(":")[2])
    settings = home.settings(udp_port=port, tls_port=port)
    write(home.config_file, settings)


def clone(home: Home, name: str) -> Home:
    """`cp -r`, and another port."""
    copy = Home(home.path.with_name(name))
    shutil.copytree(home.path, copy.path, ignore=shutil.ignore_patterns("*.sock"))
    move_to_free_port(copy)
    return copy


async def joined(realm: Realm, inviter: Living, name: str) -> Home:
    """A member home without the issuer's key, made with nothing but an invite."""
    text = (await inviter.call("invite", name=name, region="us-east"))["invite"]
    home = Home(realm.folder / name)
    await trio.to_thread.run_sync(lambda: join(home.path, text, listen=address()))
    realm.homes[name] = home
    return home


async def no_forks(nodes: list[Living], ids: list[str]) -> None:
    """Everybody holds everything and nobody saw a fork."""
    await until(lambda: all(n.holds(i) for n in nodes for i in ids), "all replicas are whole")
    for node in nodes:
        assert (await node.call("log"))["forks"] == []


async def remember(node: Living, text: str) -> str:
    where = "commons/notes"
    return str((await node.call("remember", text=text, agent="me", namespace=where))["id"])


def test_one_agent_writes_on_two_machines_and_forks_nothing(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme, bell = realm.member("acme"), realm.member("bell")

    async def main() -> None:
        async with federation(acme, bell) as (one, other):
            second = await joined(realm, one, "acme-2")
            one.node.keyring.backup(tmp_path / "keys", SECRET)
            ring = second.open_keyring(None)
            with pytest.raises(StateError):
                ring.recover(tmp_path / "keys", SECRET)
            _take_agent(acme, second)
            async with living(second) as two:
                nodes = [one, other, two]
                await settled(nodes)
                await until(lambda: two.node.peer.recordkeeping.agents, "the agent is known")
                ids = []
                for number in range(3):
                    ids += [await remember(each, f"number {number}") for each in (one, two)]
                await no_forks(nodes, ids)
                heads = one.node.store.heads("commons/notes")
                assert len(heads) == 2
                assert len({head.author for head in heads}) == 1

    run(main)


def _take_agent(original: Home, other: Home) -> None:
    """The agent's key alone, in a backup of its own."""
    file = other.path.with_name("agent.keys")
    original.open_keyring(None).backup(file, SECRET, only=["agent-me"])
    other.open_keyring(None).recover(file, SECRET)


def test_a_clone_of_the_issuers_home_gets_its_own_identity_and_the_original_goes_on(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme, bell = realm.member("acme"), realm.member("bell")

    async def main() -> None:
        async with federation(acme, bell) as (one, other):
            before = await remember(one, "written before the copy")
        copy = clone(acme, "acme-copy")
        async with federation(acme, bell) as (one, other):
            original = one.node.peer.core.own.inception
            async with living(copy) as two:
                assert two.node.peer.core.own.inception != original
                assert not two.node.is_copy
                await settled([one, other, two])
                ids = [before] + [await remember(each, "after") for each in (one, two, one, two)]
                await no_forks([one, other, two], ids)
        async with federation(acme, bell) as (one, other):
            assert one.node.peer.core.own.inception == original
            ids.append(await remember(one, "restarted"))
            await no_forks([one, other], ids)

    run(main)


def test_a_clone_of_a_member_asks_the_issuer_and_keeps_off_the_network_until_it_answers(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme, bell = realm.member("acme"), realm.member("bell")

    async def main() -> None:
        async with federation(acme, bell) as (one, other):
            second = await joined(realm, one, "acme-2")
            _take_agent(acme, second)
            async with living(second) as two:
                await settled([one, other, two])
                first = await remember(one, "the agent's record travels with what it wrote")
                await until(lambda: two.holds(first), "the agent is known")
                ids = [first, await remember(two, "written before the copy")]
                await no_forks([one, other, two], ids)
        copy = clone(second, "acme-2-copy")
        async with living(copy) as alone:
            assert alone.node.is_copy
            assert alone.node.address is None
            with pytest.raises(StateError, match="copied") as caught:
                await remember(alone, "too early")
            assert "issuer" in caught.value.hint
            hits = (await alone.call("recall", text="before the copy", agent="me"))["hits"]
            assert hits[0]["id"] == ids[1]
        async with federation(acme, bell, second) as (one, other, two), living(copy) as three:
            assert not three.node.is_copy
            nodes = [one, other, two, three]
            await settled(nodes)
            assert len({each.node.peer.core.own.inception for each in nodes}) == 4
            ids += [await remember(each, "after") for each in (two, three, two, three)]
            await no_forks(nodes, ids)
        async with federation(acme, bell, second) as (one, other, two):
            ids.append(await remember(two, "the original, restarted"))
            await no_forks([one, other, two], ids)

    run(main)


def test_an_original_that_restarts_does_not_take_its_clones_record_for_its_own(
    tmp_path: Path,
) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    original, copies = Home(tmp_path / "home"), []
    for name in ("one", "two"):
        copies.append(clone(original, name))
    seen = set()
    for home in (original, *copies):
        with connect(home.path) as hive:
            seen.add(hive.status()["node"]["peer"])
            hive.remember("otters hold hands")
    assert len(seen) == 3
    with connect(original.path) as hive:
        assert hive.status()["node"]["peer"] in seen


def test_a_restored_backup_starts_new_logs_where_the_original_wrote_more(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme, bell = realm.member("acme"), realm.member("bell")

    async def main() -> None:
        async with federation(acme, bell) as (one, other):
            ids = [await remember(one, "before the backup")]
            await one.call("backup", path=str(tmp_path / "backup"))
            ids.append(await remember(one, "after the backup"))
            await no_forks([one, other], ids)
        shutil.rmtree(acme.store)
        shutil.rmtree(acme.recall)
        restore(tmp_path / "backup", acme.store)
        async with federation(acme, bell) as (one, other):
            assert [line["reason"] for line in one.logged("new_identity")]
            ids.append(await remember(one, "after the restore"))
            await no_forks([one, other], ids)
            assert (await one.call("show", id=ids[-1]))["sequence"] == 1

    run(main)


def test_a_restored_laptop_is_reborn_by_itself_when_it_opens(tmp_path: Path) -> None:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    home = Home(tmp_path / "home")
    with connect(home.path) as hive:
        hive.remember("before")
        hive.call("backup", path=str(tmp_path / "backup"))
        before = hive.status()["node"]["peer"]
        hive.remember("lost with the disk")
    shutil.rmtree(home.store)
    restore(tmp_path / "backup", home.store)
    with connect(home.path) as hive:
        assert hive.status()["node"]["peer"] != before
        assert hive.remember("after")["sequence"] == 1
        assert hive.recall("before")["hits"][0]["text"] == "before"


def test_a_copy_that_never_goes_online_refuses_writes_with_a_hint(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")

    async def main() -> None:
        async with federation(acme) as (one,):
            second = await joined(realm, one, "acme-2")
        _take_agent(acme, second)
        clone(second, "copy")

    run(main)
    with connect(tmp_path / "copy") as hive:
        assert hive.status()["node"]["is_copy"]
        codes = [each["code"] for each in hive.call("doctor")["findings"]]
        assert "copied_store" in codes
