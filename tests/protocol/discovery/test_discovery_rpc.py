"""Exchanges: ids bound to peers, retransmission, adaptive timeouts."""

from __future__ import annotations

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.messages import Ping, decode_message_untrusted
from hive.protocol.discovery.rpc import Rpc
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

CONFIG = DiscoveryConfig()
PEER, OTHER = PeerId(b"p" * 20), PeerId(b"o" * 20)


def begin(now_us: int = 0) -> tuple[Rpc[str], int]:
    rpc: Rpc[str] = Rpc(CONFIG, Stream(b"s", "rpc"))
    send = rpc.ask(PEER, Ping, "why", now_us)
    assert send is not None
    message = decode_message_untrusted(send.payload)
    return rpc, message.request


def test_answer_counts_only_from_the_peer_that_was_asked() -> None:
    rpc, request = begin()
    assert rpc.answered(OTHER, request, 1) is None
    assert rpc.answered(PEER, request + 1, 1) is None
    exchange = rpc.answered(PEER, request, 1)
    assert exchange is not None
    assert exchange.purpose == "why"


def test_second_answer_changes_nothing() -> None:
    rpc, request = begin()
    assert rpc.answered(PEER, request, 50_000) is not None
    estimate = rpc.timeout_us(PEER)
    assert rpc.answered(PEER, request, 90_000) is None
    assert rpc.timeout_us(PEER) == estimate
    assert rpc.deadline is None


def test_retransmission_doubles_from_the_third_try_and_fails_after_the_last() -> None:
    rpc, _ = begin()
    times, failed = [], []
    while rpc.deadline is not None:
        times.append(rpc.deadline)
        sends, failed = rpc.expire(rpc.deadline)
        assert len(sends) == (1 if len(times) < 5 else 0)
    assert times == [150_000, 300_000, 600_000, 1_200_000, 2_400_000]
    assert [exchange.peer for exchange in failed] == [PEER]


def test_tick_too_early_does_nothing() -> None:
    rpc, _ = begin()
    assert rpc.expire(149_999) == ([], [])
    assert rpc.deadline == 150_000


def test_timeout_follows_rfc_6298() -> None:
    rpc, request = begin()
    rpc.answered(PEER, request, 40_000)
    assert rpc.round_trip_us(PEER) == 40_000
    assert rpc.timeout_us(PEER) == 40_000 + 4 * 20_000
    for _ in range(300):
        send = rpc.ask(PEER, Ping, "again", 0)
        assert send is not None
        rpc.answered(PEER, decode_message_untrusted(send.payload).request, 40_000)
    assert rpc.timeout_us(PEER) <= 42_000


def test_retransmitted_request_gives_no_sample() -> None:
    rpc, request = begin()
    rpc.expire(150_000)
    rpc.answered(PEER, request, 160_000)
    assert rpc.round_trip_us(PEER) == 0


def test_timeout_never_leaves_its_bounds() -> None:
    for sample_us in (1, 10**9):
        rpc, request = begin()
        rpc.answered(PEER, request, sample_us)
        assert CONFIG.rto_min_us <= rpc.timeout_us(PEER) <= CONFIG.rto_max_us


def test_exchanges_and_estimates_are_bounded() -> None:
    config = DiscoveryConfig(exchanges_max=256, lookups_max=2, estimates_max=8)
    rpc: Rpc[str] = Rpc(config, Stream(b"s", "rpc"))
    asked = 0
    for index in range(300):
        asked += rpc.ask(PeerId(index.to_bytes(20, "big")), Ping, "", 0) is not None
    assert asked == len(rpc) == 256


def test_abandoned_peer_leaves_no_exchange() -> None:
    rpc, _ = begin()
    assert [exchange.purpose for exchange in rpc.abandon(PEER)] == ["why"]
    assert rpc.deadline is None
