"""Both clocks, read together; secret randomness. Nothing below this floor reads either."""

from __future__ import annotations

import secrets  # noqa: TID251 (the one place that draws them)
import time

from hive.wire.clock import MonotonicUs, Now, WallUs

_SUSPEND_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read() -> Now:
    """The monotonic clock (counting suspend where the system can) and the wall clock."""
    monotonic_us = time.clock_gettime_ns(_SUSPEND_CLOCK) // 1_000
    return Now(MonotonicUs(monotonic_us), WallUs(time.time_ns() // 1_000))  # noqa: TID251 (the one place)


def entropy(count: int) -> bytes:
    """Secret random bytes."""
    return secrets.token_bytes(count)
