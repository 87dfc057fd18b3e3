"""Goal: a budget is kept to the token in fixed memory. Method: against a naive bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.errors import ConfigError
from hive.transport.buckets import BucketTable
from hive.transport.datagram_config import DatagramConfig
from hive.transport.stream_config import StreamConfig
from hive.wire.clock import SECOND_US


def table(per_second: int, burst: int, slot_count: int = 8) -> BucketTable:
    return BucketTable(bytes(32), slot_count=slot_count, per_second=per_second, burst=burst)


@given(st.lists(st.integers(0, SECOND_US), max_size=60), st.integers(1, 5))
def test_a_bucket_gives_what_a_naive_bucket_gives(steps: list[int], burst: int) -> None:
    bucket, now_us, tokens = table(2, burst), 0, burst * SECOND_US
    for step in steps:
        now_us += step
        tokens = min(burst * SECOND_US, tokens + 2 * step)
        expected = tokens >= SECOND_US
        assert bucket.take(3, now_us) == expected
        tokens -= SECOND_US if expected else 0


def test_slots_do_not_share_a_budget() -> None:
    bucket = table(1, 1)
    assert [bucket.take(slot, 0) for slot in (0, 1, 0, 1)] == [True, True, False, False]


def test_a_name_keeps_its_slot_and_the_key_scatters_names() -> None:
    bucket = table(1, 1, slot_count=1_024)
    slots = [bucket.slot_of(bytes([number])) for number in range(200)]
    assert slots == [bucket.slot_of(bytes([number])) for number in range(200)]
    assert len(set(slots)) > 150


@pytest.mark.parametrize(
    "choice",
    [
        {"hello_burst": 0},
        {"retry_first_us": 10 * SECOND_US},
        {"silence_us": 100 * SECOND_US},
        {"cookie_life_us": SECOND_US},
        {"records_bytes_max": 1 << 20},
    ],
)
def test_a_contradictory_datagram_config_is_refused(choice: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        DatagramConfig(**choice)


@pytest.mark.parametrize(
    "choice",
    [
        {"chunk_bytes": 0},
        {"frame_bytes_max": 2**32},
        {"anonymous_frame_bytes_max": 2**30},
        {"stream_per_subnet_count_max": 10**6},
    ],
)
def test_a_contradictory_stream_config_is_refused(choice: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        StreamConfig(**choice)


@pytest.mark.parametrize("config", [DatagramConfig, StreamConfig])
def test_every_preset_is_consistent(config: type[DatagramConfig] | type[StreamConfig]) -> None:
    presets = (config.for_lan(), config.for_internet(), config.for_simulation())
    assert all(type(preset) is config for preset in presets)
