"""Step 13 before quorums: an acknowledgement promises one local durable write."""

from __future__ import annotations


class LocalDurability:
    """The class `local`: this node's own synced write."""

    name = "local durability"

    def classes(self) -> tuple[str, ...]:
        """The durability classes on offer."""
        return ("local",)

    def is_met(self, namespace: str, receipts: int) -> bool:
        """Whether one durable copy exists."""
        return receipts >= 1
