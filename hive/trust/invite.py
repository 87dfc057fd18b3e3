"""Invites: a one-time secret that lets a new node or agent in, and the messages it protects.

An invite says which federation (id and newest root), whom to ask (addresses, issuer) and what is
offered (kind, name, capabilities). Request and answer travel sealed under keys derived from its
secret, one for each direction, so joining needs nothing but the invite. Whoever holds an invite
can use it: send it as you would a password; it dies at its first use or after a day.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from hive.errors import ConfigError, MalformedFrame, StateError
from hive.trust.armour import armour, unarmour
from hive.trust.capability import CAPABILITY_COUNT_MAX, NAME_BYTES_MAX, REGION_COUNT_MAX, Capability
from hive.trust.envelope import ENVELOPE_BYTES_MAX
from hive.trust.keys import SIGNATURE_BYTES, PublicKey, SigningKey, is_sound, verify
from hive.trust.records import HOUR_MS, RECORD_BYTES_MAX
from hive.trust.secrets_at_rest import NONCE_BYTES, open_secret, seal_secret
from hive.wire.codec import Array, Fields, Flag, Integer, Octets, Text, decode_untrusted, encode
from hive.wire.ids import DIGEST_BYTES, Digest, digest
from hive.wire.schema import Many, Record, record

INVITE: Final = "HIVE INVITE"
SECRET_BYTES: Final = 32
INVITE_LIFE_MS_MAX: Final = 24 * HOUR_MS
ADDRESS_COUNT_MAX: Final = 8
ANSWER_RECORD_COUNT_MAX: Final = 64
ANSWER_BYTES_MAX: Final = 512 * 1_024
REQUEST_BYTES_MAX: Final = RECORD_BYTES_MAX + 256

_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Name = Annotated[str, Text(NAME_BYTES_MAX)]
_Number = Annotated[int, Integer()]


@record("invite", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class Invite(Record):
    """What its holder needs to join; `kind` is "node" or "agent".

    `root` is the id of the newest root that the inviter knew, `issuer` the inception of the
    issuer that will sign. Addresses are `host:port`.
    """

    federation: _Id
    root: _Id
    org: _Name
    issuer: _Id
    addresses: Annotated[tuple[str, ...], Array(Text(255), ADDRESS_COUNT_MAX)]
    kind: _Name
    name: _Name
    region: _Name
    capabilities: Annotated[tuple[Capability, ...], Many(CAPABILITY_COUNT_MAX)]
    secret: Annotated[bytes, Octets(SECRET_BYTES, SECRET_BYTES)]
    not_before_ms: _Number
    not_after_ms: _Number

    @property
    def id(self) -> Digest:
        """What messages and ledgers name the invite by; tells nothing about its secret."""
        return invite_id(self.secret)


@record("enrolment", 1, bytes_max=RECORD_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRequest(Record):
    """Who wants in: the keys and place of a new node or agent.

    An agent leaves `datagram_key` zero and the place empty. `possession` is the key's signature
    over the invite's id, so nobody enrols a key that is not theirs.
    """

    kind: _Name
    name: _Name
    key: PublicKey
    next_key_digest: _Id
    datagram_key: _Id
    region: _Name
    zone: _Name
    cell: _Name
    storage_backends: Annotated[tuple[str, ...], Array(Text(NAME_BYTES_MAX), REGION_COUNT_MAX)]
    custody_class: _Name
    possession: Annotated[bytes, Octets(SIGNATURE_BYTES, SIGNATURE_BYTES)]


@record("enrolled", 1, bytes_max=ANSWER_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentAnswer(Record):
    """The envelopes from R(0) to the new record in order of admission; or why there are none."""

    records: Annotated[
        tuple[bytes, ...], Array(Octets(1, ENVELOPE_BYTES_MAX), ANSWER_RECORD_COUNT_MAX)
    ]
    refusal: Annotated[str, Text(255)]


def invite_id(secret: bytes) -> Digest:
    """The public name of a secret."""
    return digest("hive/invite-id", secret)


def write_invite(invite: Invite) -> bytes:
    """The invite as text for a file or a mail."""
    _require_sound(invite)
    return armour(INVITE, invite.to_body())


def read_invite(untrusted: bytes, now_ms: int) -> Invite:
    """The invite again; `MalformedFrame` where it is damaged, `StateError` where it is over."""
    invite = Invite.from_body_untrusted(unarmour(INVITE, untrusted))
    if not 0 < invite.not_after_ms - invite.not_before_ms <= INVITE_LIFE_MS_MAX:
        raise MalformedFrame("the invite claims a life beyond 24 hours", hint="ask for a new one")
    if now_ms > invite.not_after_ms:
        minutes = (now_ms - invite.not_after_ms) // 60_000
        raise StateError(f"the invite ended {minutes} minutes ago", hint="ask for a new one")
    return invite


def _require_sound(invite: Invite) -> None:
    if not 0 < invite.not_after_ms - invite.not_before_ms <= INVITE_LIFE_MS_MAX:
        raise ConfigError("an invite lives at most 24 hours", hint="choose a shorter life")
    if invite.kind not in ("node", "agent"):
        raise ConfigError(
            f"{invite.kind!r} cannot be invited", hint='invite a "node" or an "agent"'
        )


# Messages.

_SEALED: Final = Fields(
    (Octets(DIGEST_BYTES, DIGEST_BYTES), Octets(NONCE_BYTES, NONCE_BYTES), Octets(1, 1 << 20))
)


def prove_possession(secret: bytes, key: SigningKey) -> bytes:
    """The `possession` of a request under this invite."""
    return key.sign("enrolment", invite_id(secret))


def seal_request(secret: bytes, request: EnrolmentRequest, nonce: bytes) -> bytes:
    """`[invite id, nonce, box]` for the inviter."""
    return _seal(secret, b"request", request.to_body(), nonce)


def open_request(secret: bytes, untrusted: bytes) -> EnrolmentRequest:
    """The request, its key sound and possessed; raises `MalformedFrame`."""
    opened = _open(secret, b"request", untrusted, REQUEST_BYTES_MAX)
    request = EnrolmentRequest.from_body_untrusted(opened)
    subject = invite_id(secret)
    if not is_sound(request.key) or not verify(
        request.key, EnrolmentRequest.LABEL, subject, request.possession
    ):
        raise MalformedFrame("the request does not prove possession of its key")
    return request


def seal_answer(secret: bytes, answer: EnrolmentAnswer, nonce: bytes) -> bytes:
    """`[invite id, nonce, box]` for the newcomer."""
    return _seal(secret, b"answer", answer.to_body(), nonce)


def open_answer(secret: bytes, untrusted: bytes) -> EnrolmentAnswer:
    """The answer; raises `MalformedFrame`. Its records still go through `TrustState.admit`."""
    opened = _open(secret, b"answer", untrusted, ANSWER_BYTES_MAX + 256)
    return EnrolmentAnswer.from_body_untrusted(opened)


def named_invite(untrusted: bytes) -> Digest:
    """Which invite a sealed message names, before any key is touched; raises `MalformedFrame`."""
    named, _, _ = decode_untrusted(untrusted, _SEALED, bytes_max=ANSWER_BYTES_MAX + 1_024)
    return Digest(named)


def _direction_key(secret: bytes, direction: bytes) -> bytes:
    return hashlib.blake2b(direction, digest_size=32, key=secret, person=b"hive/enrolment").digest()


def _seal(secret: bytes, direction: bytes, body: bytes, nonce: bytes) -> bytes:
    box = seal_secret(_direction_key(secret, direction), nonce, body)
    return encode((invite_id(secret), nonce, box))


def _open(secret: bytes, direction: bytes, untrusted: bytes, bytes_max: int) -> bytes:
    named, nonce, box = decode_untrusted(untrusted, _SEALED, bytes_max=bytes_max)
    opened = open_secret(_direction_key(secret, direction), nonce, box)
    if named != invite_id(secret) or opened is None:
        raise MalformedFrame("the message was not sealed with this invite's secret")
    return opened


# The inviter's side.


class InviteReason(StrEnum):
    """Why an invite is not honoured."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    USED = "used"


@record("invite-entry", 1, bytes_max=RECORD_BYTES_MAX + 512)
@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry(Record):
    """One issued invite and what became of it; `used_by` is the digest of the request."""

    invite: Annotated[bytes, Octets(1, RECORD_BYTES_MAX)]
    is_used: Annotated[bool, Flag()]
    used_by: _Id
    used_at_ms: _Number
    refused_count: _Number


@dataclass(frozen=True, slots=True)
class Honoured:
    """The invite is good for this request; `is_repeat` where the very same request came before."""

    invite: Invite
    request: EnrolmentRequest
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class InviteRefusal:
    """The invite is not good; to be logged."""

    reason: InviteReason
    detail: str


Judged: TypeAlias = Honoured | InviteRefusal


@dataclass(slots=True)
class _Issued:
    invite: Invite
    entry: LedgerEntry


class InviteLedger:
    """The invites that this node issued; each is spent once. Bounded, pure, kept by its bytes."""

    def __init__(self, invite_count_max: int = 1_024) -> None:
        self._invite_count_max = invite_count_max
        self._issued: OrderedDict[Digest, _Issued] = OrderedDict()

    def issue(self, invite: Invite, now_ms: int) -> None:
        """Takes a new invite; expired ones make room, else `StateError`."""
        _require_sound(invite)
        self._drop_expired(now_ms)
        if len(self._issued) >= self._invite_count_max:
            raise StateError(
                f"{self._invite_count_max} invites are open", hint="wait until some have ended"
            )
        entry = LedgerEntry(
            invite=invite.to_body(),
            is_used=False,
            used_by=bytes(DIGEST_BYTES),
            used_at_ms=0,
            refused_count=0,
        )
        self._issued[invite.id] = _Issued(invite, entry)

    def find(self, invite: Digest) -> Invite | None:
        """An issued invite, whatever became of it: its secret opens the request."""
        issued = self._issued.get(invite)
        return issued.invite if issued else None

    def spend(self, untrusted_request: bytes, now_ms: int) -> Judged:
        """Opens a sealed request and spends its invite, once.

        The same bytes again are a retransmission and get the same answer; any others are refused.
        Raises `MalformedFrame`, and spends nothing, where the request was not sealed with it.
        """
        named = named_invite(untrusted_request)
        issued = self._issued.get(named)
        if issued is None:
            return InviteRefusal(InviteReason.UNKNOWN, named.hex()[:12])
        opened = open_request(issued.invite.secret, untrusted_request)
        request = digest("hive/enrolment-request", untrusted_request)
        if issued.entry.is_used and issued.entry.used_by == request:
            return Honoured(issued.invite, opened, True)
        if issued.entry.is_used:
            issued.entry = replace(issued.entry, refused_count=issued.entry.refused_count + 1)
            detail = f"invite for {issued.invite.name!r}, attempt {issued.entry.refused_count + 1}"
            return InviteRefusal(InviteReason.USED, detail)
        if now_ms > issued.invite.not_after_ms:
            return InviteRefusal(InviteReason.EXPIRED, f"invite for {issued.invite.name!r}")
        issued.entry = replace(issued.entry, is_used=True, used_by=request, used_at_ms=now_ms)
        return Honoured(issued.invite, opened, False)

    def export(self) -> tuple[bytes, ...]:
        """One body an entry, to be kept and handed to `restore`."""
        return tuple(issued.entry.to_body() for issued in self._issued.values())

    def restore(self, bodies: Iterable[bytes]) -> None:
        """Takes back what `export` gave; raises `MalformedFrame` before changing anything."""
        restored: OrderedDict[Digest, _Issued] = OrderedDict()
        for body in bodies:
            entry = LedgerEntry.from_body_untrusted(body)
            invite = Invite.from_body_untrusted(entry.invite)
            restored[invite.id] = _Issued(invite, entry)
        self._issued = restored

    def _drop_expired(self, now_ms: int) -> None:
        ended = [key for key, issued in self._issued.items() if now_ms > issued.invite.not_after_ms]
        for key in ended:
            del self._issued[key]
