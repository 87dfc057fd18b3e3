"""One person's federation: a 1-of-1 root, an org, an issuer, a node and an agent, all at once."""

from __future__ import annotations

from dataclasses import dataclass

from hive.trust.capability import ALL_ACTIONS, FOREVER_MS, Capability
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import (
    NodePlace,
    Pair,
    identity_of,
    issue_agent,
    issue_node,
    make_issuer,
    make_org,
    org_inception,
)
from hive.trust.records import (
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RootKey,
    RootRecord,
)
from hive.trust.roots import first_root


@dataclass(frozen=True, slots=True, kw_only=True)
class LaptopPlan:
    """One person's federation: names, place and the five pairs of keys."""

    name: str
    org_name: str
    node_name: str
    agent_name: str
    namespaces: tuple[str, ...]
    place: NodePlace
    custody_class: str
    root: Pair
    org: Pair
    issuer: Pair
    node: Pair
    agent: Pair
    datagram_key: bytes
    now_ms: int


@dataclass(frozen=True, slots=True)
class LaptopFederation:
    """All that `hive init` makes, signed, in the order in which it is admitted."""

    root: Signed[RootRecord]
    org: Signed[OrgRecord]
    issuer: Signed[IssuerRecord]
    node: Signed[NodeRecord]
    agent: Signed[AgentRecord]

    @property
    def records(self) -> tuple[bytes, ...]:
        """The envelopes, parents first."""
        return tuple(
            signed.to_bytes()
            for signed in (self.root, self.org, self.issuer, self.node, self.agent)
        )


def laptop_federation(plan: LaptopPlan) -> LaptopFederation:
    """A 1-of-1 root, an org that owns the namespaces, its issuer, a node and an agent."""
    org_keys, org_next = (plan.org.key.public,), (plan.org.next_key_digest,)
    org_id = org_inception(org_keys, org_next)
    issuer_id = identity_of(
        IssuerRecord, org_id, plan.issuer.key.public, plan.issuer.next_key_digest
    )
    root = sign_record(
        first_root(
            name=plan.name,
            keys=(RootKey(plan.org_name, plan.root.key.public),),
            threshold=1,
            next_digests=(plan.root.next_key_digest,),
            next_threshold=1,
            freshness_issuers=(issuer_id,),
            freshness_threshold=1,
            not_before_ms=plan.now_ms,
        ),
        plan.root.key,
    )
    return _below_laptop_root(plan, root)


def _below_laptop_root(plan: LaptopPlan, root: Signed[RootRecord]) -> LaptopFederation:
    org = sign_record(
        make_org(
            root,
            name=plan.org_name,
            keys=(plan.org.key.public,),
            threshold=1,
            next_digests=(plan.org.next_key_digest,),
            next_threshold=1,
            namespaces=plan.namespaces,
            regions=(),
            not_before_ms=plan.now_ms,
        ),
        plan.root.key,
    )
    everything = tuple(
        Capability(prefix, ALL_ACTIONS, (), (), FOREVER_MS) for prefix in plan.namespaces
    )
    issuer = make_issuer(
        org,
        (plan.org.key,),
        key=plan.issuer.key.public,
        next_key_digest=plan.issuer.next_key_digest,
        capabilities=everything,
        not_before_ms=plan.now_ms,
    )
    node = issue_node(
        issuer,
        plan.issuer.key,
        name=plan.node_name,
        key=plan.node.key.public,
        datagram_key=plan.datagram_key,
        next_key_digest=plan.node.next_key_digest,
        place=plan.place,
        custody_class=plan.custody_class,
        not_before_ms=plan.now_ms,
    )
    agent = issue_agent(
        issuer,
        plan.issuer.key,
        name=plan.agent_name,
        key=plan.agent.key.public,
        next_key_digest=plan.agent.next_key_digest,
        custody_class=plan.custody_class,
        capabilities=everything,
        not_before_ms=plan.now_ms,
    )
    return LaptopFederation(root, org, issuer, node, agent)
