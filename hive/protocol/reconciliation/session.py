"""One exchange with one peer, from `Probe` to `Done`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hive.protocol.reconciliation.elements import Window
from hive.protocol.reconciliation.messages import SessionMessage
from hive.wire.clock import MonotonicUs
from hive.wire.ids import Digest, PeerId, digest


@dataclass(slots=True)
class Comparison:
    """How far one namespace got; `moved`: its heads showed something that will be transferred."""

    has_heads: bool = False
    has_buckets: bool = False
    states_differ: bool = False
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Dirty:
    """A time bucket that differs, and how much each side holds in it."""

    number: int
    own_count: int
    their_count: int

    @property
    def count(self) -> int:
        """The more of both."""
        return max(self.own_count, self.their_count)


@dataclass(slots=True, eq=False)
class Session:
    """What must be remembered between two messages; the key is empty until both salts are known.

    `awaiting` counts answers still due to the initiator; `found` what this side asked for because
    of it; `dirty` holds what the initiator has still to compare by ids, oldest first, and `window`
    the part that is being compared. `inbox` holds what was said while an answer is in the making.
    """

    peer: PeerId
    id: bytes
    is_own: bool
    deadline: MonotonicUs
    last_deadline: MonotonicUs
    own_root: Digest
    their_root: Digest
    key: bytes = b""
    salt: bytes = b""
    awaiting: int = 0
    messages: int = 0
    found: int = 0
    is_busy: bool = False
    is_over: bool = False
    namespaces: dict[str, Comparison] = field(default_factory=dict)
    inbox: deque[SessionMessage] = field(default_factory=deque)
    dirty: deque[tuple[str, int, deque[Dirty]]] = field(default_factory=deque)
    window: Window | None = None


def session_key(initiator_salt: bytes, responder_salt: bytes) -> bytes:
    """What keys the short digests and ids of a session; 32 bytes."""
    return digest("hive/reconciliation-session", initiator_salt + responder_salt)
