"""What enters the membership machine beside the shared events, and the news that leaves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from hive.protocol.machine import Received, Send, Sign, SignatureMade, Ticked, Verified, Verify
from hive.protocol.membership.place import Place
from hive.wire.ids import Inception, PeerId


@dataclass(frozen=True, slots=True)
class Introduction:
    """A peer whose record chain was verified: what its statements are checked with."""

    peer: PeerId
    algorithm: int
    public_key: bytes
    org: Inception
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Joined:
    """A verified record introduces a peer, or a known peer with a new key."""

    peer: Introduction


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """This node wants to go; `MemberLeft` about itself says that the others were told."""


@dataclass(frozen=True, slots=True)
class Retired:
    """The peer's record ended or was revoked: it is forgotten at once."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class MemberAlive:
    """The member signed that it is alive, for the first time or at a newer incarnation."""

    peer: PeerId
    incarnation: int


@dataclass(frozen=True, slots=True)
class MemberSuspected:
    """Somebody could not reach the member; it still counts as live."""

    peer: PeerId
    incarnation: int
    accuser: PeerId


@dataclass(frozen=True, slots=True)
class MemberDied:
    """The suspicion ran out without a refutation."""

    peer: PeerId
    incarnation: int


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """The member said goodbye; about ourselves: the goodbye has been spread."""

    peer: PeerId
    incarnation: int


@dataclass(frozen=True, slots=True)
class MemberReaped:
    """The member is forgotten: long dead or gone, or retired."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class SelfRefuted:
    """We were accused and answered with this newer incarnation."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class PeerUnknown:
    """A peer was named that nobody introduced; `told_by` may have its records."""

    peer: PeerId
    told_by: PeerId


Event: TypeAlias = Received | Ticked | Verified | SignatureMade | Joined | LeaveRequested | Retired
News: TypeAlias = (
    MemberAlive
    | MemberSuspected
    | MemberDied
    | MemberLeft
    | MemberReaped
    | SelfRefuted
    | PeerUnknown
)
Effect: TypeAlias = Send | Verify | Sign | News
