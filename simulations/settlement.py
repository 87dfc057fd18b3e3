"""Settled cells: whole peers that begin as if they had met long ago.

Identities follow from numbers. What is equal for all members of a cell exists once: its trust
state, with every record really signed and admitted, and the base of its membership views. Keys of
nodes and agents sign with stand-ins; issuers of freshness statements sign in earnest, because the
trust state verifies those itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hive.errors import ConfigError
from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.memory.authoring import Draft
from hive.memory.bodies import MemoryBody
from hive.memory.delta import Kind
from hive.protocol.budget import BudgetConfig
from hive.protocol.core import OwnNode
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.dissemination.config import DisseminationConfig
from hive.protocol.events import Endpoint
from hive.protocol.introductions import Known
from hive.protocol.membership.cell import scope_of
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import Introduction
from hive.protocol.membership.messages import SIGNED_LABEL, Signed, Standing, Statement
from hive.protocol.membership.place import Place as CellPlace
from hive.protocol.membership.view import Member, View
from hive.protocol.peer import Peer
from hive.protocol.peer_config import PeerConfig, PeerPorts
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.store.memory_store import MemoryStore
from hive.trust.issuing import NodePlace, issue_agent, issue_node
from hive.trust.keys import Ed25519Key, PublicKey
from hive.trust.records import NodeRecord
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted
from hive.wire import merkle
from hive.wire.clock import MILLISECOND_US, MonotonicUs
from hive.wire.ids import Digest, Inception, PeerId, peer_id

from .cells import signature_of
from .draws import Draws, entity_key
from .federation import COMMONS, FOUNDED_MS, START_US, Federation, Org, found, peer_record

BOOT: Final = 1
INCARNATION: Final = BOOT << 20
ORGS: Final = ("acme", "bell", "corp")
LABEL: Final = "fleet"
PORT: Final = 7_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """How many, and how they stand.

    `peer_count`: whole peers. `cell_size`: members of a cell, 2 to 512. `cluster_count`:
    clusters, to which cells are dealt. `contact_count`: members of its cell that a peer was
    introduced to, of which dissemination chooses its neighbours; even, below the size of a cell.
    `author_every`: one peer in so many has an agent that writes one delta.
    `loss_ppm`: of every datagram.
    """

    peer_count: int = 1_000
    cell_size: int = 125
    cluster_count: int = 26
    contact_count: int = 10
    author_every: int = 500
    loss_ppm: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.cell_size <= 512 or self.peer_count < self.cell_size:
            raise ConfigError("a fleet has at least one cell, of 2 to 512 peers")
        if self.contact_count % 2 or not 0 < self.contact_count < self.cell_size:
            raise ConfigError("contact_count is even, above 0 and below cell_size")
        if self.cluster_count < 3 or self.author_every < 1 or self.loss_ppm < 0:
            raise ConfigError("a fleet has three clusters or more, and some authors")

    @property
    def cell_count(self) -> int:
        """Cells, the last perhaps smaller."""
        return -(-self.peer_count // self.cell_size)


class Keys:
    """The keys of one node: stand-ins for its own and its agent's, in earnest for an issuer's."""

    __slots__ = ("_publics", "_signers")

    def __init__(self, *publics: PublicKey) -> None:
        self._publics = publics
        self._signers: tuple[Ed25519Key, ...] = ()

    def holds(self, key: Digest) -> bool:
        """Whether signatures by this key will be made."""
        return any(held.digest == key for held in self._publics)

    def take(self, public: PublicKey) -> None:
        """An agent's key comes to lie here."""
        self._publics = (*self._publics, public)

    def take_issuer(self, signer: Ed25519Key) -> None:
        """An issuer's key comes to lie here."""
        self._publics = (*self._publics, signer.public)
        self._signers = (signer,)

    def sign(self, key: Digest, label: str, digest: Digest) -> bytes:
        """The signature by the key of this digest."""
        for signer in self._signers:
            if signer.public.digest == key:
                return signer.sign(label, digest)
        (public,) = (held for held in self._publics if held.digest == key)
        return signature_of(public.octets, label, digest)


@dataclass(slots=True)
class Settler:
    """One peer of a settled cell, and what its driver keeps for it."""

    peer: Peer
    id: PeerId
    store: MemoryStore
    keys: Keys
    agent: Inception | None = None
    tick_at: int | None = None
    streams: dict[int, None] = field(default_factory=dict)
    bytes_sent: int = 0
    is_up: bool = True


@dataclass(frozen=True, slots=True)
class _Person:
    number: int
    org: Org
    own: OwnNode
    record: NodeRecord
    listing: SignedRecord


class Settlement:
    """Makes cells by number; equal numbers and seeds make equal cells in any process."""

    def __init__(self, config: FleetConfig, seed: bytes) -> None:
        self.config = config
        self.seed = seed
        self.federation: Federation = found(ORGS, LABEL)
        self._peer_config = PeerConfig(
            trust=TrustConfig.for_simulation(),
            budget=BudgetConfig(),
            membership=SwimConfig.for_simulation(),
            discovery=DiscoveryConfig.for_simulation(),
            dissemination=DisseminationConfig.for_simulation(),
            reconciliation=ReconciliationConfig.for_simulation(),
        )

    def numbers(self, cell: int) -> range:
        """The numbers of a cell's peers."""
        first = cell * self.config.cell_size
        return range(first, min(first + self.config.cell_size, self.config.peer_count))

    def place(self, cell: int) -> CellPlace:
        """Where a cell belongs."""
        cluster = cell % self.config.cluster_count
        return CellPlace(f"region-{cluster % 3}", f"cluster-{cluster}", f"cell-{cell}")

    def namespace(self, cell: int) -> str:
        """What the agents of a cell write to, and its peers want."""
        return f"{COMMONS}/cell-{cell}"

    def settle(self, cell: int) -> list[Settler]:
        """The peers of a cell, introduced and alive to each other."""
        trust = TrustState(self.federation.id, self._peer_config.trust)
        for envelope in self.federation.records:
            _admit(trust, envelope)
        people = [self._person(number, cell, trust) for number in self.numbers(cell)]
        base = View.of(_member(person, self.place(cell)) for person in people)
        config = replace(self._peer_config, interest=(self.namespace(cell),))
        settlers = [self._settler(person, config, trust, base) for person in people]
        for place, settler in enumerate(settlers):
            self._introduce(settler, place, people, trust)
            self._employ(settler, people[place], place, trust)
        return settlers

    def _person(self, number: int, cell: int, trust: TrustState) -> _Person:
        org = self.federation.orgs[ORGS[number % len(ORGS)]]
        key, place = _key(number, "node"), self.place(cell)
        signed = issue_node(
            org.issuer,
            org.issuer_key,
            name=f"node-{number}",
            key=key.public,
            datagram_key=_digest(number, "datagrams"),
            next_key_digest=Digest(_digest(number, "next")),
            place=NodePlace(place.region, "zone-1", f"{place.cluster}/{place.cell}"),
            custody_class="memory",
            not_before_ms=FOUNDED_MS,
        )
        _admit(trust, signed.to_bytes())
        record = signed.record
        inception, above = Inception(record.inception), Inception(record.org)
        own = OwnNode(
            peer=peer_id(inception, above),
            inception=inception,
            org=above,
            name=record.name,
            region=place.region,
            key=record.key,
            record=signed.id,
            boot=BOOT,
            cell=record.cell,
        )
        listing = peer_record(own, key, Endpoint(record.name, PORT))
        return _Person(number, org, own, record, listing)

    def _settler(
        self, person: _Person, config: PeerConfig, trust: TrustState, base: View
    ) -> Settler:
        store, keys, own = MemoryStore(), Keys(person.own.key), person.own
        ports = PeerPorts(
            reader=store,
            custody=keys,
            epochs=OneEpoch(),
            law=CapabilityRules(),
            durability=LocalDurability(),
            trust=trust,
            members=base.copy_for(own.peer),
        )
        peer = Peer(config, self.federation.id, own, person.listing, ports, seed=self.seed)
        return Settler(peer, own.peer, store, keys)

    def _introduce(
        self, settler: Settler, place: int, people: Sequence[_Person], trust: TrustState
    ) -> None:
        """Contacts stand at fixed distances in the ring of the cell, so they are mutual."""
        core, known = settler.peer.core, settler.peer.introductions.known
        for other in contacts_of(place, len(people), self.config.contact_count):
            person = people[other]
            chain = trust.chain_of(person.own.record)
            assert chain is not None
            body = PeerRecord.from_body_untrusted(person.listing.body)
            at = Endpoint(person.own.name, PORT)
            known.put(
                person.own.peer,
                Known(
                    person.own.peer,
                    chain,
                    at,
                    person.record.datagram_key,
                    is_reached=True,
                    record=body,
                    signed=person.listing,
                ),
            )
            core.regions.put(person.own.peer, person.own.region)

    def _employ(self, settler: Settler, person: _Person, place: int, trust: TrustState) -> None:
        """The first of a cell hold issuers' keys; one in so many has an agent."""
        if place < len(ORGS):
            settler.keys.take_issuer(person.org.issuer_key)
        if person.number % self.config.author_every != self.config.author_every - 1:
            return
        key = _key(person.number, "agent")
        signed = issue_agent(
            person.org.issuer,
            person.org.issuer_key,
            name=f"agent-{person.number}",
            key=key.public,
            next_key_digest=Digest(_digest(person.number, "agent-next")),
            custody_class="memory",
            capabilities=self.federation.orgs[person.org.name].agent("any").record.capabilities,
            not_before_ms=FOUNDED_MS,
        )
        _admit(trust, signed.to_bytes())
        settler.keys.take(key.public)
        settler.agent = Inception(signed.record.inception)
        settler.peer.recordkeeping.agents[settler.agent] = signed.id


def contacts_of(place: int, count: int, contact_count: int) -> tuple[int, ...]:
    """The places in a ring of `count` that one is introduced to: near and far, both ways."""
    steps: dict[int, None] = {}
    reach = max(1, count // (contact_count + 1))
    for turn in range(contact_count // 2):
        step = 1 + turn * reach
        steps[(place + step) % count] = steps[(place - step) % count] = None
    steps.pop(place, None)
    return tuple(steps)


def draft_of(number: int, seed: bytes) -> Draft:
    """What the agent of a peer remembers."""
    salt = Draws(seed, "salt", entity_key(number)).bits31().to_bytes(32, "big")
    return Draft(Kind.MEMORY, MemoryBody(salt, f"peer {number} was here", "fleet", (), 0, 0))


def _member(person: _Person, place: CellPlace) -> Member:
    own = person.own
    introduction = Introduction(own.peer, own.key.algorithm, own.key.octets, own.org, place)
    scope = scope_of(place.cell_scope)
    statement = Statement.of(scope, own.peer, own.peer, Standing.ALIVE, INCARNATION)
    root = merkle.root([statement.to_body()])
    proof = Signed.of(statement, signature_of(own.key.octets, SIGNED_LABEL, root))
    return Member(introduction, Standing.ALIVE, INCARNATION, proof, (), MonotonicUs(0))


def _admit(trust: TrustState, envelope: bytes) -> None:
    verdict = trust.admit(envelope, START_US // MILLISECOND_US)
    if not isinstance(verdict, Admitted):
        raise ConfigError(f"a record of the fleet is refused: {verdict}")


def _key(number: int, purpose: str) -> Ed25519Key:
    return Ed25519Key(_digest(number, purpose))


def _digest(number: int, purpose: str) -> bytes:
    return hashlib.sha256(f"fleet {purpose} {number}".encode()).digest()
