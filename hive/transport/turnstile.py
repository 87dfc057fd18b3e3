"""How many strangers may be inside at once: in all, per subnet, and without a name."""

from __future__ import annotations

from hive.transport.addresses import Address, subnet_of
from hive.transport.stream_config import StreamConfig


class Turnstile:
    """Counts accepted streams; its memory is bounded by `stream_count_max`."""

    __slots__ = ("_anonymous_count", "_config", "_subnets", "count")

    def __init__(self, config: StreamConfig) -> None:
        self._config = config
        self._subnets: dict[bytes, int] = {}
        self._anonymous_count = 0
        self.count = 0

    def enter(self, address: Address) -> bool:
        """Takes a place, or says that there is none; whoever entered must `leave`."""
        subnet = subnet_of(address)
        inside = self._subnets.get(subnet, 0)
        is_full = self.count >= self._config.stream_count_max
        if is_full or inside >= self._config.stream_per_subnet_count_max:
            return False
        self._subnets[subnet] = inside + 1
        self.count += 1
        return True

    def leave(self, address: Address) -> None:
        """Gives the place back."""
        subnet = subnet_of(address)
        inside = self._subnets[subnet] - 1
        if inside:
            self._subnets[subnet] = inside
        else:
            del self._subnets[subnet]
        self.count -= 1

    def enter_anonymous(self) -> bool:
        """Takes one of the few places for streams without certificate."""
        if self._anonymous_count >= self._config.anonymous_count_max:
            return False
        self._anonymous_count += 1
        return True

    def leave_anonymous(self) -> None:
        """Gives it back."""
        self._anonymous_count -= 1
