"""A live node under fuzzed datagrams and frames, in short; `hive bench fuzz` throws a million."""

from __future__ import annotations

import json

from cli.bench import fuzz
from hive.wire.codec import encode
from hive.wire.randomness import Stream


def damage(seed: bytes = b"s") -> fuzz.Damage:
    return fuzz.Damage(Stream(seed, "test", b""))


def test_damage_is_the_same_for_the_same_seed_and_reaches_every_depth() -> None:
    good = encode((1, "text", b"octets" * 20, (True, 2**40, ("deep", b""))))
    one, other = damage(), damage()
    made = [one.inside(good, good) for _ in range(300)]
    assert made == [other.inside(good, good) for _ in range(300)]
    assert len(set(made)) > 60
    assert len({one.raw(good, b"other") for _ in range(300)}) > 100


def test_a_fuzzed_node_answers_raises_nothing_and_stays_in_its_bounds() -> None:
    report = fuzz.measure(datagrams_count=4_000, frames_count=800, seed=7)
    assert report.frames_sent == 800
    assert report.datagrams_sent + report.datagrams_lost_in_kernel == 4_000
    assert report.escapes == 0
    assert report.answers
    assert report.goal_met
    assert sum(report.drops.values()) > 500
    assert report.refused
    assert json.loads(json.dumps(report.as_dict()))["goal_met"]
    assert "escapes" in report.text()
