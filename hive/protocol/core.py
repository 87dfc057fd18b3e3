"""What every part of a peer shares: who it is, what it knows, and how tokens find their way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hive.protocol.bounded import BoundedMap
from hive.protocol.budget import Budgets
from hive.protocol.events import Effect, SignAs
from hive.protocol.freshness import Freshness
from hive.protocol.machine import Sign, Token
from hive.protocol.pending import PendingStore
from hive.protocol.ports import EpochPort, LawPort, StoreReader
from hive.protocol.quarantine import Quarantine
from hive.protocol.quota import Shares
from hive.trust.chain import Chain
from hive.trust.keys import PublicKey
from hive.trust.state import TrustState
from hive.wire.clock import MILLISECOND_US, Now
from hive.wire.ids import Digest, FederationId, Inception, PeerId, RecordId
from hive.wire.randomness import Stream

ROUTE_COUNT_MAX = 16_384
REGION_COUNT_MAX = 8_192
_DELTA_PARTS = ("intake", "draft", "receipt")


class CustodyPort(Protocol):
    """Which private keys this node can sign with, by key digest."""

    def holds(self, key: Digest) -> bool:
        """Whether `SignAs` with this key will be answered."""


@dataclass(slots=True)
class OwnNode:
    """This node: its identity, and the record that is its newest."""

    peer: PeerId
    inception: Inception
    org: Inception
    name: str
    region: str
    key: PublicKey
    record: RecordId
    boot: int
    cell: str


@dataclass(slots=True)
class Tokens:
    """Tokens for work in flight, each with the part it belongs to and that part's own token.

    Routes of deltas are kept apart: their parts bound themselves, and no flood of other work may
    make an answer to them go astray.
    """

    _next: int = 1
    _of_deltas: dict[Token, tuple[str, Token]] = field(default_factory=dict)
    _routes: BoundedMap[Token, tuple[str, Token]] = field(
        default_factory=lambda: BoundedMap(ROUTE_COUNT_MAX)
    )

    def fresh(self) -> Token:
        """A token never used before in this process."""
        self._next += 1
        return Token(self._next)

    def route(self, part: str, inner: Token) -> Token:
        """An outer token that leads back to a part and its own token."""
        outer = self.fresh()
        if part in _DELTA_PARTS:
            self._of_deltas[outer] = (part, inner)
        else:
            self._routes.put(outer, (part, inner))
        return outer

    def resolve(self, outer: Token) -> tuple[str, Token] | None:
        """Where an answer belongs; once."""
        return self._of_deltas.pop(outer, None) or self._routes.pop(outer)


@dataclass(slots=True, kw_only=True)
class Core:
    """The state that the parts of a peer share."""

    federation: FederationId
    own: OwnNode
    trust: TrustState
    reader: StoreReader
    pending: PendingStore
    freshness: Freshness
    quarantine: Quarantine
    budgets: Budgets
    shares: Shares
    epochs: EpochPort
    custody: CustodyPort
    law: LawPort
    stream: Stream
    tokens: Tokens = field(default_factory=Tokens)
    connected: dict[PeerId, None] = field(default_factory=dict)
    regions: BoundedMap[PeerId, str] = field(default_factory=lambda: BoundedMap(REGION_COUNT_MAX))
    """Where contacts stand, by their verified records; more than contacts are remembered."""

    def may_hold(self, peer: PeerId, namespace: str, residency: tuple[str, ...] = ()) -> bool:
        """Whether a peer lies in the admissible set: by law, and by what an author signed (P7).

        A peer whose region is unknown may hold only what everybody may.
        """
        lawful = self.law.regions(namespace)
        if not lawful and not residency:
            return True
        region = self.own.region if peer == self.own.peer else self.regions.get(peer)
        if not region:
            return False
        return (not lawful or region in lawful) and (not residency or region in residency)

    def sign(self, part: str, sign: Sign) -> SignAs:
        """Asks for a signature by this node's own key, to be answered to a part."""
        return SignAs(
            self.tokens.route(part, sign.token), self.own.key.digest, sign.label, sign.digest
        )

    def own_org_namespaces(self) -> tuple[str, ...]:
        """The prefixes that this node's organisation owns."""
        from_org = self.trust.chain_of(self.own.record)
        if from_org is None:
            return ()
        org = self.trust.signed(from_org.record_ids[1])
        return getattr(org.record, "namespaces", ()) if org else ()

    def live_chain(self, record: RecordId, now: Now) -> Chain | None:
        """The chain of a record that is valid now and not revoked."""
        chain = self.trust.chain_of(record)
        if chain is None or not chain.is_valid_at(now.wall_us // MILLISECOND_US):
            return None
        return None if self.trust.is_revoked(chain) else chain


Effects = list[Effect]
