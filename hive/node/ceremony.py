"""Founding a federation and enrolling an organisation: files that people mail to each other.

    card        an organisation's public keys and what it wants to own      (each founder)
    proposal    the records to be signed: R(0), orgs, issuers               (one of them)
    signature   one holder's signatures over every record of the proposal   (each holder)
    federation  the records under enough signatures, verified               (anybody)

One round of mail founds a federation with its organisations and their issuers: a record's id does
not cover its signatures, so what rests on a record can be proposed before that one is signed. An
organisation that comes later makes a card and goes the same way under the federation's file.
Every file is text armour, so damage on its way is named; the same inputs give the same bytes. The
secrets stay in the founder's keyring, under the names `root`, `org` and `issuer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, cast

from hive.custody.signer import Keyring
from hive.errors import ConfigError, MalformedFrame, StateError
from hive.node.cards import ORG_KEY, ROOT_KEY, Card
from hive.node.founded import (
    FILE_BYTES_MAX,
    ODD,
    RECORD_COUNT_MAX,
    Founded,
    issuer_of,
    write_federation,
)
from hive.trust.armour import armour, unarmour
from hive.trust.envelope import Signed, parse_body_untrusted, sign_record
from hive.trust.issuing import make_org
from hive.trust.keys import PublicKey, SigningKey
from hive.trust.records import (
    KEY_COUNT_MAX,
    RECORD_BYTES_MAX,
    IssuerRecord,
    OrgRecord,
    RootKey,
    RootRecord,
)
from hive.trust.roots import (
    PARTIAL,
    Proposable,
    combine,
    federation_of,
    first_root,
    propose,
    sign_proposal,
)
from hive.trust.state import TrustConfig, TrustState
from hive.wire.codec import Array, Integer, Octets
from hive.wire.ids import DIGEST_BYTES, FederationId, RecordId
from hive.wire.schema import Record, record

PROPOSAL: Final = "HIVE CEREMONY PROPOSAL"
SIGNATURE: Final = "HIVE CEREMONY SIGNATURE"

_Id = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Bodies = Annotated[tuple[bytes, ...], Array(Octets(1, RECORD_BYTES_MAX), RECORD_COUNT_MAX)]


@record("ceremony", 1, bytes_max=FILE_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony(Record):
    """The bodies that want signatures, parents first, and the root keys that are asked."""

    holders: Annotated[
        tuple[bytes, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), 2 * KEY_COUNT_MAX)
    ]
    bodies: _Bodies


@record("ceremony-signature", 1, bytes_max=FILE_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class CeremonySignature(Record):
    """One holder's partial signatures, one list entry a record signed: its place and the file."""

    ceremony: _Id
    places: Annotated[tuple[int, ...], Array(Integer(0, RECORD_COUNT_MAX - 1), RECORD_COUNT_MAX)]
    partials: Annotated[tuple[bytes, ...], Array(Octets(1, 1_024), RECORD_COUNT_MAX)]


# Proposals.


def propose_founding(
    cards: Sequence[Card], *, name: str, threshold: int, now_ms: int, freshness_threshold: int = 1
) -> bytes:
    """R(0) with the founders' orgs and issuers, to be signed; the order of cards is no matter."""
    founders = sorted(cards, key=lambda card: card.name)
    _require_distinct(founders)
    if not 1 <= threshold <= len(founders) or len(founders) > KEY_COUNT_MAX:
        raise ConfigError(
            f"a threshold of {threshold} does not fit {len(founders)} founders",
            hint=f"choose 1 to {min(len(founders), KEY_COUNT_MAX)}",
        )
    root = first_root(
        name=name,
        keys=[RootKey(card.name, card.root_key) for card in founders],
        threshold=threshold,
        next_digests=[card.root_next for card in founders],
        next_threshold=threshold,
        freshness_issuers=[card.issuer for card in founders],
        freshness_threshold=freshness_threshold,
        not_before_ms=now_ms,
    )
    unsigned = sign_record(root)
    records: list[Proposable] = [root]
    for card in founders:
        records += _of_card(unsigned, card, now_ms)
    return write_proposal(root, records)


def propose_enrolment(card: Card, founded: Founded, now_ms: int) -> bytes:
    """The org of a card and its issuer under the root in force, to be signed by its holders."""
    others = [org.record for org in founded.orgs if org.record.inception != card.org]
    if any(other.name == card.name for other in others):
        raise StateError(
            f"another organisation is named {card.name!r}", hint="choose another name for the card"
        )
    return write_proposal(founded.root.record, _of_card(founded.root, card, now_ms))


def _of_card(root: Signed[RootRecord], card: Card, now_ms: int) -> list[Proposable]:
    org = make_org(
        root,
        name=card.name,
        keys=card.org_keys,
        threshold=card.org_threshold,
        next_digests=card.org_nexts,
        next_threshold=card.org_threshold,
        namespaces=card.namespaces,
        regions=card.regions,
        assertions=card.assertions,
        node_quota=card.node_quota,
        not_before_ms=now_ms,
    )
    issuer = issuer_of(sign_record(org), (), card.issuer_key, card.issuer_next, now_ms)
    return [org, issuer.record]


def _require_distinct(founders: Sequence[Card]) -> None:
    names = [card.name for card in founders]
    keys = [key for card in founders for key in (card.root_key, *card.org_keys, card.issuer_key)]
    if len(set(names)) < len(names):
        raise ConfigError("two cards bear one name", hint="each founder needs a name of its own")
    if len(set(keys)) < len(keys):
        raise ConfigError(
            "one key is on the cards twice", hint="each founder makes keys of its own"
        )


def write_proposal(
    root: RootRecord, records: Sequence[Proposable], revealed: Sequence[PublicKey] = ()
) -> bytes:
    """The records, parents first, for the holders of a root and of keys that are revealed."""
    keys = (*(entry.key for entry in root.keys), *revealed)
    ceremony = Ceremony(
        holders=tuple(key.digest for key in keys),
        bodies=tuple(record.to_body() for record in records),
    )
    return armour(PROPOSAL, ceremony.to_body())


def read_ceremony(untrusted: bytes) -> tuple[Proposable, ...]:
    """What a holder is asked to sign, to be shown before signing; raises `MalformedFrame`."""
    ceremony = _read(untrusted)
    records = tuple(parse_body_untrusted(body) for body in ceremony.bodies)
    for proposed in records:
        if not isinstance(proposed, RootRecord | OrgRecord | IssuerRecord):
            raise MalformedFrame(f"a {proposed.LABEL} is not signed in a ceremony", hint=ODD)
    if not records:
        raise MalformedFrame("the proposal is empty", hint=ODD)
    return cast("tuple[Proposable, ...]", records)


# Signatures.


def sign_ceremony(untrusted: bytes, keyring: Keyring) -> bytes:
    """The file that a holder mails back: all that the keyring's root and org keys may sign."""
    records, holders = read_ceremony(untrusted), _read(untrusted).holders
    places: list[int] = []
    partials: list[bytes] = []
    for place, proposed in enumerate(records):
        for key in _keys_for(proposed, records, holders, keyring):
            places.append(place)
            partials.append(_partial(proposed, key))
    if not places:
        raise StateError(
            "no key of this keyring is asked to sign this proposal",
            hint="is it the right proposal, and the keyring of the right organisation?",
        )
    signature = CeremonySignature(
        ceremony=_id_of(untrusted), places=tuple(places), partials=tuple(partials)
    )
    return armour(SIGNATURE, signature.to_body())


def _keys_for(
    proposed: Proposable, records: Sequence[Proposable], holders: Sequence[bytes], keyring: Keyring
) -> list[SigningKey]:
    """The keys that are asked: for a root's successor both the present one and the next."""
    if isinstance(proposed, IssuerRecord):
        own = keyring.signer(ORG_KEY)
        orgs = [org for org in records if isinstance(org, OrgRecord) and own.public in org.keys]
        is_asked = any(org.inception == proposed.org for org in orgs)
        return [own] if is_asked or own.public.digest in holders else []
    keys = (keyring.signer(ROOT_KEY), keyring.next_signer(ROOT_KEY))
    return [key for key in keys if key.public.digest in holders]


def _partial(proposed: Proposable, key: SigningKey) -> bytes:
    """The body of a `roots.Partial`; issuers are signed in the same shape."""
    return unarmour(PARTIAL, sign_proposal(propose(proposed), key))


def _read(untrusted: bytes) -> Ceremony:
    return Ceremony.from_body_untrusted(unarmour(PROPOSAL, untrusted))


def _id_of(untrusted_proposal: bytes) -> bytes:
    return Ceremony.id_of(unarmour(PROPOSAL, untrusted_proposal))


# Combining.


def combine_ceremony(
    untrusted_proposal: bytes,
    untrusted_signatures: Sequence[bytes],
    now_ms: int,
    founded: Founded | None = None,
) -> bytes:
    """The federation's file: what `founded` holds and the proposed records, all verified.

    An issuer whose organisation has not signed is left out; `issuer_for` makes it later. Raises
    `MalformedFrame` for a damaged file and `StateError` for a bad, foreign or missing signature,
    saying which file and who has still to sign.
    """
    records = read_ceremony(untrusted_proposal)
    gathered = _gather(untrusted_proposal, untrusted_signatures, len(records))
    done: dict[bytes, Signed[Record]] = {}

    def known(record_id: RecordId) -> Signed[Record] | None:
        found = done.get(record_id)
        return found or (founded.state.signed(record_id) if founded else None)

    for proposed, partials in zip(records, gathered, strict=True):
        if isinstance(proposed, IssuerRecord) and not partials:
            continue
        signed = combine(propose(proposed), [armour(PARTIAL, each) for each in partials], known)
        done[signed.id] = cast("Signed[Record]", signed)
    first = founded or Founded(TrustState(_federation_of(records), TrustConfig()), ())
    return write_federation(first, [signed.to_bytes() for signed in done.values()], now_ms)


def _federation_of(records: Sequence[Proposable]) -> FederationId:
    """The federation that a proposal founds; one that rests on another is combined under it."""
    first = records[0]
    if isinstance(first, RootRecord):
        return federation_of(sign_record(first))
    return FederationId(first.federation)


def _gather(
    untrusted_proposal: bytes, untrusted_signatures: Sequence[bytes], count: int
) -> list[list[bytes]]:
    """The partial signatures of each record of the proposal, in the order of the files."""
    ceremony = _id_of(untrusted_proposal)
    gathered: list[list[bytes]] = [[] for _ in range(count)]
    for position, untrusted in enumerate(untrusted_signatures, 1):
        try:
            found = CeremonySignature.from_body_untrusted(unarmour(SIGNATURE, untrusted))
        except MalformedFrame as error:
            raise MalformedFrame(f"signature file {position}: {error}", hint=error.hint) from None
        if found.ceremony != ceremony:
            raise StateError(
                f"signature file {position} signs another proposal",
                hint=f"ask its holder to sign proposal {ceremony.hex()[:12]}",
            )
        if len(found.places) != len(found.partials) or max(found.places, default=0) >= count:
            raise MalformedFrame(f"signature file {position} does not fit the proposal", hint=ODD)
        for place, partial in zip(found.places, found.partials, strict=True):
            gathered[place].append(partial)
    return gathered
