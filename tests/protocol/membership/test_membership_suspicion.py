"""The formulas against the table of field values (probe interval 1 s, multiplier 4)."""

from __future__ import annotations

import math

import pytest

from hive.errors import ConfigError
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.suspicion import (
    Suspicions,
    confirmations_wanted,
    log2_fixed,
    sends_max,
    shortest_us,
    timeout_us,
)
from hive.wire.ids import PeerId

SECOND = 1_000_000
A, B = PeerId(b"a" * 20), PeerId(b"b" * 20)


@pytest.mark.parametrize(
    ("live_count", "multiplier", "seconds", "sends"),
    [
        (128, 4, 8.4, 12),
        (128, 5, 10.5, 12),
        (512, 4, 10.8, 12),
        (1_000, 4, 12.0, 16),
        (10_000, 4, 16.0, 20),
        (100_000, 4, 20.0, 24),
        (1_000_000, 4, 24.0, 28),
    ],
)
def test_shortest_suspicion_and_sends_equal_the_table(
    live_count: int, multiplier: int, seconds: float, sends: int
) -> None:
    shortest = shortest_us(live_count, multiplier * 1_000, SECOND)
    assert shortest / SECOND == pytest.approx(seconds, abs=0.05)
    assert sends_max(live_count, 4) == sends


def test_wan_profile_equals_the_table() -> None:
    assert shortest_us(78, 6_000, 5 * SECOND) / SECOND == pytest.approx(56.8, abs=0.05)
    assert sends_max(78, 4) == 8


@pytest.mark.parametrize("number", [1, 2, 3, 7, 10, 512, 999, 10**6])
def test_integer_logarithm_equals_the_real_one(number: int) -> None:
    assert log2_fixed(number) / 2**20 == pytest.approx(math.log2(number), abs=2e-6)


def test_confirmations_shrink_the_timeout_from_longest_to_shortest() -> None:
    waits = [timeout_us(10 * SECOND, 6, 3, confirmed) for confirmed in range(5)]
    expected = [60 - 50 * math.log(c + 1) / math.log(4) for c in range(4)]
    assert waits[0] == 60 * SECOND
    assert [wait / SECOND for wait in waits[:4]] == pytest.approx(expected, abs=1e-3)
    assert waits[3] == waits[4] == 10 * SECOND


def test_too_few_members_to_confirm_means_the_shortest_wait() -> None:
    assert confirmations_wanted(4, 3) == 0
    assert confirmations_wanted(5, 3) == 3
    assert timeout_us(SECOND, 6, 0, 0) == SECOND


def test_a_confirmation_counts_from_the_start_of_the_suspicion() -> None:
    timers = Suspicions()
    timers.begin(A, 0, 2 * SECOND, 6, 3)
    timers.confirm(A, 3)
    assert timers.deadline == 2 * SECOND
    assert timers.take_due(2 * SECOND - 1) == []
    assert timers.take_due(2 * SECOND) == [A]
    assert timers.deadline is None


def test_the_suspected_is_asked_twice_more_before_its_timer_runs_out() -> None:
    timers = Suspicions(ask_us=100)
    timers.begin(A, 0, 1_000, 6, 0)
    asked = []
    while (due := timers.deadline) is not None:
        asked += [due] * len(timers.take_asks(due))
        if timers.take_due(due):
            break
    assert asked == [800, 900]
    assert due == 1_000


def test_a_timer_shortened_to_its_end_asks_no_more() -> None:
    timers = Suspicions(ask_us=100)
    timers.begin(A, 0, 1_000, 6, 3)
    timers.confirm(A, 3)
    assert timers.take_asks(1_000) == []
    assert timers.take_asks(1_000) == []
    assert timers.take_due(1_000) == [A]


def test_a_cancelled_suspicion_never_runs_out() -> None:
    timers = Suspicions()
    timers.begin(A, 0, SECOND, 6, 0)
    timers.begin(B, 0, SECOND, 6, 0)
    timers.cancel(A)
    assert timers.take_due(9 * SECOND) == [B]


@pytest.mark.parametrize("preset", ["for_lan", "for_internet", "for_simulation"])
def test_presets_keep_their_own_relations(preset: str) -> None:
    config: SwimConfig = getattr(SwimConfig, preset)()
    assert config.ping_timeout_us + config.nack_timeout_us < config.probe_interval_us


@pytest.mark.parametrize(
    "wrong", [{"probe_interval_us": 800_000}, {"ping_attempts": 5}, {"queue_max": 0}]
)
def test_contradicting_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        SwimConfig(**wrong)
