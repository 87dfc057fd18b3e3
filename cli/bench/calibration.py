"""What this machine gives bare: libsodium's verify and fdatasync, measured beside a benchmark.

A machine shared with others is up to 1.6 times slower in one minute than in the next, so goals
are ratios, and each slice of a benchmark stands between two slices of these.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final

import nacl.bindings as sodium

from hive.trust.keys import Ed25519Key, signing_bytes
from hive.wire.ids import digest

SLICE_S: Final = 0.1
_SIGNED_COUNT: Final = 64
_PAGE: Final = bytes(4_096)


def verifies_per_second(
    seconds: float = SLICE_S, clock: Callable[[], float] = process_time
) -> float:
    """Bare libsodium verifications of messages as hive signs them, one thread, a CPU second."""
    key = Ed25519Key(bytes(range(32)))
    messages = [
        signing_bytes("delta", digest("bench", bytes((number,)))) for number in range(_SIGNED_COUNT)
    ]
    signed = [key.sign_bytes(message) + message for message in messages]
    return rate(lambda: _verify_all(signed, key.public.octets), seconds, clock) * _SIGNED_COUNT


def _verify_all(signed: list[bytes], public_key: bytes) -> None:
    for each in signed:
        sodium.crypto_sign_open(each, public_key)


def rate(act: Callable[[], object], seconds: float, clock: Callable[[], float]) -> float:
    """How often a second `act` can be done, over at least so many seconds of the clock."""
    count, begin = 0, clock()
    while True:
        act()
        count += 1
        spent = clock() - begin
        if spent >= seconds:
            return count / spent


def fdatasyncs_per_second(directory: Path, count: int = 200) -> float:
    """Bare 4 KiB appends, each synced; from the median, as a neighbour's burst is no limit."""
    spans = []
    with (directory / "calibration").open("ab", buffering=0) as file:
        for _ in range(count):
            begin = perf_counter()
            file.write(_PAGE)
            os.fdatasync(file.fileno())
            spans.append(perf_counter() - begin)
    return 1 / median(spans)
