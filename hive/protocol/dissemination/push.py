"""Push: a node sends what it admitted first to every interested member it is connected to.

Inside a cell every node is connected to every other, so one hop from the admitting node reaches
all of them, and relaying would only multiply copies (n² in a cell of n). The one exception are
newcomers: for `newcomer_us` after a member connected here, what arrives from others is passed on
to it, because the admitting node may not have met it yet. Whatever is lost, dropped here, or
crosses cells is fetched by reconciliation. Trees over partial views come later, at this door.

A delta goes to a member only if the namespace is admissible there (P7) and one of the prefixes
the member announced covers it; a member that announced nothing is sent nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from hive.errors import ConfigError
from hive.protocol.machine import Send
from hive.protocol.messages import DELTA_COUNT_MAX, PREFIX_COUNT_MAX, Deltas
from hive.trust.capability import covers_namespace
from hive.wire.clock import SECOND_US, MonotonicUs, Now
from hive.wire.ids import PeerId

MEBIBYTE = 1_024 * 1_024


@dataclass(frozen=True, kw_only=True, slots=True)
class PushConfig:
    """The bounds of pushing."""

    message_bytes_max: int = MEBIBYTE
    """Envelopes in one message; one larger delta still goes alone. Must fit a frame."""
    member_burst_bytes: int = 8 * MEBIBYTE
    """What one member may be sent at once; beyond it deltas are dropped, counted, reconciled."""
    member_refill_bytes_per_s: int = 8 * MEBIBYTE
    """Refill of that budget; above what the slowest link carries it only fills its outbox."""
    newcomer_us: int = 10 * SECOND_US
    """How long after connecting a member is passed on what others admitted; 0: never."""
    members_max: int = 1_024
    """Members pushed to; a newcomer beyond it is left to reconciliation."""

    def __post_init__(self) -> None:
        for name in ("message_bytes_max", "member_refill_bytes_per_s", "members_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")
        if self.newcomer_us < 0:
            raise ConfigError("newcomer_us must not be negative")
        if self.member_burst_bytes < self.message_bytes_max:
            raise ConfigError("member_burst_bytes must cover one message")

    @classmethod
    def for_lan(cls) -> PushConfig:
        """One site: whoever joins has met everybody within a second or two."""
        return cls(newcomer_us=3 * SECOND_US)

    @classmethod
    def for_internet(cls) -> PushConfig:
        """Links of some ten Mbit/s."""
        return cls(member_burst_bytes=4 * MEBIBYTE, member_refill_bytes_per_s=2 * MEBIBYTE)

    @classmethod
    def for_simulation(cls) -> PushConfig:
        """As on a LAN."""
        return cls()


@dataclass(frozen=True, slots=True)
class MemberConnected:
    """A stream to an attested member is open."""

    member: PeerId


@dataclass(frozen=True, slots=True)
class MemberGone:
    """Its last stream closed."""

    member: PeerId


@dataclass(frozen=True, slots=True)
class InterestHeard:
    """A member announced the prefixes it wants; they replace what it said before."""

    member: PeerId
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredDelta:
    """A delta that is durable here, in its envelope."""

    namespace: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class DeltasStored:
    """Deltas in chain order; `source` is the peer they came from, None where this node admitted."""

    deltas: tuple[StoredDelta, ...]
    source: PeerId | None


Event = MemberConnected | MemberGone | InterestHeard | DeltasStored
Effect = Send


@dataclass(frozen=True, slots=True)
class _Member:
    connected_at: MonotonicUs
    prefixes: tuple[str, ...]
    bytes_left: int
    refilled_at: MonotonicUs


class Pusher:
    """Who wants what, and what each may still be sent."""

    def __init__(self, config: PushConfig, admissible: Callable[[PeerId, str], bool]) -> None:
        self._config = config
        self._admissible = admissible
        self._members: dict[PeerId, _Member] = {}
        self.pushed_count = 0
        self.dropped_count = 0

    @property
    def deadline(self) -> MonotonicUs | None:
        """Never: pushing waits for nothing."""
        return None

    def handle(self, event: Event, now: Now) -> Sequence[Effect]:
        """Takes one event and gives what to send, in order."""
        match event:
            case MemberConnected():
                self._meet(event.member, now.monotonic_us)
            case MemberGone():
                self._members.pop(event.member, None)
            case InterestHeard():
                self._note_interest(event)
            case DeltasStored():
                return self._push(event, now.monotonic_us)
            case _:
                assert_never(event)
        return ()

    def _meet(self, member: PeerId, now_us: MonotonicUs) -> None:
        if member not in self._members and len(self._members) < self._config.members_max:
            burst = self._config.member_burst_bytes
            self._members[member] = _Member(now_us, (), burst, now_us)

    def _note_interest(self, event: InterestHeard) -> None:
        member = self._members.get(event.member)
        if member is not None:
            prefixes = event.prefixes[:PREFIX_COUNT_MAX]
            self._members[event.member] = replace(member, prefixes=prefixes)

    def _push(self, event: DeltasStored, now_us: MonotonicUs) -> list[Send]:
        """One set of messages for all members that want the same of the namespaces at hand."""
        namespaces = tuple(dict.fromkeys(delta.namespace for delta in event.deltas))
        parcels: dict[tuple[str, ...], list[tuple[int, int, bytes]]] = {}
        effects: list[Send] = []
        for id, member in self._members.items():
            if id == event.source or not self._is_due(event.source, member, now_us):
                continue
            wanted = tuple(name for name in namespaces if self._wants(id, member, name))
            if not wanted:
                continue
            if wanted not in parcels:
                parcels[wanted] = self._parcels(event, wanted)
            effects += self._send(id, member, parcels[wanted], now_us)
        return effects

    def has_takers(self, source: PeerId | None, now: Now) -> bool:
        """Whether what came from there may be pushed to anybody at all."""
        return any(
            id != source and self._is_due(source, member, now.monotonic_us)
            for id, member in self._members.items()
        )

    def _is_due(self, source: PeerId | None, member: _Member, now_us: MonotonicUs) -> bool:
        return source is None or now_us < member.connected_at + self._config.newcomer_us

    def _wants(self, id: PeerId, member: _Member, namespace: str) -> bool:
        is_interested = any(covers_namespace(prefix, namespace) for prefix in member.prefixes)
        return is_interested and self._admissible(id, namespace)

    def _parcels(
        self, event: DeltasStored, wanted: tuple[str, ...]
    ) -> list[tuple[int, int, bytes]]:
        """Messages with the count and bytes of their envelopes."""
        groups: list[list[bytes]] = [[]]
        size = 0
        for delta in event.deltas:
            if delta.namespace not in wanted:
                continue
            is_too_big = size + len(delta.envelope) > self._config.message_bytes_max
            if groups[-1] and (is_too_big or len(groups[-1]) == DELTA_COUNT_MAX):
                groups.append([])
                size = 0
            groups[-1].append(delta.envelope)
            size += len(delta.envelope)
        return [
            (len(group), sum(map(len, group)), Deltas(tuple(group)).to_body()) for group in groups
        ]

    def _send(
        self,
        id: PeerId,
        member: _Member,
        parcels: list[tuple[int, int, bytes]],
        now_us: MonotonicUs,
    ) -> list[Send]:
        """The first messages that the budget covers; later ones alone would only make gaps."""
        config = self._config
        refill = (now_us - member.refilled_at) * config.member_refill_bytes_per_s // SECOND_US
        left = min(config.member_burst_bytes, member.bytes_left + refill)
        effects: list[Send] = []
        for position, (count, size, payload) in enumerate(parcels):
            if size > left:
                self.dropped_count += sum(each[0] for each in parcels[position:])
                break
            left -= size
            self.pushed_count += count
            effects.append(Send(id, payload))
        self._members[id] = replace(member, bytes_left=left, refilled_at=now_us)
        return effects
