"""How fast a heal goes: the size of asks and the rest between them, a peer and all together."""

from __future__ import annotations

from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.wire.clock import SECOND_US, MonotonicUs

_THOUSAND = 1_000


class Pace:
    """Asks of one peer: doubled while quick, halved while slow, with a rest behind each."""

    def __init__(self, config: ReconciliationConfig) -> None:
        self._config = config
        self._began_at = MonotonicUs(0)
        self.size = config.ask_deltas_first
        self.rests_until = MonotonicUs(0)

    def begin(self, now_us: MonotonicUs) -> None:
        """An ask goes out."""
        self._began_at = now_us

    def end(self, now_us: MonotonicUs) -> None:
        """What was asked is in the log, or will not come."""
        took_us = min(now_us - self._began_at, self._config.settle_us)
        if took_us > self._config.ask_span_us:
            self.size = max(1, self.size // 2)
        else:
            self.size = min(self._config.ask_deltas_max, 2 * self.size)
        rest_us = took_us * self._config.ask_rest_permille // _THOUSAND
        self.rests_until = MonotonicUs(now_us + rest_us)


class Allowance:
    """A token bucket over the asks of all peers: half a second's worth at once."""

    def __init__(self, config: ReconciliationConfig) -> None:
        self._per_s = config.fetch_deltas_per_s
        self._burst_us = SECOND_US // 2
        self._spent_until = 0
        self._least_us = config.ask_deltas_first * SECOND_US // self._per_s

    @property
    def ready_at(self) -> MonotonicUs:
        """When an ask may go out at the earliest."""
        return MonotonicUs(max(0, self._spent_until - self._burst_us + self._least_us))

    def take(self, wanted: int, now_us: MonotonicUs) -> int:
        """How many of the deltas wanted may be asked for now."""
        if now_us < self.ready_at:
            return 0
        self._spent_until = max(self._spent_until, now_us)
        free_us = now_us + self._burst_us - self._spent_until
        count = max(1, min(wanted, free_us * self._per_s // SECOND_US))
        self._spent_until += count * SECOND_US // self._per_s
        return count
