"""Structured log lines on stderr: one JSON object a line, nothing secret in it."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TextIO

from hive.node import clocks
from hive.protocol import events

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """Writes what an operator wants to read; repeats within a second are counted, not written."""

    def __init__(self, stream: TextIO | None = None, level: str = "info") -> None:
        self._stream = stream or sys.stderr
        self._level = _LEVELS[level]
        self._last: tuple[str, int] = ("", 0)
        self._repeated = 0

    def write(self, level: str, event: str, **fields: object) -> None:
        """One line."""
        if _LEVELS[level] < self._level:
            return
        second = clocks.read().wall_us // 1_000_000
        key = f"{event}:{fields.get('reason', '')}"
        if (key, second) == self._last:
            self._repeated += 1
            return
        line: dict[str, object] = {"at": second, "level": level, "event": event, **fields}
        if self._repeated:
            line["repeated_before"] = self._repeated
        self._last, self._repeated = (key, second), 0
        with contextlib.suppress(OSError):  # a full disk must not end the node that logs to it
            print(json.dumps(line, default=str), file=self._stream, flush=True)

    def note(self, news: events.News) -> None:
        """The line that a piece of news deserves, if any."""
        match news:
            case events.RefusedNews(refusal, sender, delta):
                level = "info" if refusal.reason.fault.value != "nobody" else "debug"
                self.write(
                    level,
                    "refused",
                    step=refusal.reason.step,
                    reason=refusal.reason.code,
                    fault=refusal.reason.fault.value,
                    detail=refusal.detail,
                    sender=sender.hex() if sender else "",
                    delta=delta.hex()[:16],
                )
            case events.MemberNews(peer, state, _):
                self.write("info", "member", peer=peer.hex(), state=state, reason=peer.hex())
            case events.ForkNews(author, namespace, sequence):
                self.write(
                    "warning", "fork", author=author.hex(), namespace=namespace, sequence=sequence
                )
            case events.TrustNews(label, outcome, _) if outcome != "admitted":
                self.write("info", "record_refused", label=label, reason=outcome)
            case _:
                pass
