"""Step 12 before policies: what a capability permits, the law permits."""

from __future__ import annotations

from collections.abc import Mapping

from hive.memory.delta import Delta
from hive.trust.capability import covers_namespace


class CapabilityRules:
    """No policy beyond capabilities, which step 5 has already judged, and declared residency.

    `residency` names the regions that may hold what lies under a prefix; every node of a
    federation must be given the same. Where prefixes nest, all of them bind.
    """

    name = "capability rules only"

    def __init__(self, residency: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._residency = dict(residency or {})

    def denial(self, delta: Delta, region: str) -> str:
        """The reason code of a denial, or "" where the law permits; here always ""."""
        return ""

    def regions(self, namespace: str) -> tuple[str, ...]:
        """The regions that may hold the namespace, sorted; empty: all."""
        bounds = [
            regions
            for prefix, regions in self._residency.items()
            if covers_namespace(prefix, namespace)
        ]
        if not bounds:
            return ()
        return tuple(sorted(r for r in bounds[0] if all(r in bound for bound in bounds)))
