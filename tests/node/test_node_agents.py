"""Goal: an agent's key may stay in an ssh-agent, a node may issue by its own right, and one agent
writes on two machines. Method: real ssh-agent processes, real nodes, a set clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from node_world import (
    HOUR_MS,
    Living,
    Realm,
    Skew,
    address,
    federation,
    found,
    living,
    run,
    settled,
    until,
)
from ssh_agents import add, remove_all, ssh_agent

from hive.client.client import connect
from hive.errors import NotPermitted, Refused, StateError
from hive.node.enrolment import join
from hive.node.home import Home, initialise

MINUTE_MS = 60_000
SEEDS = {"scribe": b"1" * 32, "scribe-next": b"2" * 32, "scribe-later": b"3" * 32}
SECRET = b"the backup's own passphrase"


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "agent"
    folder.mkdir()
    with ssh_agent(folder, SEEDS) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield path


@pytest.fixture
def laptop(tmp_path: Path, socket: Path) -> Path:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    with connect(tmp_path / "home") as hive:
        hive.call("agent_issue", name="scribe", ssh_keys=["scribe", "scribe-next"])
    return tmp_path / "home"


# Keys in an ssh-agent.


def test_a_session_signs_for_an_agent_whose_key_stays_in_the_ssh_agent(laptop: Path) -> None:
    with connect(laptop) as hive:
        (scribe,) = (each for each in hive.call("agents")["agents"] if each["name"] == "scribe")
        told = hive.call("show", id=hive.remember("otters", agent="scribe")["id"])
        assert told["author"] == scribe["inception"]
        assert [link["kind"] for link in told["chain"]][-2:] == ["agent", "session"]
    assert not (laptop / "keys" / "agent-scribe.key").exists()
    assert SEEDS["scribe"].hex() not in "".join(
        path.read_bytes().hex() for path in (laptop / "keys").iterdir()
    )


def test_a_session_of_an_hour_is_renewed_by_the_ssh_agent_and_ends_without_it(
    laptop: Path, skew: Skew, socket: Path
) -> None:
    with connect(laptop) as hive:
        hive.remember("first", agent="scribe")
    sessions = laptop / "keys" / "session-scribe.key"
    first = sessions.read_bytes()
    skew.ms = 40 * MINUTE_MS
    with connect(laptop) as hive:
        assert hive.remember("second", agent="scribe")["sequence"] == 2
    assert sessions.read_bytes() != first
    remove_all(socket)
    skew.ms += 50 * MINUTE_MS
    with connect(laptop) as hive:
        assert hive.remember("the last session serves", agent="scribe")["sequence"] == 3
    skew.ms += 20 * MINUTE_MS
    with connect(laptop) as hive:
        with pytest.raises(Refused, match="did not sign"):
            hive.remember("too late", agent="scribe")
        assert hive.remember("the other agent goes on")["id"]
    for comment, seed in SEEDS.items():
        add(socket, comment, seed)
    with connect(laptop) as hive:
        assert hive.remember("and again", agent="scribe")["sequence"] == 4


def test_records_of_an_outside_key_are_renewed_day_after_day(laptop: Path, skew: Skew) -> None:
    for day in (1, 3):
        skew.ms = day * 24 * HOUR_MS
        with connect(laptop) as hive:
            assert hive.remember(f"day {day}", agent="scribe")["id"]


def test_an_outside_key_rotates_to_the_committed_one(laptop: Path) -> None:
    with connect(laptop) as hive:
        hive.remember("before", agent="scribe")
        with pytest.raises(Exception, match="ssh-agent"):
            hive.call("rotate", name="scribe")
        hive.call("rotate", name="scribe", ssh_key="scribe-later")
        told = hive.remember("after", agent="scribe")
        assert told["sequence"] == 2
        (scribe,) = (each for each in hive.call("agents")["agents"] if each["name"] == "scribe")
        assert scribe["generation"] == 1


def test_a_session_dies_with_its_agent(laptop: Path) -> None:
    with connect(laptop) as hive:
        kept = hive.remember("before", agent="scribe")["id"]
        hive.call("revoke", name="scribe")
        with pytest.raises(Refused):
            hive.remember("after", agent="scribe")
        assert hive.call("show", id=kept)["state"] == "live"


def test_a_session_can_stand_in_for_a_key_of_the_keyring_too(laptop: Path) -> None:
    with connect(laptop) as hive:
        hive.call("agent_session", name="me")
        told = hive.call("show", id=hive.remember("by a session")["id"])
        assert told["chain"][-1]["kind"] == "session"


# A node that holds `issue_agent`.


async def joined(realm: Realm, inviter: Living, name: str, **wanted: object) -> Home:
    text = (await inviter.call("invite", name=name, region="us-east", **wanted))["invite"]
    home = Home(realm.folder / name)
    await trio.to_thread.run_sync(lambda: join(home.path, text, listen=address()))
    return home


DEPUTY = [{"prefix": "commons/notes", "actions": ["remember", "recall", "issue_agent"]}]


def test_a_node_with_issue_agent_issues_renews_rotates_and_revokes_within_what_it_holds(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    acme, bell = realm.member("acme"), realm.member("bell")

    async def main() -> None:
        async with federation(acme, bell) as (one, other):
            home = await joined(realm, one, "acme-2", capabilities=DEPUTY)
            async with living(home) as two:
                await settled([one, other, two])
                made = await two.call("agent_issue", name="scout", hours=2)
                assert made["capabilities"][0]["prefix"] == "commons/notes"
                wide = [{"prefix": "commons", "actions": ["remember"]}]
                with pytest.raises(NotPermitted):
                    await two.call("agent_issue", name="wide", capabilities=wide)
                say = {"agent": "scout", "namespace": "commons/notes"}
                ids = [(await two.call("remember", text="by the deputy", **say))["id"]]
                renewed = await two.call("agent_renew", name="scout")
                assert renewed["not_after_ms"] > made["not_after_ms"]
                await two.call("rotate", name="scout")
                ids.append((await two.call("remember", text="rotated", **say))["id"])
                await until(
                    lambda: all(n.holds(i) for n in (one, other) for i in ids), "all hold both"
                )
                await two.call("revoke", name="scout", reason="retired")
                with pytest.raises(Refused):
                    await two.call("remember", text="after", **say)

    run(main)


def test_a_node_without_the_right_issues_nobody(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme",))

    async def main() -> None:
        async with federation(realm.member("acme")) as (one,):
            home = await joined(realm, one, "acme-2")
            async with living(home) as two:
                with pytest.raises(NotPermitted) as caught:
                    await two.call("agent_issue", name="scout")
                assert "issue_agent" in caught.value.hint

    run(main)


def test_a_deputys_agents_live_on_with_its_record_while_the_issuer_is_away(
    tmp_path: Path, skew: Skew
) -> None:
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")
    homes: list[Home] = []

    async def issued() -> None:
        async with federation(acme) as (one,):
            homes.append(await joined(realm, one, "acme-2", capabilities=DEPUTY))
            async with living(homes[0]) as two:
                await two.call("agent_issue", name="scout", hours=4)

    async def later() -> None:
        async with living(homes[0], is_online=False) as two:
            (scout,) = (await two.call("agents"))["agents"]
            assert scout["valid"]

    run(issued)
    skew.ms = 3 * HOUR_MS
    run(later)
    skew.ms = 6 * HOUR_MS
    run(later)


# One agent on two machines.


def test_an_agents_key_recovered_on_a_second_machine_finds_its_record_by_itself(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")

    async def main() -> None:
        async with federation(acme) as (one,):
            home = await joined(realm, one, "acme-2")
            one.node.keyring.backup(tmp_path / "keys", SECRET)
            ring = home.open_keyring(None)
            with pytest.raises(StateError):
                ring.recover(tmp_path / "keys", SECRET)
            assert ring.recover(tmp_path / "keys", SECRET, ["agent-me"]) == ("agent-me",)
            async with living(home) as two:
                await settled([one, two])
                await until(lambda: two.node.peer.recordkeeping.agents, "the record is asked for")
                names = [each["name"] for each in (await two.call("agents"))["agents"]]
                assert names == ["me"]
                say = {"agent": "me", "namespace": "commons/notes"}
                told = await two.call("remember", text="on the second machine", **say)
                await until(lambda: one.holds(told["id"]), "it reaches the first")

    run(main)
