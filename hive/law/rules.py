"""Step 12 before policies: what a capability permits, the law permits."""

from __future__ import annotations

from hive.memory.delta import Delta


class CapabilityRules:
    """No policy beyond capabilities, which step 5 has already judged."""

    name = "capability rules only"

    def denial(self, delta: Delta, region: str) -> str:
        """The reason code of a denial, or "" where the law permits; here always ""."""
        return ""
