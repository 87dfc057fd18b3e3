"""Moments and spans as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(wall_ms: int) -> str:
    """Milliseconds as a moment in UTC, to the second; "-" for 0."""
    if not wall_ms:
        return "-"
    try:
        return datetime.fromtimestamp(wall_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "for ever"
