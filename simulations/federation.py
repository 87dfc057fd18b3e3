"""A federation with every key at hand, and what is true about it.

All keys follow from names, so that equal names give equal records in every process; records are
signed once a process and kept. What agents may do is told here as ground truth, for the checks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from hive.protocol.core import OwnNode
from hive.protocol.discovery.contact import Address
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.events import Endpoint
from hive.trust.capability import ALL_ACTIONS, FOREVER_MS, Capability
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import (
    NodePlace,
    identity_of,
    issue_agent,
    issue_node,
    make_issuer,
    make_org,
    org_inception,
)
from hive.trust.keys import Ed25519Key, SigningKey
from hive.trust.records import (
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RootKey,
    RootRecord,
)
from hive.trust.revocation import COMPROMISED, make_revocation
from hive.trust.roots import first_root
from hive.wire.clock import MILLISECOND_US
from hive.wire.ids import FederationId, Inception, peer_id

FOUNDED_MS: Final = 1_700_000_000_000
START_US: Final = (FOUNDED_MS + 1_000) * MILLISECOND_US
"""Wall time at virtual time zero."""

COMMONS: Final = "commons"
"""The prefix that every organisation may write to."""


@lru_cache(maxsize=65_536)
def key(name: str) -> Ed25519Key:
    """The key of a name."""
    return Ed25519Key(hashlib.sha256(b"simulation key " + name.encode()).digest())


@dataclass(frozen=True, slots=True)
class Org:
    """An organisation with its issuer; `label` parts federations from each other."""

    name: str
    label: str
    record: Signed[OrgRecord]
    issuer: Signed[IssuerRecord]

    @property
    def issuer_key(self) -> Ed25519Key:
        """The online key."""
        return key(f"{self.label}/{self.name}-issuer")

    def key(self, name: str) -> Ed25519Key:
        """The key of one of its nodes or agents."""
        return key(f"{self.label}/{self.name}/{name}")

    def node(self, name: str, region: str, zone: str) -> Signed[NodeRecord]:
        """A node's record."""
        return _node(self, name, region, zone)

    def agent(self, name: str) -> Signed[AgentRecord]:
        """An agent's: everything in the organisation's namespaces and the commons."""
        return _agent(self, name)

    def revocation(self, agent: Signed[AgentRecord], at_us: int) -> bytes:
        """The agent's end, nothing of it sealed as good."""
        revocation = make_revocation(
            federation=FederationId(self.issuer.record.federation),
            org=Inception(self.issuer.record.org),
            signer_record=self.issuer.id,
            subject=Inception(agent.record.inception),
            generation=agent.record.generation,
            reason=COMPROMISED,
            at_ms=(START_US + at_us) // MILLISECOND_US,
            seal=[],
        )
        return sign_record(revocation, self.issuer_key).to_bytes()


@lru_cache(maxsize=65_536)
def _node(org: Org, name: str, region: str, zone: str) -> Signed[NodeRecord]:
    return issue_node(
        org.issuer,
        org.issuer_key,
        name=name,
        key=org.key(name).public,
        datagram_key=org.key(f"{name}-x").public.octets,
        next_key_digest=org.key(f"{name}-next").public.digest,
        place=NodePlace(region, zone, "cell-1"),
        custody_class="memory",
        not_before_ms=FOUNDED_MS,
    )


@lru_cache(maxsize=65_536)
def _agent(org: Org, name: str) -> Signed[AgentRecord]:
    return issue_agent(
        org.issuer,
        org.issuer_key,
        name=name,
        key=org.key(name).public,
        next_key_digest=org.key(f"{name}-next").public.digest,
        custody_class="memory",
        capabilities=_everything(org.name),
        not_before_ms=FOUNDED_MS,
    )


def _everything(org: str) -> tuple[Capability, ...]:
    return tuple(Capability(prefix, ALL_ACTIONS, (), (), FOREVER_MS) for prefix in (org, COMMONS))


@dataclass(frozen=True, slots=True)
class Federation:
    """A root held by all organisations, and the organisations."""

    root: Signed[RootRecord]
    orgs: dict[str, Org] = field(default_factory=dict, hash=False)

    @property
    def id(self) -> FederationId:
        """The id of R(0)."""
        return FederationId(self.root.id)

    @property
    def records(self) -> tuple[bytes, ...]:
        """Root, organisations and issuers, parents first."""
        below = [signed for org in self.orgs.values() for signed in (org.record, org.issuer)]
        return (self.root.to_bytes(), *(signed.to_bytes() for signed in below))

    def chain(self, org: str) -> tuple[bytes, ...]:
        """What stands above a node's record, parents last."""
        held = self.orgs[org]
        return (held.issuer.to_bytes(), held.record.to_bytes(), self.root.to_bytes())


@lru_cache(maxsize=64)
def found(names: tuple[str, ...], label: str) -> Federation:
    """A federation of these organisations, each holding one root key and a freshness issuer."""
    needed = len(names) // 2 + 1
    holders: list[SigningKey] = [key(f"{label}/{name}-root") for name in names]
    root = sign_record(
        first_root(
            name=label,
            keys=[RootKey(name, key(f"{label}/{name}-root").public) for name in names],
            threshold=needed,
            next_digests=[key(f"{label}/{name}-root-next").public.digest for name in names],
            next_threshold=needed,
            freshness_issuers=[_issuer_identity(label, name) for name in names],
            freshness_threshold=needed,
            not_before_ms=FOUNDED_MS,
        ),
        *holders,
    )
    orgs = {name: _make_org(root, label, name, holders) for name in names}
    return Federation(root, orgs)


def _issuer_identity(label: str, name: str) -> Inception:
    org = org_inception(
        [key(f"{label}/{name}-org").public], [key(f"{label}/{name}-org-next").public.digest]
    )
    following = key(f"{label}/{name}-issuer-next").public.digest
    return identity_of(IssuerRecord, org, key(f"{label}/{name}-issuer").public, following)


def _make_org(root: Signed[RootRecord], label: str, name: str, holders: list[SigningKey]) -> Org:
    record = sign_record(
        make_org(
            root,
            name=name,
            keys=[key(f"{label}/{name}-org").public],
            threshold=1,
            next_digests=[key(f"{label}/{name}-org-next").public.digest],
            next_threshold=1,
            namespaces=(name, COMMONS),
            regions=(),
            not_before_ms=FOUNDED_MS,
        ),
        *holders,
    )
    issuer = make_issuer(
        record,
        [key(f"{label}/{name}-org")],
        key=key(f"{label}/{name}-issuer").public,
        next_key_digest=key(f"{label}/{name}-issuer-next").public.digest,
        capabilities=_everything(name),
        not_before_ms=FOUNDED_MS,
    )
    return Org(name, label, record, issuer)


def own_node(record: Signed[NodeRecord], boot: int) -> OwnNode:
    """What a peer knows of itself."""
    node = record.record
    return OwnNode(
        peer=peer_id(Inception(node.inception), Inception(node.org)),
        inception=Inception(node.inception),
        org=Inception(node.org),
        name=node.name,
        region=node.region,
        key=node.key,
        record=record.id,
        boot=boot,
        cell=node.cell,
    )


def peer_record(own: OwnNode, signer: SigningKey, at: Endpoint) -> SignedRecord:
    """Where a node listens, signed by its key."""
    address = Address(at.host, at.port, at.port)
    listing = PeerRecord(own.inception, own.org, own.record, (address,), own.boot)
    body = listing.to_body()
    return SignedRecord(body, signer.sign(PeerRecord.LABEL, listing.id_of(body)))
