"""The node: store, custody, peer, driver and network joined under one nursery.

`running` opens a home and yields a running node, with or without a network; `up` is the daemon.
Order of closing: goodbyes first, then the network, then what waits for the disk, then the store.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from hive.custody.file import FileKeyring
from hive.custody.passphrase import Passphrase
from hive.errors import HiveError, MalformedFrame
from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.node import clocks
from hive.node.config import NodeConfig
from hive.node.datagrams import Datagrams
from hive.node.desk import Desk
from hive.node.driver import Driver
from hive.node.home import DATAGRAM, NODE, Home, datagram_key, software_key
from hive.node.identity import (
    datagram_renewed,
    find,
    next_boot,
    peer_record,
    settled_here,
)
from hive.node.links import Links
from hive.node.logs import Log
from hive.node.metrics import Metrics
from hive.node.paperwork import EnrolmentLetter, RenewalLetter, RenewalReply
from hive.node.projector import Projector
from hive.node.signers import Signers
from hive.node.upkeep import CHECK_INTERVAL_S, Upkeep, records_of
from hive.protocol.commands import AdmitRecords, Join, Leave
from hive.protocol.core import OwnNode
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Address
from hive.protocol.dissemination.push import PushConfig
from hive.protocol.membership.config import SwimConfig
from hive.protocol.peer import Peer, PeerConfig, PeerPorts
from hive.protocol.ports import PutMeta, Write
from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.store.embedder import StaticEmbedder
from hive.store.lmdb_store import LmdbStore
from hive.store.projection import Projection
from hive.transport.addresses import format_address, parse_address
from hive.transport.contexts import TlsContexts
from hive.transport.datagram import DatagramMachine
from hive.transport.datagram_config import DatagramConfig
from hive.transport.events import IdentityRenewed, OwnIdentity
from hive.transport.frames import FrameStream
from hive.transport.ports import KnownNode
from hive.transport.stream_config import StreamConfig
from hive.transport.streams import TlsStreams
from hive.transport.udp import UdpCarrier
from hive.trust.envelope import parse_untrusted
from hive.trust.records import IssuerRecord, NodeRecord
from hive.trust.state import TrustState
from hive.trust.tls import issuer_anchor, leaf_pem, read_leaf_untrusted
from hive.wire.ids import FederationId, Inception, RecordId, peer_id
from hive.wire.randomness import Stream
from hive.wire.schema import label_of_untrusted

SEED_BYTES: Final = 32
GOODBYE_S: Final = 1.5
SWITCH_INTERVAL_S: Final = 0.0005
"""How long a busy thread keeps the interpreter; the default of 5 ms starves the disk writer."""
EMBEDDED_ADDRESS: Final = Address("127.0.0.1", 1, 1)


class Book:
    """What transport asks: verified nodes and the issuers in force."""

    def __init__(self, trust: TrustState) -> None:
        self._trust = trust

    def node(self, inception: Inception, record_id: RecordId) -> KnownNode | None:
        """A verified, unrevoked node record that has not ended, with its issuer's key."""
        chain = self._trust.chain_of(record_id)
        signed = self._trust.signed(record_id)
        if chain is None or signed is None or not isinstance(signed.record, NodeRecord):
            return None
        now_ms = clocks.read().wall_us // 1_000
        if chain.identity != inception or not chain.is_valid_at(now_ms):
            return None
        issuer = self._trust.signed(RecordId(signed.record.issuer_record))
        if self._trust.is_revoked(chain) or issuer is None:
            return None
        if not isinstance(issuer.record, IssuerRecord):
            return None
        return KnownNode(signed.record, issuer.record.key)

    def issuer_anchors(self) -> tuple[bytes, ...]:
        """The anchors of every issuer whose chain is valid now."""
        now_ms = clocks.read().wall_us // 1_000
        anchors = []
        for signed in self._trust.records_of(IssuerRecord):
            chain = self._trust.chain_of(signed.id)
            if chain is None or not chain.is_valid_at(now_ms) or self._trust.is_revoked(chain):
                continue
            assert isinstance(signed.record, IssuerRecord)
            anchors.append(issuer_anchor(signed.record))
        return tuple(anchors)


class Node:
    """An opened home: everything that a running node consists of."""

    def __init__(
        self,
        home: Home,
        settings: NodeConfig,
        keyring: FileKeyring,
        store: LmdbStore,
        log: Log,
    ) -> None:
        self.home = home
        self.settings = settings
        self.keyring = keyring
        self.store = store
        self.log = log
        self.metrics = Metrics()
        self.signers = Signers(keyring)
        boot, kept = next_boot(store)
        store.apply([kept])
        identity = find(home, store, keyring, boot)
        self.signers.refresh()
        self.is_copy = identity.is_copy
        self.peer = self._make_peer(identity.own)
        self.peer.recover(clocks.read())
        self.desk = Desk(self.peer.core.trust, self.signers, store)
        self.upkeep = Upkeep(self.peer.core, self.desk, self.signers, keyring)
        self.projector = Projector(store, Projection(home.recall, StaticEmbedder()))
        self.driver = Driver(
            self.peer, store, self.signers, self.projector, metrics=self.metrics, log=log
        )
        self.contexts = TlsContexts(None, ())
        self.streams = TlsStreams(_streams(settings), self.contexts, Book(self.peer.core.trust))
        self.address: tuple[str, int] | None = None
        self.tls_address: tuple[str, int] | None = None
        self.stop = trio.Event()
        for notice in self.projector.projection.notices:
            log.write("warning", "projection_rebuilt", reason=notice)

    def _make_peer(self, own: OwnNode) -> Peer:
        held = self.keyring.signer(NODE)
        return Peer(
            _peer_config(self.settings),
            FederationId(bytes.fromhex(self.settings.federation)),
            own,
            peer_record(own, held, EMBEDDED_ADDRESS),
            PeerPorts(
                reader=self.store,
                custody=self.signers,
                epochs=OneEpoch(),
                law=CapabilityRules(),
                durability=LocalDurability(),
            ),
            seed=clocks.entropy(SEED_BYTES),
        )

    # Own records.

    async def renew_what_is_due(self) -> None:
        """Renews by this node's own desk, or asks the organisation's other nodes."""
        issued = self.upkeep.renew_issuer()
        if issued:
            await self.admit(issued)
        letters = self.upkeep.due_letters()
        if self.is_copy and self.desk.is_open:
            letters = [self.upkeep.rebirth_letter(), *letters[1:]]
        if not letters:
            return
        if self.desk.is_open:
            for letter in letters:
                await self.take_renewal(self.desk.renew(letter)[0], letter.kind)
        else:
            await self._ask_around(letters)

    async def _ask_around(self, letters: Sequence[RenewalLetter]) -> None:
        """Says the letters to every connected node of this organisation, until one answers."""
        links = self.driver.links
        if links is None:
            return
        own = self.peer.core.own
        for known in (each for _, each in self.peer.introductions.known.items()):
            if known.chain.org == own.org and known.peer in links.peers:
                for letter in letters:
                    links.send(known.peer, letter.to_body())

    async def admit(self, envelopes: Sequence[bytes]) -> tuple[str, ...]:
        """Takes records through the peer's door; one outcome each."""
        answer = await self.driver.ask(AdmitRecords(tuple(envelopes)))
        return getattr(answer, "outcomes", ())

    async def take_renewal(self, reply: RenewalReply, kind: str = "") -> None:
        """Takes up new records of this node: datagram key, identity, TLS leaf."""
        if reply.refusal:
            self.log.write("warning", "renewal_refused", reason=reply.refusal)
            return
        await self.admit(records_of([reply]))
        record = parse_untrusted(reply.records[-1]).record if reply.records else None
        if not isinstance(record, NodeRecord):
            return
        if record.key == self.keyring.next_signer(NODE).public:
            await self._be_reborn(record)
        if record.key != self.keyring.signer(NODE).public:
            return
        datagram_renewed(self.keyring, record)
        self.signers.refresh()
        if reply.leaf:
            await trio.Path(self.home.leaf).write_bytes(reply.leaf)
        self.present_identity()

    async def _be_reborn(self, record: NodeRecord) -> None:
        """A new identity: logs begin anew, the old ones stay as they are."""
        self.keyring.stage(NODE, clocks.entropy(SEED_BYTES))
        self.keyring.promote(NODE)
        self.signers.refresh()
        self.store.apply(list(settled_here(self.home)))
        self.is_copy = False
        record_id = RecordId(record.id_of(record.to_body()))
        own = self.peer.core.own
        own.inception, own.key = Inception(record.inception), record.key
        own.record = record_id
        own.peer = peer_id(own.inception, own.org)
        self.log.write("warning", "new_identity", reason="the store is a copy or was restored")
        if self.address is not None:
            self.stop.set()

    def present_identity(self) -> None:
        """Shows the newest record, leaf and issuers from the next contact on."""
        self.contexts.trust(Book(self.peer.core.trust).issuer_anchors())
        self.streams.trust_changed()
        leaf = self._leaf()
        if leaf:
            self.contexts.present(leaf_pem(leaf, software_key(self.keyring.signer(NODE))))
        if self.driver.datagrams is not None:
            self.driver.datagrams.feed(IdentityRenewed(self._own_identity()))

    def _leaf(self) -> bytes:
        """The kept leaf where it is the newest record's; an issuer makes its own."""
        own = self.peer.core.own
        if self.home.leaf.exists():
            der = self.home.leaf.read_bytes()
            try:
                if read_leaf_untrusted(der).node_record_id == own.record:
                    return der
            except MalformedFrame:
                self.log.write("warning", "leaf_damaged", reason=str(self.home.leaf))
        made = self.desk.leaf_for(own.record)
        if made:
            self.home.leaf.write_bytes(made)
        return made

    def _own_identity(self) -> OwnIdentity:
        own = self.peer.core.own
        chain = self.desk.path_to(own.record)
        key = datagram_key(self.keyring.signer(DATAGRAM))
        return OwnIdentity(own.peer, key, chain[-1], tuple(reversed(chain[:-1])), own.boot)

    # Network.

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Opens both ports and carries the peer's traffic until cancelled."""
        carrier = UdpCarrier((self.settings.listen, self.settings.udp_port))
        try:
            stream = Stream(clocks.entropy(SEED_BYTES), "datagrams", self.peer.core.own.peer)
            machine = DatagramMachine(_datagrams(self.settings), self._own_identity(), stream)
            datagrams = Datagrams(machine, carrier, self.driver.post)
            links = Links(self.streams, self.driver.post, self.driver.has_room, self._at_desk)
            self.present_identity()
            async with trio.open_nursery() as nursery:
                tls_port = await nursery.start(self._accept, links, carrier.address)
                self._announce(carrier.address, tls_port)
                self.driver.datagrams, self.driver.links = datagrams, links
                self.driver.issuers_changed = self.present_identity
                nursery.start_soon(datagrams.receive)
                nursery.start_soon(datagrams.flush)
                nursery.start_soon(self._keep_up)
                await self._bootstrap()
                task_status.started()
                await trio.sleep_forever()
        finally:
            self.driver.datagrams = self.driver.links = None
            carrier.close()

    async def _accept(
        self, links: Links, udp: tuple[str, int], *, task_status: trio.TaskStatus[int]
    ) -> None:
        port = self.settings.tls_port or udp[1]
        await links.run((self.settings.listen, port), task_status=task_status)

    def _announce(self, udp: tuple[str, int], tls_port: int) -> None:
        host = self.settings.advertise or udp[0]
        self.address = (host, udp[1])
        own = self.peer.core.own
        held = self.keyring.signer(NODE)
        listing = peer_record(own, held, Address(host, udp[1], tls_port))
        self.peer.introductions.own_record = listing
        self.tls_address = (host, tls_port)
        self.log.write(
            "info",
            "listening",
            udp=format_address(self.address),
            tls=format_address((host, tls_port)),
        )

    async def _bootstrap(self) -> None:
        known = [parse_address(text) for text in self.settings.bootstrap]
        known += self._remembered()
        if known:
            await self.driver.ask(Join(tuple(dict.fromkeys(known))))

    def _remembered(self) -> list[tuple[str, int]]:
        """Addresses of peers that this node knew before it stopped."""
        kept = self.store.meta("peers")
        text = kept.decode("utf-8", "replace") if kept else ""
        return [parse_address(line) for line in text.splitlines() if line]

    def remember_peers(self) -> Write:
        """The addresses of complete contacts, for the next start."""
        known = self.peer.introductions.known.items()
        lines = [
            format_address((each.endpoint.host, each.endpoint.port))
            for _, each in known
            if each.record is not None
        ]
        return PutMeta("peers", "\n".join(lines[:64]).encode())

    async def _keep_up(self) -> None:
        while True:
            try:
                await self.renew_what_is_due()
                self.store.submit([self.remember_peers()], lambda error: None)
            except HiveError as error:
                self.log.write("warning", "upkeep_failed", reason=str(error), hint=error.hint)
            await trio.sleep(CHECK_INTERVAL_S)

    # The desk on streams.

    async def _at_desk(self, stream: FrameStream, untrusted: bytes) -> bool:
        """Serves paperwork; True where the frame was paperwork (or the stream is anonymous)."""
        label = label_of_untrusted(untrusted)
        try:
            if label == EnrolmentLetter.LABEL:
                await self._enrol(stream, EnrolmentLetter.from_body_untrusted(untrusted))
                return True
            if label == RenewalLetter.LABEL:
                reply, record = self.desk.renew(RenewalLetter.from_body_untrusted(untrusted))
                if record:
                    await self.admit([record])
                await stream.send(reply.to_body())
                return True
            if label == RenewalReply.LABEL and not stream.is_anonymous:
                await self.take_renewal(RenewalReply.from_body_untrusted(untrusted))
                return True
        except MalformedFrame as error:
            self.log.write("info", "paperwork_malformed", reason=str(error))
            return True
        return False

    async def _enrol(self, stream: FrameStream, letter: EnrolmentLetter) -> None:
        reply, ledger, record = self.desk.enrol(letter)
        for refusal in self.desk.refusals:
            self.log.write("warning", "enrolment_refused", reason=refusal)
        self.desk.refusals.clear()
        if ledger is not None:
            await trio.to_thread.run_sync(self.store.apply, [ledger])
        if record:
            await self.admit([record])
        await stream.send(reply.to_body())


def _peer_config(settings: NodeConfig) -> PeerConfig:
    if settings.network == "lan":
        return PeerConfig()
    return PeerConfig(
        membership=SwimConfig.for_internet(),
        discovery=DiscoveryConfig.for_internet(),
        push=PushConfig.for_internet(),
        reconciliation=ReconciliationConfig.for_internet(),
    )


def _streams(settings: NodeConfig) -> StreamConfig:
    return StreamConfig.for_lan() if settings.network == "lan" else StreamConfig.for_internet()


def _datagrams(settings: NodeConfig) -> DatagramConfig:
    is_lan = settings.network == "lan"
    return DatagramConfig.for_lan() if is_lan else DatagramConfig.for_internet()


@asynccontextmanager
async def running(
    home: Home,
    settings: NodeConfig,
    passphrase: Passphrase | None,
    *,
    is_online: bool,
    log: Log | None = None,
) -> AsyncIterator[Node]:
    """Opens a home and runs its peer; online it also listens. Closes everything at the end."""
    log = log or Log(level=settings.log_level)
    keyring = await trio.to_thread.run_sync(home.open_keyring, passphrase)
    store = await trio.to_thread.run_sync(home.open_store, settings)
    try:
        node = Node(home, settings, keyring, store, log)
        async with trio.open_nursery() as nursery:
            await nursery.start(node.driver.run)
            await node.projector.forget_erased()
            await node.renew_what_is_due()
            if is_online:
                await nursery.start(node.serve)
            try:
                yield node
            finally:
                with trio.CancelScope(shield=True):
                    await _say_goodbye(node, is_online)
                nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(node.projector.projection.close)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store.close)


async def _say_goodbye(node: Node, is_online: bool) -> None:
    if is_online:
        with trio.move_on_after(GOODBYE_S):
            await node.driver.ask(Leave())
            await trio.sleep(GOODBYE_S / 2)


async def up(
    home: Home,
    settings: NodeConfig,
    passphrase: Passphrase | None,
    *,
    control: Callable[..., Awaitable[None]],
    ready: Callable[[Node], None],
) -> None:
    """The daemon: runs until SIGTERM, SIGINT or the `stop` verb."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            running(home, settings, passphrase, is_online=True) as node,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(control, node)
            nursery.start_soon(_stop_on_signal, signals, node)
            ready(node)
            await node.stop.wait()
            nursery.cancel_scope.cancel()


async def _stop_on_signal(signals: AsyncIterator[int], node: Node) -> None:
    async for _ in signals:
        node.stop.set()
