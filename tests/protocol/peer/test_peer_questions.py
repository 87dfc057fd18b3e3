"""What a peer asks others for while deltas wait."""

from __future__ import annotations

from collections.abc import Sequence

from hive.protocol import events as ev
from hive.protocol.messages import Deltas, WantRecords
from hive.wire.schema import label_of_untrusted
from tests.protocol.peer.peer_federation import found
from tests.protocol.peer.peer_history import log, pen
from tests.protocol.peer.peer_world import World
from tests.protocol.peer.test_peer_scenarios import AT_MS, SPACE

COUNT = 40


def _questions(effects: Sequence[ev.Effect]) -> int:
    """How often a missing record is asked for."""
    frames = [effect.payload for effect in effects if isinstance(effect, ev.SendFrame)]
    return sum(label_of_untrusted(payload) == WantRecords.LABEL for payload in frames)


def test_a_missing_record_is_asked_for_once_and_not_once_a_delta() -> None:
    federation = found("acme", "bell")
    world = World(federation)
    nodes = [world.add(org, f"{org}-1", is_issuer=True) for org in ("acme", "bell")]
    world.join_all(*nodes)
    world.run(5)
    stranger = federation.orgs["bell"].agent("stranger")
    hand = pen(federation, stranger, federation.orgs["bell"].node("bell-1", "eu"))
    texts = [f"text {number}" for number in range(COUNT)]
    deltas = log(hand, *texts, at_ms=AT_MS, namespace=SPACE)
    acme, sender = nodes[0], nodes[1].peer.core.own.peer
    asked = 0
    for delta in deltas:
        frame = ev.FrameReceived(sender, Deltas((delta.to_bytes(),)).to_body())
        asked += _questions(acme.peer.handle(frame, world.now(acme)))
    assert len(acme.peer.intake.waiting) == COUNT
    assert asked == 1

    world.run(1)
    frame = ev.FrameReceived(sender, Deltas((deltas[0].to_bytes(),)).to_body())
    assert _questions(acme.peer.handle(frame, world.now(acme))) == 1
