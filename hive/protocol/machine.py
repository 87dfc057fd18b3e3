"""What every machine shares: one door, one deadline, and the vocabulary of its edges.

A machine is `handle(event, now) -> effects`, pure and deterministic. It owns its timers: the
driver feeds `Ticked()` when `deadline` has passed, and a tick too early does nothing. Signing
and verifying are effects answered by events that carry the same token; a token is an integer
that the machine chose and that names the work to resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Protocol, TypeVar

from hive.wire.brisk import brisk
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import Digest, PeerId

Token = NewType("Token", int)


@dataclass(frozen=True, slots=True)
class Ticked:
    """The deadline may have passed."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from an attested peer; its payload is still untrusted."""

    sender: PeerId
    untrusted_payload: bytes


@brisk
@dataclass(frozen=True, slots=True)
class Check:
    """One signature to verify: `label` and `digest` are its subject."""

    algorithm: int
    public_key: bytes
    label: str
    digest: Digest
    signature: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """The answer to `Verify`: one verdict a check, in order."""

    token: Token
    verdicts: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class SignatureMade:
    """The answer to `Sign`; an empty signature says that the key would not sign."""

    token: Token
    signature: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Says a message to an attested peer, best effort; never awaited."""

    receiver: PeerId
    payload: bytes


@dataclass(frozen=True, slots=True)
class Verify:
    """Asks the driver to verify a batch of signatures."""

    token: Token
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Sign:
    """Asks the driver to sign a digest under a label with this node's own key."""

    token: Token
    label: str
    digest: Digest


Event = TypeVar("Event", contravariant=True)
Effect = TypeVar("Effect", covariant=True)


class Machine(Protocol[Event, Effect]):
    """A pure, deterministic state machine."""

    @property
    def deadline(self) -> MonotonicUs | None:
        """When it next wants a `Ticked`, on the monotonic clock; None: it waits for nothing."""

    def handle(self, event: Event, now: Now) -> Sequence[Effect]:
        """Takes one event and gives the effects in the order in which they must happen."""
