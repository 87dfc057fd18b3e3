"""A federation of several orgs with every key at hand, for whole peers."""

from __future__ import annotations

from dataclasses import dataclass, field

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
from hive.trust.roots import first_root
from hive.wire.ids import Digest, FederationId, Inception

NOW_MS = 1_700_000_000_000
COMMONS = "commons"


def key(name: str) -> Ed25519Key:
    """The key of a name, the same in every run."""
    return Ed25519Key(name.encode().ljust(32, b".")[:32])


@dataclass
class Org:
    """An organisation with its issuer and what it issued."""

    name: str
    record: Signed[OrgRecord]
    issuer: Signed[IssuerRecord]

    @property
    def issuer_key(self) -> Ed25519Key:
        """The online key."""
        return key(f"{self.name}-issuer")

    def node(self, name: str, region: str, now_ms: int = NOW_MS) -> Signed[NodeRecord]:
        """A node with keys named after it."""
        return issue_node(
            self.issuer,
            self.issuer_key,
            name=name,
            key=key(name).public,
            datagram_key=key(f"{name}-x").public.octets,
            next_key_digest=key(f"{name}-next").public.digest,
            place=NodePlace(region, "zone-a", "cell-1"),
            custody_class="memory",
            not_before_ms=now_ms,
        )

    def agent(self, name: str, now_ms: int = NOW_MS, **changes: object) -> Signed[AgentRecord]:
        """An agent that may do everything in its org's namespaces and the commons."""
        capabilities = changes.pop(
            "capabilities",
            tuple(
                Capability(prefix, ALL_ACTIONS, (), (), FOREVER_MS)
                for prefix in (self.name, COMMONS)
            ),
        )
        return issue_agent(
            self.issuer,
            self.issuer_key,
            name=name,
            key=key(name).public,
            next_key_digest=key(f"{name}-next").public.digest,
            custody_class="memory",
            capabilities=capabilities,  # type: ignore[arg-type]
            not_before_ms=now_ms,
            **changes,  # type: ignore[arg-type]
        )


@dataclass
class Federation:
    """A root held by all orgs, and the orgs."""

    root: Signed[RootRecord]
    orgs: dict[str, Org] = field(default_factory=dict)

    @property
    def id(self) -> FederationId:
        """The id of R(0)."""
        return FederationId(self.root.id)

    @property
    def records(self) -> tuple[bytes, ...]:
        """Root, orgs and issuers, parents first."""
        below = [signed for org in self.orgs.values() for signed in (org.record, org.issuer)]
        return (self.root.to_bytes(), *(signed.to_bytes() for signed in below))


def _org_identity(name: str) -> tuple[Inception, Inception]:
    org = org_inception([key(f"{name}-org").public], [key(f"{name}-org-next").public.digest])
    digest = key(f"{name}-issuer-next").public.digest
    return org, identity_of(IssuerRecord, org, key(f"{name}-issuer").public, digest)


def found(*names: str, label: str = "test", threshold: int | None = None) -> Federation:
    """A federation of these orgs, each holding one root key and one freshness issuer."""
    needed = threshold or len(names) // 2 + 1
    signers: list[SigningKey] = [key(f"{name}-root") for name in names]
    root = sign_record(
        first_root(
            name=label,
            keys=[RootKey(name, key(f"{name}-root").public) for name in names],
            threshold=needed,
            next_digests=[key(f"{name}-root-next").public.digest for name in names],
            next_threshold=needed,
            freshness_issuers=[_org_identity(name)[1] for name in names],
            freshness_threshold=needed,
            not_before_ms=NOW_MS,
        ),
        *signers,
    )
    federation = Federation(root)
    for name in names:
        federation.orgs[name] = _make_org(root, name, signers)
    return federation


def _make_org(root: Signed[RootRecord], name: str, signers: list[SigningKey]) -> Org:
    org = sign_record(
        make_org(
            root,
            name=name,
            keys=[key(f"{name}-org").public],
            threshold=1,
            next_digests=[key(f"{name}-org-next").public.digest],
            next_threshold=1,
            namespaces=(name, COMMONS),
            regions=(),
            not_before_ms=NOW_MS,
        ),
        *signers,
    )
    issuer = make_issuer(
        org,
        [key(f"{name}-org")],
        key=key(f"{name}-issuer").public,
        next_key_digest=key(f"{name}-issuer-next").public.digest,
        capabilities=tuple(
            Capability(prefix, ALL_ACTIONS, (), (), FOREVER_MS) for prefix in (name, COMMONS)
        ),
        not_before_ms=NOW_MS,
    )
    return Org(name, org, issuer)


def digest_of(name: str) -> Digest:
    """The key digest of a named key."""
    return key(name).public.digest
