"""A small federation with every key at hand, and deltas as its peers would send them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hive.memory.authoring import Draft, Pen, attach, compose
from hive.memory.bodies import MemoryBody
from hive.memory.delta import BATCH_COUNT_MAX, Delta, Kind
from hive.memory.log import Head, head_after
from hive.memory.receipt import Receipt, receipt_proofs
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
from hive.trust.keys import Ed25519Key
from hive.trust.records import AgentRecord, IssuerRecord, NodeRecord, RootKey
from hive.trust.roots import first_root
from hive.trust.sealing import DatagramKey
from hive.wire import merkle
from hive.wire.clock import MILLISECOND_US, Hlc
from hive.wire.ids import FederationId, Inception, digest

FOUNDED_MS: Final = 1_700_000_000_000
WALL_US: Final = (FOUNDED_MS + 3_600_000) * MILLISECOND_US
"""When everything is written: an hour into the records' lives."""

NAMESPACE: Final = "bench/notes"
REGION: Final = "eu"
TEXT_BYTES: Final = 300
_PREFIX: Final = "bench"


def key(name: str) -> Ed25519Key:
    """The key of a name, the same in every run."""
    return Ed25519Key(digest("bench/key", name.encode()))


@dataclass(slots=True)
class Realm:
    """One organisation: its records parents first, and those who issue."""

    federation: FederationId
    issuer: Signed[IssuerRecord]
    records: list[bytes]
    founded_ms: int = FOUNDED_MS
    nodes: dict[str, Signed[NodeRecord]] = field(default_factory=dict)
    agents: dict[str, Signed[AgentRecord]] = field(default_factory=dict)

    def node(self, name: str) -> Signed[NodeRecord]:
        """A node with keys named after it; its record joins `records`."""
        signed = issue_node(
            self.issuer,
            key("issuer"),
            name=name,
            key=key(name).public,
            datagram_key=DatagramKey(key(f"{name}-x").seed).public,
            next_key_digest=key(f"{name}-next").public.digest,
            place=NodePlace(REGION, "zone", "cell"),
            custody_class="memory",
            not_before_ms=self.founded_ms,
        )
        self.nodes[name] = signed
        self.records.append(signed.to_bytes())
        return signed

    def agent(self, name: str) -> Signed[AgentRecord]:
        """An agent that may do everything in the organisation; its record joins `records`."""
        signed = issue_agent(
            self.issuer,
            key("issuer"),
            name=name,
            key=key(name).public,
            next_key_digest=key(f"{name}-next").public.digest,
            custody_class="memory",
            capabilities=_everything(),
            not_before_ms=self.founded_ms,
        )
        self.agents[name] = signed
        self.records.append(signed.to_bytes())
        return signed


def _everything() -> tuple[Capability, ...]:
    return (Capability(_PREFIX, ALL_ACTIONS, (), (), FOREVER_MS),)


def found(founded_ms: int = FOUNDED_MS) -> Realm:
    """A federation of one organisation with one issuer."""
    org_id = org_inception([key("org").public], [key("org-next").public.digest])
    issuer_id = identity_of(
        IssuerRecord, org_id, key("issuer").public, key("issuer-next").public.digest
    )
    root = sign_record(
        first_root(
            name="bench",
            keys=[RootKey("bench", key("root").public)],
            threshold=1,
            next_digests=[key("root-next").public.digest],
            next_threshold=1,
            freshness_issuers=[issuer_id],
            freshness_threshold=1,
            not_before_ms=founded_ms,
        ),
        key("root"),
    )
    org = sign_record(
        make_org(
            root,
            name="bench",
            keys=[key("org").public],
            threshold=1,
            next_digests=[key("org-next").public.digest],
            next_threshold=1,
            namespaces=(_PREFIX,),
            regions=(),
            not_before_ms=founded_ms,
        ),
        key("root"),
    )
    issuer = make_issuer(
        org,
        [key("org")],
        key=key("issuer").public,
        next_key_digest=key("issuer-next").public.digest,
        capabilities=_everything(),
        not_before_ms=founded_ms,
    )
    records = [root.to_bytes(), org.to_bytes(), issuer.to_bytes()]
    return Realm(FederationId(root.id), issuer, records, founded_ms)


def memory(number: int, author: str = "") -> Draft:
    """A memory of about 300 bytes of text."""
    salt = digest("bench/salt", f"{author} {number}".encode())
    text = f"{author} noted {number}: " + "what was seen is written here as it was. " * 8
    return Draft(Kind.MEMORY, MemoryBody(salt, text[:TEXT_BYTES], "bench", ("seen",), 0, 0))


class Scribe:
    """One author's log at one node, in the envelopes in which it reaches other peers."""

    def __init__(self, realm: Realm, agent: str, node: str) -> None:
        self._realm = realm
        self._agent, self._node = agent, node
        self._writer = realm.nodes[node]
        author = realm.agents[agent]
        self._pen = Pen(
            federation=realm.federation,
            namespace=NAMESPACE,
            author=Inception(author.record.inception),
            writer=Inception(self._writer.record.inception),
            leaf=author.id,
            epochs=(1,),
            lease=0,
            residency=(),
        )
        self._head: Head | None = None
        self._first = 0

    def begin_at(self, number: int) -> None:
        """Numbers the next texts from here on: other texts, other deltas."""
        self._first = number

    def write(self, count: int, together: int) -> Iterator[Delta]:
        """`together` deltas to an author's signature, up to 64 to a receipt."""
        for first in range(0, count, BATCH_COUNT_MAX):
            made: list[Delta] = []
            end = min(first + BATCH_COUNT_MAX, count)
            for start in range(first, end, together):
                made += self._sign(min(together, end - start))
            yield from self._receive(made)

    def _sign(self, count: int) -> tuple[Delta, ...]:
        start = self._head.sequence if self._head else 0
        first = self._first + start
        drafts = [memory(first + number, self._agent) for number in range(count)]
        unsigned = compose(self._pen, drafts, self._head, Hlc(0), WALL_US)
        deltas = attach(unsigned, key(self._agent).sign(unsigned.label, unsigned.subject))
        self._head = head_after(deltas[-1])
        return deltas

    def _receive(self, deltas: Sequence[Delta]) -> Iterator[Delta]:
        ids = [delta.id for delta in deltas]
        receipt = Receipt(
            federation=self._realm.federation,
            node=self._pen.writer,
            node_record=self._writer.id,
            admitted_at_ms=WALL_US // MILLISECOND_US,
            epochs=(1,),
            lease=0,
            freshness_index=1,
            count=len(ids),
            root=merkle.root(ids),
        )
        signature = key(self._node).sign(Receipt.LABEL, Receipt.id_of(receipt.to_body()))
        for delta, proof in zip(deltas, receipt_proofs(receipt, signature, ids), strict=True):
            yield replace(delta, receipt=proof.to_bytes())


def staffed(agent_count: int, node_count: int) -> tuple[Realm, list[Scribe]]:
    """A realm with agents that each write at one of the nodes."""
    realm = found()
    for number in range(node_count):
        realm.node(f"node-{number}")
    for number in range(agent_count):
        realm.agent(f"agent-{number}")
    scribes = [
        Scribe(realm, f"agent-{number}", f"node-{number % node_count}")
        for number in range(agent_count)
    ]
    return realm, scribes
