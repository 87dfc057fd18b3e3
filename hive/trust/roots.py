"""Roots: their history, how one replaces another, and the ceremonies that sign them.

R(k) needs m keys of R(k−1) *and* m of the keys that R(k−1) committed to (TUF 1.0 section 5.3
with KERI's pre-rotation), one version at a time. Roots and orgs need people at several places:
one makes a *proposal*, mails it; each holder reads it and mails back a *partial signature*;
anybody combines them. The files are text armour, so a mailer's damage is named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from hive.errors import MalformedFrame, StateError
from hive.trust.armour import armour, unarmour
from hive.trust.envelope import Signature, Signed, parse_body_untrusted
from hive.trust.keys import SIGNATURE_BYTES, PublicKey, SigningKey, is_sound, verify
from hive.trust.links import Requirement, previous_id_of, requirements, signer_id_of
from hive.trust.records import (
    RECORD_BYTES_MAX,
    ROOT_LIFE_MS,
    IssuerRecord,
    OrgRecord,
    RootKey,
    RootRecord,
)
from hive.wire.codec import INTEGER_MAX, Octets
from hive.wire.ids import DIGEST_BYTES, Digest, FederationId, RecordId
from hive.wire.schema import Record, record

PROPOSAL: Final = "HIVE PROPOSAL"
PARTIAL: Final = "HIVE SIGNATURE"

Proposable: TypeAlias = RootRecord | OrgRecord | IssuerRecord
"""What people sign at several places: the records of keys that are kept apart."""


class RootHistory:
    """R(0), R(1), … one version at a time; two roots of one number: the smaller id reigns."""

    def __init__(self) -> None:
        self._first: Signed[RootRecord] | None = None
        self._following: dict[bytes, Signed[RootRecord]] = {}
        self._reign_ends_ms: dict[bytes, int] = {}
        self._newest: Signed[RootRecord] | None = None
        self._count = 0

    @property
    def count(self) -> int:
        """How many roots are known, beaten ones included."""
        return self._count

    @property
    def newest(self) -> Signed[RootRecord] | None:
        """The root in force."""
        return self._newest

    def reign_ends_ms(self, root: RecordId) -> int:
        """When the root's successor began; 0 for one that never reigned."""
        return self._reign_ends_ms.get(root, 0)

    def add(self, signed: Signed[RootRecord]) -> None:
        """Takes an admitted root."""
        self._count += 1
        if not signed.record.number:
            self._first = signed
        else:
            rival = self._following.get(signed.record.previous)
            if rival is None or signed.id < rival.id:
                self._following[signed.record.previous] = signed
        self._walk()

    def _walk(self) -> None:
        self._reign_ends_ms = {}
        self._newest = at = self._first
        while at is not None:
            self._newest, following = at, self._following.get(at.id)
            self._reign_ends_ms[at.id] = (
                INTEGER_MAX if following is None else following.record.not_before_ms
            )
            at = following


def first_root(
    *,
    name: str,
    keys: Sequence[RootKey],
    threshold: int,
    next_digests: Sequence[bytes],
    next_threshold: int,
    freshness_issuers: Sequence[bytes],
    freshness_threshold: int,
    not_before_ms: int,
    voters: Sequence[bytes] = (),
    rail_faults: int = 0,
    rail_quorum: int = 0,
    life_ms: int = ROOT_LIFE_MS,
) -> RootRecord:
    """R(0), unsigned; its id becomes the federation's."""
    return RootRecord(
        federation=b"",
        name=name,
        number=0,
        previous=b"",
        threshold=threshold,
        keys=tuple(keys),
        next_threshold=next_threshold,
        next_digests=tuple(next_digests),
        freshness_threshold=freshness_threshold,
        freshness_issuers=tuple(freshness_issuers),
        voters=tuple(voters),
        rail_faults=rail_faults,
        rail_quorum=rail_quorum,
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )


def next_root(
    old: Signed[RootRecord],
    *,
    keys: Sequence[RootKey],
    threshold: int,
    next_digests: Sequence[bytes],
    next_threshold: int,
    not_before_ms: int,
    life_ms: int = ROOT_LIFE_MS,
) -> RootRecord:
    """R(k+1), unsigned: reveals committed keys; all else stays (change it with `replace`)."""
    return dataclasses.replace(
        old.record,
        federation=federation_of(old),
        number=old.record.number + 1,
        previous=old.id,
        keys=tuple(keys),
        threshold=threshold,
        next_digests=tuple(next_digests),
        next_threshold=next_threshold,
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )


def federation_of(root: Signed[RootRecord]) -> FederationId:
    """The federation that a root belongs to: the id of R(0)."""
    return FederationId(root.record.federation or root.id)


# Ceremonies.


@record("proposal", 1, bytes_max=RECORD_BYTES_MAX + 256)
@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Record):
    """The body of a record that wants signatures."""

    body: Annotated[bytes, Octets(1, RECORD_BYTES_MAX)]


@record("partial", 1, bytes_max=1_024)
@dataclass(frozen=True, slots=True, kw_only=True)
class Partial(Record):
    """One key's signature over a proposed record."""

    subject: Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    key: PublicKey
    octets: Annotated[bytes, Octets(SIGNATURE_BYTES, SIGNATURE_BYTES)]


def propose(proposed: Proposable) -> bytes:
    """The file to mail to the holders."""
    return armour(PROPOSAL, Proposal(body=proposed.to_body()).to_body())


def read_proposal(untrusted: bytes) -> Proposable:
    """What a holder is asked to sign, to be shown before signing; raises `MalformedFrame`."""
    proposal = Proposal.from_body_untrusted(unarmour(PROPOSAL, untrusted))
    proposed = parse_body_untrusted(proposal.body)
    if isinstance(proposed, RootRecord | OrgRecord | IssuerRecord):
        return proposed
    raise MalformedFrame(
        f"a {proposed.LABEL} is not signed in a ceremony",
        hint="proposals are made for roots, organisations and issuers only",
    )


def sign_proposal(untrusted: bytes, key: SigningKey) -> bytes:
    """The file that a holder mails back."""
    proposed = read_proposal(untrusted)
    subject = proposed.id_of(proposed.to_body())
    octets = key.sign(proposed.LABEL, subject)
    return armour(PARTIAL, Partial(subject=subject, key=key.public, octets=octets).to_body())


def combine(
    untrusted_proposal: bytes,
    untrusted_partials: Sequence[bytes],
    known: Callable[[RecordId], Signed[Record] | None] = lambda _: None,
) -> Signed[Proposable]:
    """The proposed record under its signatures, each one verified and needed, and enough.

    `known` finds the records that it rests on (`TrustState.signed`); R(0) rests on none. Raises
    `MalformedFrame` for a damaged file, `StateError` for a signature that is bad, foreign or
    missing; both say which and what to do. `TrustState.admit` remains the judge.
    """
    proposed = read_proposal(untrusted_proposal)
    body = proposed.to_body()
    subject = proposed.id_of(body)
    needs = _needs(proposed, known)
    entries: dict[bytes, Signature] = {}
    for position, untrusted in enumerate(untrusted_partials, 1):
        partial = _read_partial(position, untrusted, proposed.LABEL, subject)
        _require_needed(position, partial.key, needs)
        entries[partial.key.digest] = Signature(partial.key.digest, partial.octets)
    _require_enough(needs, tuple(entries))
    signatures = tuple(entries[key] for key in sorted(entries))
    return Signed(proposed, body, signatures, RecordId(subject))


def _needs(
    proposed: Proposable, known: Callable[[RecordId], Signed[Record] | None]
) -> tuple[Requirement, ...]:
    signer_id, previous_id = signer_id_of(proposed), previous_id_of(proposed)
    signer = known(signer_id) if signer_id else None
    previous = known(previous_id) if previous_id else None
    for record_id, signed in ((signer_id, signer), (previous_id, previous)):
        if record_id and signed is None:
            raise StateError(
                f"the proposal rests on record {record_id.hex()[:12]}, which is not known here",
                hint="combine on a node of the federation, or give the newest root's file",
            )
    return requirements(proposed, signer, previous)


def _read_partial(position: int, untrusted: bytes, label: str, subject: Digest) -> Partial:
    try:
        partial = Partial.from_body_untrusted(unarmour(PARTIAL, untrusted))
    except MalformedFrame as error:
        raise MalformedFrame(f"signature file {position}: {error}", hint=error.hint) from None
    if partial.subject != subject:
        raise StateError(
            f"signature file {position} signs another proposal, {partial.subject.hex()[:12]}",
            hint=f"ask its holder to sign proposal {subject.hex()[:12]}",
        )
    if not is_sound(partial.key) or not verify(partial.key, label, subject, partial.octets):
        raise StateError(
            f"signature file {position} is not genuine for key {partial.key.digest.hex()[:12]}",
            hint="ask its holder to sign the proposal again",
        )
    return partial


def _require_needed(position: int, key: PublicKey, needs: Sequence[Requirement]) -> None:
    if not any(key in need.keys for need in needs):
        wanted = ", ".join(need.what for need in needs)
        raise StateError(
            f"signature file {position} is by key {key.digest.hex()[:12]}, not one of {wanted}",
            hint="was it signed with an old key, or with the key of another role?",
        )


def _require_enough(needs: Sequence[Requirement], signed_by: Sequence[bytes]) -> None:
    for need in needs:
        voices = [
            need.holders[position] if need.holders else key.digest.hex()
            for position, key in enumerate(need.keys)
            if key.digest in signed_by
        ]
        count = len(dict.fromkeys(voices))
        if count < need.threshold:
            absent = [
                need.holders[position] if need.holders else key.digest.hex()[:12]
                for position, key in enumerate(need.keys)
                if key.digest not in signed_by
            ]
            raise StateError(
                f"{count} of {need.threshold} needed signatures of {need.what} are there",
                hint=f"still to sign: {', '.join(absent) or 'nobody is left who could'}",
            )
