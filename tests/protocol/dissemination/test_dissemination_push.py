"""Push: own deltas to interested, admissible members, coalesced and bounded."""

from __future__ import annotations

import pytest

from hive.errors import ConfigError
from hive.protocol.dissemination.push import (
    DeltasStored,
    Event,
    InterestHeard,
    MemberConnected,
    MemberGone,
    PushConfig,
    Pusher,
    StoredDelta,
)
from hive.protocol.machine import Send
from hive.protocol.messages import Deltas
from hive.wire.clock import SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import PeerId

ALICE, BOB, CAROL = (PeerId(bytes([number]) * 20) for number in (1, 2, 3))


def everywhere(peer: PeerId, namespace: str) -> bool:
    return True


def at(now_us: int = 0) -> Now:
    return Now(MonotonicUs(now_us), WallUs(0))


def stored(*names: str, source: PeerId | None = None, size: int = 100) -> DeltasStored:
    deltas = tuple(
        StoredDelta(name, bytes([number % 256]) * size) for number, name in enumerate(names)
    )
    return DeltasStored(deltas, source)


def pusher_with(config: PushConfig, *members: tuple[PeerId, tuple[str, ...]]) -> Pusher:
    pusher = Pusher(config, everywhere)
    for member, prefixes in members:
        pusher.handle(MemberConnected(member), at())
        pusher.handle(InterestHeard(member, prefixes), at())
    return pusher


def push(pusher: Pusher, event: Event, now_us: int = 0) -> list[Send]:
    return list(pusher.handle(event, at(now_us)))


def envelopes(send: Send) -> tuple[bytes, ...]:
    return Deltas.from_body_untrusted(send.payload).envelopes


def test_own_deltas_go_to_every_interested_member() -> None:
    pusher = pusher_with(PushConfig(), (ALICE, ("",)), (BOB, ("acme/x",)), (CAROL, ("other",)))
    sends = push(pusher, stored("acme/x"))
    assert [send.receiver for send in sends] == [ALICE, BOB]


def test_a_prefix_covers_whole_segments_only() -> None:
    pusher = pusher_with(PushConfig(), (ALICE, ("org/eu",)))
    assert not push(pusher, stored("org/europe"))
    assert push(pusher, stored("org/eu/de"))


def test_a_member_that_announced_nothing_is_sent_nothing() -> None:
    pusher = Pusher(PushConfig(), everywhere)
    pusher.handle(MemberConnected(ALICE), at())
    assert not push(pusher, stored("acme/x"))


def test_an_inadmissible_namespace_never_leaves() -> None:
    pusher = Pusher(PushConfig(), lambda peer, namespace: namespace != "acme/secret")
    pusher.handle(MemberConnected(ALICE), at())
    pusher.handle(InterestHeard(ALICE, ("",)), at())
    (send,) = push(pusher, stored("acme/secret", "acme/open"))
    assert envelopes(send) == (bytes([1]) * 100,)


def test_relayed_deltas_go_only_to_newcomers_and_never_back() -> None:
    pusher = pusher_with(PushConfig(newcomer_us=10), (ALICE, ("",)), (BOB, ("",)))
    assert [each.receiver for each in push(pusher, stored("a", source=ALICE), 9)] == [BOB]
    assert not push(pusher, stored("a", source=ALICE), 10)
    assert len(push(pusher, stored("a"), 10)) == 2


def test_a_member_that_left_is_sent_nothing() -> None:
    pusher = pusher_with(PushConfig(), (ALICE, ("",)))
    pusher.handle(MemberGone(ALICE), at())
    assert not push(pusher, stored("a"))


def test_one_event_is_coalesced_within_the_message_bounds() -> None:
    pusher = pusher_with(PushConfig(), (ALICE, ("",)))
    counts = [len(envelopes(send)) for send in push(pusher, stored(*["a"] * 600))]
    assert counts == [256, 256, 88]
    counts = [len(envelopes(send)) for send in push(pusher, stored(*["a"] * 30, size=100_000))]
    assert counts == [10, 10, 10]


def test_members_with_the_same_interest_share_the_bytes() -> None:
    pusher = pusher_with(PushConfig(), (ALICE, ("",)), (BOB, ("a",)))
    first, second = push(pusher, stored("a", "a"))
    assert first.payload is second.payload


def test_beyond_its_budget_a_member_loses_the_tail_and_it_is_counted() -> None:
    config = PushConfig(
        message_bytes_max=1_000, member_burst_bytes=2_000, member_refill_bytes_per_s=1_000
    )
    pusher = pusher_with(config, (ALICE, ("",)))
    assert len(push(pusher, stored(*["a"] * 35))) == 2
    assert pusher.dropped_count == 15
    assert not push(pusher, stored("a"), 0)
    assert len(push(pusher, stored(*["a"] * 10), SECOND_US)) == 1


def test_a_larger_delta_than_a_message_goes_alone() -> None:
    pusher = pusher_with(PushConfig(message_bytes_max=150), (ALICE, ("",)))
    assert [len(envelopes(each)) for each in push(pusher, stored("a", "a", "a"))] == [1, 1, 1]


def test_members_are_bounded() -> None:
    pusher = pusher_with(PushConfig(members_max=1), (ALICE, ("",)), (BOB, ("",)))
    assert [each.receiver for each in push(pusher, stored("a"))] == [ALICE]


def test_contradicting_bounds_are_refused() -> None:
    with pytest.raises(ConfigError):
        PushConfig(member_burst_bytes=10)
