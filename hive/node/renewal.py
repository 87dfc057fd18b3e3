"""Renewal of what a federation rests on: issuers (30 d), organisations (90 d), roots (400 d).

An issuer is renewed by its organisation alone, with the org key of the founder's folder, or in a
round of mail among its keepers where several sign together. An organisation is renewed by the
root's holders in one round of mail, together with its issuers. All give a federation's file, which
any running node admits and passes on to the others; what newer records have replaced is left out
of it, so the file stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from hive.custody.signer import Keyring
from hive.errors import NotPermitted, StateError
from hive.node.cards import ISSUER_KEY, ORG_KEY, Card
from hive.node.ceremony import write_proposal
from hive.node.founded import Founded, issuer_of, issuers_of, newest, orgs_of
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import renew_issuer
from hive.trust.links import DATED
from hive.trust.records import IssuerRecord, OrgRecord, RootKey, RootRecord
from hive.trust.roots import Proposable, next_root
from hive.trust.rotation import renew_org
from hive.trust.state import TrustState
from hive.wire.ids import RecordId
from hive.wire.schema import Record

ENDING_DIVISOR: Final = 4
"""A record is ending when less than this part of its life is left."""


def is_ending(record: Record, now_ms: int) -> bool:
    """Whether less than a quarter of a record's life is left."""
    if not isinstance(record, DATED):
        return False
    life_ms = record.not_after_ms - record.not_before_ms
    return record.not_after_ms - now_ms < life_ms // ENDING_DIVISOR


def standing(trust: TrustState, leaf: RecordId) -> tuple[Signed[Record], ...]:
    """The root in force, and the newest records of a leaf's org and issuer."""
    chain = trust.chain_of(leaf)
    if chain is None or trust.root is None:
        return ()
    orgs = [org for org in newest(orgs_of(trust)) if org.record.inception == chain.org]
    issuers = [own for own in newest(issuers_of(trust)) if own.record.inception == chain.issuer]
    return cast("tuple[Signed[Record], ...]", (trust.root, *orgs, *issuers))


def renewed_issuer(founded: Founded, keyring: Keyring, now_ms: int) -> Signed[IssuerRecord]:
    """The issuer of the keyring's org under new dates: same key, same rights."""
    founded.org_of(keyring)
    own, key = keyring.signer(ORG_KEY), keyring.signer(ISSUER_KEY).public
    org = next(org for org in reversed(newest(founded.orgs)) if own.public in org.record.keys)
    if org.record.threshold > 1:
        raise NotPermitted(
            f"{org.record.threshold} keys of {org.record.name} sign its issuers together",
            hint="propose it to its keepers: `hive org propose --renew NAME --issuers-only`",
        )
    if now_ms > org.record.not_after_ms:
        raise StateError(
            f"the organisation's own record ended: {org.record.name}",
            hint="let the root's holders renew it first: `hive org propose --renew`",
        )
    for issuer in newest(founded.issuers):
        if issuer.record.key == key and issuer.record.org == org.record.inception:
            return renew_issuer(org, (own,), issuer, not_before_ms=now_ms)
    successor = keyring.next_signer(ISSUER_KEY).public.digest
    return issuer_of(org, (own,), key, successor, now_ms)


def propose_renewal(founded: Founded, names: Sequence[str], now_ms: int) -> bytes:
    """Organisations and their issuers under new dates, for the holders of the root in force."""
    records: list[Proposable] = []
    for org in _named(founded, names):
        renewed = renew_org(founded.root, org, not_before_ms=now_ms)
        records += [renewed, *_issuers(founded, sign_record(renewed), now_ms)]
    return write_proposal(founded.root.record, records)


def propose_issuers(founded: Founded, names: Sequence[str], now_ms: int) -> bytes:
    """Issuers alone under new dates, for the keepers of their organisations' keys."""
    orgs = _named(founded, names)
    ended = [org.record.name for org in orgs if now_ms > org.record.not_after_ms]
    if ended:
        raise StateError(
            f"the organisation's own record ended: {ended[0]}",
            hint="let the root's holders renew it first: `hive org propose --renew`",
        )
    records = [record for org in orgs for record in _issuers(founded, org, now_ms)]
    if not records:
        raise StateError("there is no issuer to renew", hint="renew the organisation with it")
    keepers = [key for org in orgs for key in org.record.keys]
    return write_proposal(founded.root.record, records, keepers)


def _named(founded: Founded, names: Sequence[str]) -> list[Signed[OrgRecord]]:
    orgs = {org.record.name: org for org in newest(founded.orgs)}
    unknown = [name for name in names if name not in orgs]
    if unknown:
        raise StateError(
            f"no organisation is named {unknown[0]!r}", hint=f"known: {', '.join(orgs)}"
        )
    return [orgs[name] for name in dict.fromkeys(names)]


def _issuers(founded: Founded, org: Signed[OrgRecord], now_ms: int) -> list[IssuerRecord]:
    return [
        renew_issuer(org, (), issuer, not_before_ms=now_ms).record
        for issuer in newest(founded.issuers)
        if issuer.record.org == org.record.inception
    ]


def propose_succession(cards: Sequence[Card], founded: Founded, now_ms: int) -> bytes:
    """R(k+1) for its holders: who sent a card gets its committed key, the others keep theirs.

    The old root's threshold must sign by its present keys and as many by the revealed ones.
    """
    root = founded.root.record
    by_holder = {card.name: card for card in cards}
    if len(root.keys) != len(root.next_digests):
        raise StateError(
            "this root does not say whose key each commitment is",
            hint="its holders sign a successor made with `hive.trust.roots.next_root`",
        )
    for card in cards:
        _require_committed(card, root)
    if len(by_holder) < root.next_threshold:
        raise StateError(
            f"{len(by_holder)} of {root.next_threshold} needed cards are there",
            hint=f"each holder makes one with `hive found succeed`: {_holders(root)}",
        )
    keys, digests = [], []
    for entry, digest in zip(root.keys, root.next_digests, strict=True):
        card_of_holder = by_holder.get(entry.holder)
        keys.append(RootKey(entry.holder, card_of_holder.root_key) if card_of_holder else entry)
        digests.append(card_of_holder.root_next if card_of_holder else digest)
    successor = next_root(
        founded.root,
        keys=keys,
        threshold=root.threshold,
        next_digests=digests,
        next_threshold=root.next_threshold,
        not_before_ms=now_ms,
    )
    revealed = [card.root_key for card in by_holder.values()]
    return write_proposal(root, [successor], revealed)


def _require_committed(card: Card, root: RootRecord) -> None:
    """A holder's card reveals the very key that this holder committed to."""
    committed = {
        entry.holder: digest for entry, digest in zip(root.keys, root.next_digests, strict=False)
    }
    if committed.get(card.name) != card.root_key.digest:
        raise StateError(
            f"the card of {card.name} does not reveal the key that R({root.number}) commits to",
            hint=f"its holder makes it with `hive found succeed`; holders are {_holders(root)}",
        )


def _holders(root: RootRecord) -> str:
    return ", ".join(entry.holder for entry in root.keys)
