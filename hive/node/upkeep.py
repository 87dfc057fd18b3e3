"""Keeps a node's own records alive: renewal at half their life.

Where this process holds the issuer's key it renews by itself (and on a laptop what that rests on
too: `household`); else it asks the nodes of its own organisation, as `errands` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hive.custody.file import FileKeyring
from hive.errors import HiveError
from hive.node import clocks
from hive.node.desk import Desk
from hive.node.home import AGENT_PREFIX
from hive.node.household import Household
from hive.node.identity import agent_renewal, is_due, node_renewal
from hive.node.paperwork import RenewalLetter, RenewalReply
from hive.node.signers import Signers
from hive.protocol.core import Core
from hive.trust.envelope import Signed
from hive.trust.records import AgentRecord, IssuerRecord, NodeRecord

CHECK_INTERVAL_S: Final = 60


class Upkeep:
    """Looks at this node's own records and has them renewed."""

    def __init__(self, core: Core, desk: Desk, signers: Signers, keyring: FileKeyring) -> None:
        self._core = core
        self._desk = desk
        self._signers = signers
        self._keyring = keyring
        self._household = Household(core, keyring)

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

    def renew_household(self) -> list[bytes]:
        """New root, org and issuer records where this keyring alone may make them, once due."""
        try:
            return self._household.renewed(clocks.read().wall_us // 1_000)
        except HiveError:
            return []


def records_of(replies: Sequence[RenewalReply]) -> tuple[bytes, ...]:
    """Every record of some replies, in their order."""
    return tuple(record for reply in replies for record in reply.records)
