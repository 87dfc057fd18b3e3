"""A flood waits behind itself: own events go first, and every peer has its turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hive.node.inbox import DATAGRAMS_OF_PEER_MAX, OWN_IN_A_ROW, Inbox
from hive.protocol.events import (
    MEMBERSHIP,
    DatagramOpened,
    Event,
    FrameReceived,
    StreamClosed,
    StreamOpened,
)
from hive.protocol.machine import Ticked
from hive.wire.ids import PeerId

FLOODER, HONEST = PeerId(b"f" * 20), PeerId(b"h" * 20)


def drained(inbox: Inbox) -> list[Event]:
    taken = []
    while (event := inbox.take()) is not None:
        taken.append(event)
    return taken


def test_an_honest_peers_frame_waits_for_one_frame_of_a_flooder_and_own_events_for_none() -> None:
    inbox = Inbox()
    for number in range(4_000):
        inbox.put(FrameReceived(FLOODER, number.to_bytes(2, "big")))
    inbox.put(FrameReceived(HONEST, b"honest"))
    inbox.put(DatagramOpened(HONEST, MEMBERSHIP, b"ping"))
    inbox.put(Ticked())
    first = [inbox.take() for _ in range(4)]
    assert first[0] == Ticked()
    assert FrameReceived(HONEST, b"honest") in first
    assert DatagramOpened(HONEST, MEMBERSHIP, b"ping") in first


def test_own_events_without_end_do_not_starve_peers() -> None:
    inbox = Inbox()
    inbox.put(FrameReceived(HONEST, b"honest"))
    for _ in range(1_000):
        inbox.put(Ticked())
    taken = [inbox.take() for _ in range(OWN_IN_A_ROW + 1)]
    assert FrameReceived(HONEST, b"honest") in taken


def test_datagrams_of_one_peer_that_wait_are_bounded_and_the_newest_are_kept() -> None:
    inbox = Inbox()
    for number in range(3 * DATAGRAMS_OF_PEER_MAX):
        inbox.put(DatagramOpened(FLOODER, MEMBERSHIP, number.to_bytes(2, "big")))
    inbox.put(DatagramOpened(HONEST, MEMBERSHIP, b"ping"))
    assert len(inbox) == DATAGRAMS_OF_PEER_MAX + 1
    assert inbox.dropped_count == 2 * DATAGRAMS_OF_PEER_MAX
    assert DatagramOpened(HONEST, MEMBERSHIP, b"ping") in [inbox.take(), inbox.take()]


@given(st.lists(st.tuples(st.sampled_from([FLOODER, HONEST]), st.sampled_from("ofc"))))
def test_what_one_stream_says_stays_in_order_and_nothing_is_lost(
    said: list[tuple[PeerId, str]],
) -> None:
    inbox = Inbox()
    put: list[Event] = []
    for number, (peer, what) in enumerate(said):
        match what:
            case "o":
                put.append(StreamOpened(peer))
            case "c":
                put.append(StreamClosed(peer))
            case _:
                put.append(FrameReceived(peer, number.to_bytes(4, "big")))
        inbox.put(put[-1])
    taken = drained(inbox)
    assert len(inbox) == inbox.bytes_count == 0
    for peer in (FLOODER, HONEST):
        assert [e for e in taken if _peer_of(e) == peer] == [e for e in put if _peer_of(e) == peer]


def _peer_of(event: Event) -> PeerId:
    return event.sender if isinstance(event, FrameReceived) else event.peer  # type: ignore[union-attr]
