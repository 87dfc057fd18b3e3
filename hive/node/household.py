"""One person's federation renews itself: root (400 d), organisation (90 d) and issuer (30 d).

Where one keyring holds the only root key, the org's and the issuer's, nobody else has to be asked.
A root does not live on under the same key: R(k+1) reveals the key that R(k) committed to, commits
to another, and is signed by both. That other one is durable before the record is made, and the
revealed one takes over once the record is in force; after a crash between them it takes over next
time. Each is renewed at half its life, or late: what ended is renewed all the same.
"""

from __future__ import annotations

from typing import TypeVar

from hive.custody.file import FileKeyring
from hive.node import clocks
from hive.node.founded import issuers_of, newest, orgs_of
from hive.node.home import ISSUER, ORG, ROOT
from hive.protocol.core import Core
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import renew_issuer
from hive.trust.keys import SEED_BYTES
from hive.trust.records import (
    ISSUER_LIFE_MS,
    ORG_LIFE_MS,
    IssuerRecord,
    OrgRecord,
    RootKey,
    RootRecord,
)
from hive.trust.roots import next_root
from hive.trust.rotation import renew_org

T = TypeVar("T", OrgRecord, IssuerRecord)


class Household:
    """What a node rests on, renewed where its own keyring can."""

    def __init__(self, core: Core, keyring: FileKeyring) -> None:
        self._core = core
        self._keyring = keyring

    def renewed(self, now_ms: int) -> list[bytes]:
        """The records that are due, those they rest on first; the store is still to admit them."""
        chain, root = self._core.trust.chain_of(self._core.own.record), self._core.trust.root
        if chain is None or root is None:
            return []
        orgs = [
            org for org in newest(orgs_of(self._core.trust)) if org.record.inception == chain.org
        ]
        roots = self._root(root, now_ms)
        made: list[Signed[OrgRecord]] = []
        for org in orgs:
            made += self._org(roots[-1] if roots else root, org, now_ms)
        issuers: list[Signed[IssuerRecord]] = []
        for org in (made or orgs)[-1:]:
            issuers += self._issuer(org, now_ms)
        return [
            *(signed.to_bytes() for signed in roots),
            *(signed.to_bytes() for signed in made),
            *(signed.to_bytes() for signed in issuers),
        ]

    # Root.

    def _root(self, root: Signed[RootRecord], now_ms: int) -> list[Signed[RootRecord]]:
        """R(k+1) where this keyring alone may make it and half of R(k)'s life is over."""
        if not self._is_ours(root.record):
            return []
        own, revealed = root.record.keys[0], self._keyring.next_signer(ROOT)
        if own.key == revealed.public:
            self._keyring.stage(ROOT, clocks.entropy(SEED_BYTES))
            self._keyring.promote(ROOT)
            revealed = self._keyring.next_signer(ROOT)
        if not _is_due(root.record, root.record.not_after_ms, now_ms):
            return []
        following = self._keyring.stage(ROOT, clocks.entropy(SEED_BYTES))
        successor = next_root(
            root,
            keys=(RootKey(own.holder, revealed.public),),
            threshold=1,
            next_digests=(following.digest,),
            next_threshold=1,
            not_before_ms=now_ms,
        )
        return [sign_record(successor, self._keyring.signer(ROOT), revealed)]

    def _is_ours(self, root: RootRecord) -> bool:
        """Whether the root has one key and this keyring holds it."""
        if ROOT not in self._keyring.names() or len(root.keys) > 1 or root.next_threshold > 1:
            return False
        held = (self._keyring.signer(ROOT), self._keyring.next_signer(ROOT))
        return any(root.keys[0].key == each.public for each in held)

    # What the root signs, and what that signs.

    def _org(
        self, root: Signed[RootRecord], org: Signed[OrgRecord], now_ms: int
    ) -> list[Signed[OrgRecord]]:
        end_ms = min(now_ms + ORG_LIFE_MS, root.record.not_after_ms)
        if not self._is_ours(root.record) or not self._is_worthwhile(org, end_ms, now_ms):
            return []
        held = (self._keyring.signer(ROOT), self._keyring.next_signer(ROOT))
        signer = next(each for each in held if each.public == root.record.keys[0].key)
        return [sign_record(renew_org(root, org, not_before_ms=now_ms), signer)]

    def _issuer(self, org: Signed[OrgRecord], now_ms: int) -> list[Signed[IssuerRecord]]:
        names = self._keyring.names()
        if ISSUER not in names or ORG not in names or org.record.threshold > 1:
            return []
        own, signer = self._keyring.signer(ISSUER).public, self._keyring.signer(ORG)
        end_ms = min(now_ms + ISSUER_LIFE_MS, org.record.not_after_ms)
        return [
            renew_issuer(org, (signer,), each, not_before_ms=now_ms)
            for each in newest(issuers_of(self._core.trust))
            if each.record.key == own
            and signer.public in org.record.keys
            and self._is_worthwhile(each, end_ms, now_ms)
        ]

    def _is_worthwhile(self, signed: Signed[T], end_ms: int, now_ms: int) -> bool:
        """Whether it is due, by the end of all it rests on, and would live longer than it does."""
        chain = self._core.trust.chain_of(signed.id)
        ends_ms = chain.not_after_ms if chain else now_ms
        return end_ms > ends_ms and _is_due(signed.record, ends_ms, now_ms)


def _is_due(record: RootRecord | OrgRecord | IssuerRecord, ends_ms: int, now_ms: int) -> bool:
    return now_ms >= (record.not_before_ms + ends_ms) // 2
