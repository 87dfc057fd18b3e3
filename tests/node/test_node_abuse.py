"""Goal: no peer or stranger makes a node hang, grow or work without end."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from node_world import federation, found, living, run, until

from hive.node.driver import QUEUE_BYTES_MAX, QUEUE_COUNT_MAX
from hive.node.home import Home, initialise
from hive.node.links import FAIR_BYTES, OUTBOXES_BYTES_MAX
from hive.protocol.events import Dial, Endpoint, FrameReceived, OpenStream
from hive.protocol.machine import Ticked
from hive.wire.ids import Inception, PeerId

FRAME_BYTES = 4 * 1024 * 1024
STRANGER = PeerId(bytes(20))


def laptop(tmp_path: Path) -> Home:
    initialise(tmp_path / "home", listen="127.0.0.1:0")
    return Home(tmp_path / "home")


def test_every_reader_goes_on_after_a_flood_not_only_the_last_that_waited(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home, is_online=False) as one, trio.open_nursery() as nursery:
            for _ in range(QUEUE_COUNT_MAX + 1_024):
                one.node.driver.post(Ticked())
            with trio.fail_after(20):
                async with trio.open_nursery() as readers:
                    for _ in range(3):
                        readers.start_soon(one.node.driver.has_room)
            nursery.cancel_scope.cancel()

    run(main)


def test_readers_wait_while_the_frames_that_wait_are_too_large_together(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home, is_online=False) as one:
            driver = one.node.driver
            for _ in range(QUEUE_BYTES_MAX // FRAME_BYTES + 1):
                driver.post(FrameReceived(STRANGER, bytes(FRAME_BYTES)))
            assert driver._queued_bytes > QUEUE_BYTES_MAX
            with trio.fail_after(20):
                await driver.has_room()
            assert driver._queued_bytes <= QUEUE_BYTES_MAX

    run(main)


def test_failed_dials_are_counted_under_one_name_whatever_peers_claim(tmp_path: Path) -> None:
    home = laptop(tmp_path)

    async def main() -> None:
        async with living(home) as one:
            links = one.node.driver.links
            assert links is not None
            for port in (1, 2, 3):
                peer = PeerId(bytes([port]) * 20)
                links.open(OpenStream(peer, Inception(bytes(32)), "127.0.0.1", port))
            await until(lambda: links.drops.total() == 3, "three failed dials")
            assert dict(links.drops) == {"dial": 3}

    run(main)


def test_outboxes_are_bounded_together_and_a_quiet_peer_still_gets_its_own(
    tmp_path: Path,
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    homes = [realm.member(org) for org in ("acme", "bell")]

    async def main() -> None:
        async with federation(*homes) as (one, other):
            links, peer = one.node.driver.links, other.node.peer.core.own.peer
            assert links is not None
            links._queued_bytes += OUTBOXES_BYTES_MAX
            links.send(peer, bytes(FAIR_BYTES // 2))
            assert not links.drops["outbox_bytes"]
            links.send(peer, bytes(FAIR_BYTES))
            assert links.drops["outbox_bytes"] == 1
            links._queued_bytes -= OUTBOXES_BYTES_MAX
            await until(lambda: not links._queued_bytes, "what was sent waits no more")

    run(main)


def test_a_name_where_an_address_belongs_is_never_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = laptop(tmp_path)
    sent: list[object] = []

    async def main() -> None:
        async with living(home) as one:
            datagrams = one.node.driver.datagrams
            assert datagrams is not None
            monkeypatch.setattr(
                datagrams._carrier, "transmit", lambda *sending: sent.append(sending)
            )
            for host in ("slow.example", "", "127.1", "1" * 100, "\u0661.1.1.1"):
                datagrams.perform(Dial(Endpoint(host, 7)))
            assert not sent
            datagrams.perform(Dial(Endpoint("127.0.0.1", 7)))
            assert len(sent) == 1

    run(main)
