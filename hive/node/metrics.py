"""Counters: one an ingress step and reason, one a drop, one a kind of news."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from hive.node import clocks
from hive.protocol import events
from hive.protocol.refusals import REASONS

ARRIVAL_COUNT_MAX: Final = 8_192


class Metrics:
    """What happened since this process began."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.arrivals: deque[tuple[bytes, int]] = deque(maxlen=ARRIVAL_COUNT_MAX)
        """The newest deltas stored here, and when each was durable: wall microseconds."""

    def note(self, news: events.News) -> None:
        """Counts one piece of news."""
        match news:
            case events.RefusedNews():
                self.refused[news.refusal.reason.code] += news.count
            case events.Admitted():
                origin = "own" if news.sender is None else "peers"
                self.counts[f"deltas_admitted_{origin}"] += len(news.deltas)
                at_us = clocks.read().wall_us
                self.arrivals.extend((delta.id, at_us) for delta in news.deltas)
            case events.MemberNews():
                self.counts[f"members_{news.state}"] += 1
            case events.ForkNews():
                self.counts["forks"] += 1
            case events.TrustNews():
                outcome = news.outcome if news.outcome == "admitted" else "refused"
                self.counts[f"records_{outcome}"] += 1
            case events.ReconciledNews():
                self.counts["deltas_reconciled"] += news.received

    def snapshot(self) -> dict[str, object]:
        """Every counter; each ingress step is there, also at 0."""
        by_step = {str(step): 0 for step in range(14)}
        by_reason = {}
        for code, reason in REASONS.items():
            by_reason[code] = self.refused[code]
            by_step[str(reason.step)] += self.refused[code]
        return {
            "refused_by_step": by_step,
            "refused_by_reason": by_reason,
            **{name: self.counts[name] for name in sorted(self.counts)},
        }
