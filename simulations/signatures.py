"""Real verification, paid once: verdicts are kept by (key, label, digest, signature).

Verifying is a pure function, so a kept verdict is the verdict; a gossiped delta costs one
verification a world instead of one a receiver.
"""

from __future__ import annotations

from typing import Final

from hive.protocol.machine import Check
from hive.trust.keys import PublicKey, verify

KEPT_MAX: Final = 262_144


class Verdicts:
    """What was verified already; `verified_count` is how often libsodium was asked."""

    __slots__ = ("_kept", "asked_count", "verified_count")

    def __init__(self) -> None:
        self._kept: dict[Check, bool] = {}
        self.asked_count = 0
        self.verified_count = 0

    def of(self, check: Check) -> bool:
        """Whether the signature holds."""
        self.asked_count += 1
        verdict = self._kept.get(check)
        if verdict is None:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            key = PublicKey(check.algorithm, check.public_key)
            verdict = verify(key, check.label, check.digest, check.signature)
            self._kept[check] = verdict
            self.verified_count += 1
        return verdict
