"""One exchange with one peer, from `Probe` to `Done`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hive.wire.clock import MonotonicUs
from hive.wire.ids import Digest, PeerId, digest


@dataclass(slots=True)
class Comparison:
    """How far one namespace got; `moved`: its heads showed something that will be transferred."""

    has_heads: bool = False
    has_buckets: bool = False
    states_differ: bool = False
    moved: bool = False


@dataclass(slots=True)
class Session:
    """What must be remembered between two messages; the key is empty until both salts are known.

    `awaiting` counts answers still due to the initiator; `pages_left` the pages of short ids
    this side still exchanges; `found` what this side asked for because of it.
    """

    peer: PeerId
    id: bytes
    is_own: bool
    deadline: MonotonicUs
    own_root: Digest
    their_root: Digest
    pages_left: int
    key: bytes = b""
    salt: bytes = b""
    awaiting: int = 0
    messages: int = 0
    found: int = 0
    namespaces: dict[str, Comparison] = field(default_factory=dict)


def session_key(initiator_salt: bytes, responder_salt: bytes) -> bytes:
    """What keys the short digests and ids of a session; 32 bytes."""
    return digest("hive/reconciliation-session", initiator_salt + responder_salt)
