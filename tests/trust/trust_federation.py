"""A small federation with every key at hand, so that tests can forge what they like."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hive.trust.capability import ALL_ACTIONS, FOREVER_MS, RECALL, REMEMBER, Capability
from hive.trust.chain import Step
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import (
    NodePlace,
    identity_of,
    issue_agent,
    issue_node,
    issue_session,
    make_issuer,
    make_org,
    org_inception,
)
from hive.trust.keys import Ed25519Key
from hive.trust.records import (
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RootKey,
    RootRecord,
    SessionRecord,
)
from hive.trust.roots import first_root
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted, TrustRefusal
from hive.wire.ids import FederationId
from hive.wire.schema import Record

NOW_MS = 1_700_000_000_000
HOLDERS = ("acme", "bell", "corp")


def key(name: str) -> Ed25519Key:
    """The key of a name, the same in every run."""
    return Ed25519Key(name.encode().ljust(32, b".")[:32])


def capability(prefix: str = "acme", actions: int = ALL_ACTIONS, **changes: Any) -> Capability:
    """A capability in the regions and with the assertions of the test's org."""
    plain = Capability(prefix, actions, ("eu", "us"), ("hipaa",), FOREVER_MS)
    return dataclasses.replace(plain, **changes)


@dataclass(frozen=True, slots=True)
class Federation:
    """One org below a 2-of-3 root, with an issuer, a node, an agent and a session."""

    root: Signed[RootRecord]
    org: Signed[OrgRecord]
    issuer: Signed[IssuerRecord]
    node: Signed[NodeRecord]
    agent: Signed[AgentRecord]
    session: Signed[SessionRecord]

    @property
    def all(self) -> tuple[Signed[Any], ...]:
        """Parents first."""
        return (self.root, self.org, self.issuer, self.node, self.agent, self.session)

    def state(
        self, steps: Sequence[Step] | None = None, config: TrustConfig | None = None
    ) -> TrustState:
        """A trust state that has admitted all of it, under other steps where given."""
        state = self.empty_state(steps, config)
        for signed in self.all:
            verdict = state.admit(signed.to_bytes(), NOW_MS)
            assert isinstance(verdict, Admitted), verdict
        return state

    def empty_state(
        self, steps: Sequence[Step] | None = None, config: TrustConfig | None = None
    ) -> TrustState:
        """A trust state that knows the federation's id and nothing else."""
        cls = TrustState
        if steps is not None:
            cls = type("MutantState", (TrustState,), {"STEPS": tuple(steps)})
        return cls(FederationId(self.root.id), config or TrustConfig())


def make_root(**changes: Any) -> RootRecord:
    """The unsigned 2-of-3 root."""
    plain = first_root(
        name="test",
        keys=[RootKey(holder, key(f"root-{holder}").public) for holder in HOLDERS],
        threshold=2,
        next_digests=[key(f"root-next-{holder}").public.digest for holder in HOLDERS],
        next_threshold=2,
        freshness_issuers=[issuer_identity()],
        freshness_threshold=1,
        not_before_ms=NOW_MS,
    )
    return dataclasses.replace(plain, **changes)


def issuer_identity() -> bytes:
    """The issuer's inception, known before the root exists."""
    org = org_inception(
        [key("org-0").public, key("org-1").public, key("org-2").public],
        [key(f"org-next-{i}").public.digest for i in range(2)],
    )
    return identity_of(IssuerRecord, org, key("issuer").public, key("issuer-next").public.digest)


def root_signers(count: int = 2) -> tuple[Ed25519Key, ...]:
    """The first holders' keys."""
    return tuple(key(f"root-{holder}") for holder in HOLDERS[:count])


def org_signers(count: int = 2) -> tuple[Ed25519Key, ...]:
    """The org's first keys."""
    return tuple(key(f"org-{position}") for position in range(count))


def make_test_org(root: Signed[RootRecord], **changes: Any) -> OrgRecord:
    """The unsigned 2-of-3 org."""
    plain = make_org(
        root,
        name="acme",
        keys=[key(f"org-{position}").public for position in range(3)],
        threshold=2,
        next_digests=[key(f"org-next-{position}").public.digest for position in range(2)],
        next_threshold=1,
        namespaces=("acme", "commons"),
        regions=("eu", "us"),
        assertions=("hipaa",),
        not_before_ms=NOW_MS,
        node_quota=2,
    )
    return dataclasses.replace(plain, **changes)


PLACE = NodePlace("eu", "zone-a", "cell-1")


def node_named(issuer: Signed[IssuerRecord], name: str, **changes: Any) -> Signed[NodeRecord]:
    """A node of the issuer with keys of its own."""
    issued = issue_node(
        issuer,
        key("issuer"),
        name=name,
        key=key(name).public,
        datagram_key=bytes(32),
        next_key_digest=key(f"{name}-next").public.digest,
        place=PLACE,
        custody_class="memory",
        capabilities=(capability(regions=("eu",)),),
        not_before_ms=NOW_MS,
    )
    return sign_record(dataclasses.replace(issued.record, **changes), key("issuer"))


def build() -> Federation:
    """All of it, signed."""
    root = sign_record(make_root(), *root_signers())
    org = sign_record(make_test_org(root), *root_signers())
    issuer = make_issuer(
        org,
        org_signers(),
        key=key("issuer").public,
        next_key_digest=key("issuer-next").public.digest,
        capabilities=(capability(),),
        not_before_ms=NOW_MS,
    )
    node = node_named(issuer, "node")
    agent = issue_agent(
        node,
        key("node"),
        name="agent",
        key=key("agent").public,
        next_key_digest=key("agent-next").public.digest,
        custody_class="memory",
        capabilities=(capability("acme/notes", REMEMBER | RECALL, regions=("eu",)),),
        not_before_ms=NOW_MS,
    )
    session = issue_session(agent, key("agent"), key=key("session").public, not_before_ms=NOW_MS)
    return Federation(root, org, issuer, node, agent, session)


def refused(state: TrustState, signed: Signed[Any], now_ms: int = NOW_MS) -> TrustRefusal:
    """The refusal of a record that must be refused."""
    verdict = state.admit(signed.to_bytes(), now_ms)
    assert isinstance(verdict, TrustRefusal), verdict
    return verdict


def admitted(state: TrustState, signed: Signed[Any], now_ms: int = NOW_MS) -> Signed[Record]:
    """The record that must be admitted."""
    verdict = state.admit(signed.to_bytes(), now_ms)
    assert isinstance(verdict, Admitted), verdict
    return verdict.signed
