"""Goal: an invite serves once, to one, within its hours; nobody else can answer for its node."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from node_processes import Process
from node_world import HOUR_MS, Skew, address, eventually, federation, found, living, run

from hive.errors import HiveError, MalformedFrame, NotPermitted, StateError, TransportError
from hive.node.enrolment import join
from hive.node.home import Home


def joiner(tmp_path: Path, text: str, name: str = "acme-2") -> Callable[[], object]:
    return lambda: join(tmp_path / name, text, listen=address())


async def in_thread(action: Callable[[], object]) -> object:
    return await trio.to_thread.run_sync(action)


def test_an_invite_serves_once_and_its_second_use_is_refused_and_logged(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")

    async def main() -> None:
        async with federation(acme) as (one,):
            text = (await one.call("invite", name="acme-2"))["invite"]
            await in_thread(joiner(tmp_path, text))
            with pytest.raises(NotPermitted) as caught:
                await in_thread(joiner(tmp_path, text, "acme-3"))
            assert "new invite" in caught.value.hint
            assert len(one.logged("enrolment_refused")) == 1
        async with federation(acme) as (one,):
            with pytest.raises(NotPermitted):
                await in_thread(joiner(tmp_path, text, "acme-4"))

    run(main)


def test_an_expired_or_cut_invite_is_refused_before_anything_is_made(
    tmp_path: Path, skew: Skew
) -> None:
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")
    texts: list[str] = []

    async def main() -> None:
        async with federation(acme) as (one,):
            texts.append((await one.call("invite", name="acme-2", hours=1))["invite"])

    run(main)
    for cut in (0, 10, len(texts[0]) // 2, len(texts[0]) - 30):
        with pytest.raises(MalformedFrame):
            joiner(tmp_path, texts[0][:cut])()
    skew.ms = 2 * HOUR_MS
    with pytest.raises(HiveError, match="ended") as caught:
        joiner(tmp_path, texts[0])()
    assert caught.value.hint
    assert not (tmp_path / "acme-2").exists()


def test_an_impostor_at_the_invites_address_is_not_believed(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    acme, impostor = found(one, ("acme",)).member("acme"), found(other, ("acme",)).member("acme")
    texts: list[str] = []

    async def invite() -> None:
        async with federation(acme) as (node,):
            texts.append((await node.call("invite", name="acme-2"))["invite"])

    async def deceive() -> None:
        flags = acme.settings()
        async with living(impostor, udp_port=flags.udp_port, tls_port=flags.tls_port) as node:
            with pytest.raises((NotPermitted, TransportError)):
                await in_thread(joiner(tmp_path, texts[0]))
            assert len(node.logged("enrolment_refused")) == 1

    run(invite)
    run(deceive)
    assert not Home(tmp_path / "acme-2").exists


def test_a_join_that_was_cut_off_says_the_same_letter_again(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")
    texts: list[str] = []

    async def main() -> None:
        async with federation(acme) as (one,):
            texts.append((await one.call("invite", name="acme-2"))["invite"])
        with pytest.raises(TransportError):
            await in_thread(joiner(tmp_path, texts[0]))
        kept = (tmp_path / "acme-2" / "join.letter").read_bytes()
        async with federation(acme) as (one,):
            await in_thread(joiner(tmp_path, texts[0]))
            home = Home(tmp_path / "acme-2")
            assert home.exists
            home.config_file.unlink()
            (home.path / "join.letter").write_bytes(kept)
            (home.path / "join.letter").chmod(0o600)
            await in_thread(joiner(tmp_path, texts[0]))
            assert one.logged("enrolment_refused") == []
            with pytest.raises(StateError, match="already"):
                await in_thread(joiner(tmp_path, texts[0]))

    run(main)


def test_nobody_at_the_address_is_said_with_a_hint(tmp_path: Path) -> None:
    realm = found(tmp_path, ("acme",))
    acme = realm.member("acme")
    texts: list[str] = []

    async def main() -> None:
        async with federation(acme) as (one,):
            texts.append((await one.call("invite", name="acme-2"))["invite"])

    run(main)
    with pytest.raises(TransportError) as caught:
        joiner(tmp_path, texts[0])()
    assert "hive up" in caught.value.hint


def test_two_who_join_at_once_with_one_invite_do_not_both_get_in(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    realm = found(tmp_path, ("acme",))
    process = start(realm.member("acme"))
    outcomes: list[str] = []

    def attempt(name: str) -> None:
        try:
            joiner(tmp_path, text, name)()
            outcomes.append("in")
        except HiveError as error:
            outcomes.append(type(error).__name__)

    with process.client() as client:
        eventually(lambda: client.status()["freshness"]["is_fresh"], "fresh")
        text = client.call("invite", name="acme-2")["invite"]
    threads = [threading.Thread(target=attempt, args=(f"acme-{n}",)) for n in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["NotPermitted", "in"]
