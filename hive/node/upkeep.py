"""Keeps a node's own records alive: renewal at half their life.

Where this process holds the issuer's key it renews by itself (and on a laptop the issuer and the
organisation too); else it asks the nodes of its own organisation, as `errands` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hive.custody.file import FileKeyring
from hive.errors import HiveError
from hive.node import clocks
from hive.node.desk import Desk
from hive.node.home import AGENT_PREFIX, ISSUER, ORG, ROOT
from hive.node.identity import agent_renewal, is_due, node_renewal
from hive.node.paperwork import RenewalLetter, RenewalReply
from hive.node.signers import Signers
from hive.protocol.core import Core
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import renew_issuer
from hive.trust.records import AgentRecord, IssuerRecord, NodeRecord, OrgRecord
from hive.trust.rotation import renew_org

CHECK_INTERVAL_S: Final = 60


class Upkeep:
    """Looks at this node's own records and has them renewed."""

    def __init__(self, core: Core, desk: Desk, signers: Signers, keyring: FileKeyring) -> None:
        self._core = core
        self._desk = desk
        self._signers = signers
        self._keyring = keyring

    def due_letters(self, *, is_leaf_missing: bool = False) -> list[RenewalLetter]:
        """What must be renewed now, the node first; also a node whose TLS leaf is lost."""
        now_ms = clocks.read().wall_us // 1_000
        letters = []
        own = self._core.trust.signed(self._core.own.record)
        if (
            own is not None
            and isinstance(own.record, NodeRecord)
            and (is_leaf_missing or is_due(own.record, now_ms) or self._is_outlived(own))
        ):
            letters.append(node_renewal(self._keyring, own.id))
        for name, signed in self.agents().items():
            if is_due(signed.record, now_ms) or self._is_outlived(signed):
                letters.append(agent_renewal(self._keyring, name, signed.id))
        return letters

    def _is_outlived(self, signed: Signed[Any]) -> bool:
        """Whether its issuer ends before it does, while a newer record of that issuer lives on."""
        chain = self._core.trust.chain_of(signed.id)
        if chain is None or chain.not_after_ms >= signed.record.not_after_ms:
            return False
        issuers = self._core.trust.records_of(IssuerRecord)
        chains = [self._core.trust.chain_of(issuer.id) for issuer in issuers]
        ends_ms = [each.not_after_ms for each in chains if each and each.issuer == chain.issuer]
        return max(ends_ms, default=0) > chain.not_after_ms

    def agents(self) -> dict[str, Signed[AgentRecord]]:
        """The newest record of every agent whose key is in this node's keyring."""
        found: dict[str, Signed[AgentRecord]] = {}
        for name in self._keyring.names():
            if not name.startswith(AGENT_PREFIX):
                continue
            newest = self._newest_agent(self._keyring.signer(name).public.digest)
            if newest is not None:
                found[name.removeprefix(AGENT_PREFIX)] = newest
        return found

    def _newest_agent(self, key: bytes) -> Signed[AgentRecord] | None:
        newest: Signed[AgentRecord] | None = None
        for signed in self._core.trust.records_of(AgentRecord):
            record = signed.record
            if not isinstance(record, AgentRecord) or record.key.digest != key:
                continue
            if newest is None or record.not_before_ms >= newest.record.not_before_ms:
                newest = Signed(record, signed.body, signed.signatures, signed.id)
        return newest

    def renew_here(self, letters: Sequence[RenewalLetter]) -> list[RenewalReply]:
        """Has this node's own desk answer; only where `desk.is_open`."""
        return [self._desk.renew(letter)[0] for letter in letters]

    def renew_issuer(self) -> list[bytes]:
        """New issuer and org records where a laptop holds all keys and they are due."""
        now_ms = clocks.read().wall_us // 1_000
        try:
            org, orgs = self._org(now_ms)
            return [*orgs, *self._issuer(org, now_ms)] if org else []
        except HiveError:
            return []

    def _org(self, now_ms: int) -> tuple[Signed[OrgRecord] | None, list[bytes]]:
        own = self._core.trust.chain_of(self._core.own.record)
        signed = self._core.trust.signed(own.record_ids[1]) if own else None
        root = self._core.trust.root
        if signed is None or root is None or not isinstance(signed.record, OrgRecord):
            return None, []
        org = self._newest_org(signed.record)
        names = self._keyring.names()
        if not _is_ending(org.record, now_ms) or ROOT not in names or root.record.threshold > 1:
            return org, []
        renewed = renew_org(root, org, not_before_ms=now_ms)
        made = sign_record(renewed, self._keyring.signer(ROOT))
        return made, [made.to_bytes()]

    def _newest_org(self, org: OrgRecord) -> Signed[OrgRecord]:
        newest: Signed[OrgRecord] | None = None
        for signed in self._core.trust.records_of(OrgRecord):
            record = signed.record
            if not isinstance(record, OrgRecord) or record.inception != org.inception:
                continue
            if newest is None or record.not_before_ms >= newest.record.not_before_ms:
                newest = Signed(record, signed.body, signed.signatures, signed.id)
        assert newest is not None
        return newest

    def _issuer(self, org: Signed[OrgRecord], now_ms: int) -> list[bytes]:
        names = self._keyring.names()
        if ISSUER not in names or ORG not in names or org.record.threshold > 1:
            return []
        key = self._keyring.signer(ISSUER).public
        newest: Signed[IssuerRecord] | None = None
        for signed in self._core.trust.records_of(IssuerRecord):
            record = signed.record
            if not isinstance(record, IssuerRecord) or record.key != key:
                continue
            if newest is None or record.not_before_ms >= newest.record.not_before_ms:
                newest = Signed(record, signed.body, signed.signatures, signed.id)
        if newest is None or not _is_ending(newest.record, now_ms):
            return []
        signer = self._keyring.signer(ORG)
        return [renew_issuer(org, (signer,), newest, not_before_ms=now_ms).to_bytes()]


def _is_ending(record: OrgRecord | IssuerRecord, now_ms: int) -> bool:
    return now_ms >= (record.not_before_ms + record.not_after_ms) // 2


def records_of(replies: Sequence[RenewalReply]) -> tuple[bytes, ...]:
    """Every record of some replies, in their order."""
    return tuple(record for reply in replies for record in reply.records)
