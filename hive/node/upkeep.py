"""Keeps a node's own records alive: renewal at half their life.

Where this process holds the issuer's key it renews by itself (and on a laptop what that rests on
too: `household`); else it asks the nodes of its own organisation, as `errands` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import trio

from hive.custody.file import FileKeyring
from hive.custody.signer import CustodyUnavailable, MissingKey, Signer
from hive.errors import HiveError
from hive.node import clocks
from hive.node.home import AGENT_PREFIX
from hive.node.household import Household
from hive.node.identity import agent_renewal, agent_search, is_due, node_renewal
from hive.node.paperwork import RenewalLetter, RenewalReply
from hive.node.signers import Signers
from hive.protocol.core import Core
from hive.trust.envelope import Signed
from hive.trust.records import AgentRecord, IssuerRecord, NodeRecord
from hive.wire.ids import Inception

CHECK_INTERVAL_S: Final = 60


class Upkeep:
    """Looks at this node's own records and has them renewed."""

    def __init__(self, core: Core, signers: Signers, keyring: FileKeyring) -> None:
        self._core = core
        self._signers = signers
        self._keyring = keyring
        self._household = Household(core, keyring)

    async def due_letters(self, *, is_leaf_missing: bool = False) -> list[RenewalLetter]:
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
                letters += await self._signed(name, partial(agent_renewal, record=signed.id))
        return letters

    async def searches(self) -> list[RenewalLetter]:
        """Letters that ask for agents whose keys were brought here without their records."""
        known = self.agents()
        absent = [name for name in self._signers.publics(AGENT_PREFIX) if name not in known]
        return [letter for name in absent for letter in await self._signed(name, agent_search)]

    async def _signed(
        self, name: str, make: Callable[[Signer], RenewalLetter]
    ) -> list[RenewalLetter]:
        """An agent's letter; none where its custodian does not answer: later is soon enough."""
        try:
            return [await trio.to_thread.run_sync(make, self._signers.named(AGENT_PREFIX + name))]
        except (CustodyUnavailable, MissingKey):
            return []

    def _is_outlived(self, signed: Signed[Any]) -> bool:
        """Whether what it rests on ends before it does, while a newer record of that lives on."""
        chain = self._core.trust.chain_of(signed.id)
        if chain is None or chain.not_after_ms >= signed.record.not_after_ms:
            return False
        issuers = self._core.trust.records_of(IssuerRecord)
        chains = [self._core.trust.chain_of(issuer.id) for issuer in issuers]
        ends_ms = [each.not_after_ms for each in chains if each and each.issuer == chain.issuer]
        parent = self._core.trust.signed(chain.record_ids[-2])
        if parent is not None and isinstance(parent.record, NodeRecord):
            newest = self._core.trust.node_chain(Inception(parent.record.inception))
            ends_ms = [newest.not_after_ms] if newest else []
        return max(ends_ms, default=0) > chain.not_after_ms

    def agents(self) -> dict[str, Signed[AgentRecord]]:
        """The newest record of every agent whose key this node can sign with."""
        found: dict[str, Signed[AgentRecord]] = {}
        for name, key in self._signers.publics(AGENT_PREFIX).items():
            newest = self._newest_agent(key.digest)
            if newest is not None:
                found[name] = newest
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

    def renew_household(self) -> list[bytes]:
        """New root, org and issuer records where this keyring alone may make them, once due."""
        try:
            return self._household.renewed(clocks.read().wall_us // 1_000)
        except HiveError:
            return []


def records_of(replies: Sequence[RenewalReply]) -> tuple[bytes, ...]:
    """Every record of some replies, in their order."""
    return tuple(record for reply in replies for record in reply.records)
