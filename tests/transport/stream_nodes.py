"""Nodes with records, leaves and books, for streams over TLS and over the loopback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from hive.transport.addresses import Address
from hive.transport.contexts import TlsContexts
from hive.transport.frames import FrameStream, StreamPeer
from hive.transport.loopback import LoopbackNetwork, LoopbackStreams
from hive.transport.ports import KnownNode, StreamCarrier
from hive.transport.stream_config import StreamConfig
from hive.transport.streams import TlsStreams
from hive.trust.keys import Ed25519Key
from hive.trust.records import DAY_MS, HOUR_MS, IssuerRecord, NodeRecord
from hive.trust.tls import SoftwareKey, issue_leaf, issuer_anchor, leaf_pem
from hive.wire.ids import Inception, RecordId, digest

START_MS = 1_000 * (2**31)
"""Records are valid around the real clock by being valid nearly for ever."""


@dataclass
class Book:
    """What every node of one test federation knows."""

    nodes: dict[tuple[bytes, bytes], KnownNode] = field(default_factory=dict)
    anchors: list[bytes] = field(default_factory=list)

    def node(self, inception: Inception, record_id: RecordId) -> KnownNode | None:
        return self.nodes.get((inception, record_id))

    def issuer_anchors(self) -> Sequence[bytes]:
        return tuple(self.anchors)


@dataclass
class Issuer:
    """An issuer of one org in one federation."""

    key: SoftwareKey
    record: IssuerRecord

    @classmethod
    def make(cls, key: SoftwareKey, org: str = "acme", federation: str = "hive") -> Issuer:
        record = IssuerRecord(
            federation=digest("test/federation", federation.encode()),
            inception=digest("test/issuer", key.public.octets),
            org=digest("test/org", org.encode()),
            org_record=digest("test/org-record", org.encode()),
            key=key.public,
            next_key_digest=digest("test", b"next"),
            generation=0,
            previous=b"",
            regions=(),
            capabilities=(),
            not_before_ms=DAY_MS,
            not_after_ms=2 * START_MS,
        )
        return cls(key, record)


@dataclass
class Member:
    """A node with its key, record and leaf."""

    key: Ed25519Key
    record: NodeRecord
    leaf: bytes

    @classmethod
    def make(
        cls,
        name: str,
        issuer: Issuer,
        *,
        signed_by: Issuer | None = None,
        not_before_ms: int = DAY_MS + HOUR_MS,
        not_after_ms: int = 2 * START_MS,
    ) -> Member:
        key = Ed25519Key(digest("test/node-key", name.encode()))
        record = NodeRecord(
            federation=issuer.record.federation,
            inception=digest("test/node", key.public.octets),
            org=issuer.record.org,
            issuer_record=issuer.record.id_of(issuer.record.to_body()),
            name=name,
            key=key.public,
            datagram_key=bytes(32),
            next_key_digest=digest("test", b"next"),
            generation=0,
            previous=b"",
            region="eu",
            zone="eu-1",
            cell="cell",
            storage_backends=(),
            custody_class="file",
            capabilities=(),
            not_before_ms=not_before_ms,
            not_after_ms=not_after_ms,
        )
        by = signed_by or issuer
        return cls(key, record, issue_leaf(record, by.record, by.key))

    @property
    def inception(self) -> Inception:
        return Inception(self.record.inception)

    @property
    def record_id(self) -> RecordId:
        return RecordId(self.record.id_of(self.record.to_body()))

    @property
    def pem(self) -> bytes:
        return leaf_pem(self.leaf, self.key)

    @property
    def peer(self) -> StreamPeer:
        return StreamPeer(self.inception, Inception(self.record.org), self.record_id, self.leaf)


def book_of(issuers: Sequence[Issuer], *pairs: tuple[Member, Issuer]) -> Book:
    """A book that knows these members under these issuers."""
    nodes = {
        (bytes(member.inception), bytes(member.record_id)): KnownNode(
            member.record, issuer.record.key
        )
        for member, issuer in pairs
    }
    return Book(nodes, [issuer_anchor(issuer.record) for issuer in issuers])


def tls(member: Member | None, book: Book, config: StreamConfig | None = None) -> TlsStreams:
    contexts = TlsContexts(None if member is None else member.pem, book.issuer_anchors())
    return TlsStreams(config or StreamConfig.for_lan(), contexts, book)


@dataclass
class Pair:
    """A serving and a dialling node on one kind of carrier."""

    server: StreamCarrier
    client: StreamCarrier
    server_member: Member
    client_member: Member
    listen_at: Address


def tls_pair(config: StreamConfig) -> Pair:
    issuer = Issuer.make(Ed25519Key(bytes(32)))
    one, two = Member.make("one", issuer), Member.make("two", issuer)
    book = book_of([issuer], (one, issuer), (two, issuer))
    return Pair(tls(one, book, config), tls(two, book, config), one, two, ("127.0.0.1", 0))


def loopback_pair(config: StreamConfig) -> Pair:
    issuer = Issuer.make(Ed25519Key(bytes(32)))
    one, two = Member.make("one", issuer), Member.make("two", issuer)
    network = LoopbackNetwork()
    server = LoopbackStreams(network, config, ("one", 0), one.peer)
    client = LoopbackStreams(network, config, ("two", 0), two.peer)
    return Pair(server, client, one, two, ("one", 0))


async def echo(stream: FrameStream) -> None:
    """Says back what it hears until the other side ends."""
    while (payload := await stream.receive()) is not None:
        await stream.send(payload)


async def served(carrier: StreamCarrier, nursery: trio.Nursery, handler=echo, at=("127.0.0.1", 0)):  # type: ignore[no-untyped-def]
    """Starts serving and gives the address."""
    return await nursery.start(carrier.serve, at, handler, nursery)
