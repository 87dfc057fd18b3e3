"""The node: store, custody, peer, driver and network joined under one nursery.

`running` opens a home and yields a running node, with or without a network; `up` is the daemon.
Order of closing: goodbyes first, then the network, then what waits for the disk, then the store.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from hive.custody.file import FileKeyring
from hive.custody.outside import OutsideKeys
from hive.custody.passphrase import Passphrase
from hive.errors import ConfigError, HiveError, MalformedFrame
from hive.law.durability import LocalDurability
from hive.law.epochs import OneEpoch
from hive.law.rules import CapabilityRules
from hive.node import clocks
from hive.node.acquaintances import Acquaintances
from hive.node.book import Book
from hive.node.config import NodeConfig, cache_folder, ssh_agent
from hive.node.datagrams import Datagrams
from hive.node.desk import Desk
from hive.node.driver import Driver
from hive.node.errands import ask_for_renewal
from hive.node.home import DATAGRAM, NODE, Home, datagram_key, software_key
from hive.node.identity import (
    datagram_renewed,
    find,
    is_copied,
    next_boot,
    peer_record,
)
from hive.node.kin import Kin
from hive.node.leaf import Leaf
from hive.node.links import Links, free_port_like
from hive.node.logs import Log
from hive.node.metrics import Metrics
from hive.node.paperwork import EnrolmentLetter, RenewalLetter, RenewalReply
from hive.node.presets import datagram_config, peer_config, stream_config
from hive.node.projector import Projector
from hive.node.rebirth import await_rebirth, be_reborn
from hive.node.sessions import Sessions
from hive.node.signers import Signers
from hive.node.upkeep import CHECK_INTERVAL_S, Upkeep, records_of
from hive.node.whereabouts import WATCH_INTERVAL_S, Whereabouts
from hive.protocol.commands import AdmitRecords, Join, Leave
from hive.protocol.core import OwnNode
from hive.protocol.discovery.contact import Address
from hive.protocol.peer import Peer
from hive.protocol.peer_config import PeerPorts
from hive.store.embedders import make_embedder, require_installed
from hive.store.lmdb_store import LmdbStore
from hive.transport.contexts import TlsContexts
from hive.transport.datagram import DatagramMachine
from hive.transport.events import IdentityRenewed, OwnIdentity
from hive.transport.frames import FrameStream, StreamPeer
from hive.transport.interfaces import Interfaces
from hive.transport.streams import TlsStreams
from hive.transport.udp import UdpCarrier
from hive.trust.envelope import parse_untrusted
from hive.trust.records import NodeRecord
from hive.trust.tls import leaf_pem
from hive.wire.ids import DIGEST_BYTES, FederationId
from hive.wire.randomness import Stream
from hive.wire.schema import label_of_untrusted

if TYPE_CHECKING:
    from hive.store.projection import Projection

SEED_BYTES: Final = 32
GOODBYE_S: Final = 1.5
SWITCH_INTERVAL_S: Final = 0.0005
"""How long a busy thread keeps the interpreter; the default of 5 ms starves the disk writer."""
EMBEDDED_ADDRESS: Final = Address("127.0.0.1", 1, 1)


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
        self.signers = Signers(keyring, OutsideKeys(home.keys, ssh_agent))
        boot, kept = next_boot(store)
        store.apply([kept])
        identity = find(home, store, keyring, boot)
        self.signers.refresh()
        self.is_copy = identity.is_copy
        self.peer = self._make_peer(identity.own)
        self.peer.recover(clocks.read())
        core = self.peer.core
        self.desk = Desk(core.trust, core.own, self.signers, store)
        self.upkeep = Upkeep(core, self.signers, keyring)
        self.sessions = Sessions(core, self.peer.recordkeeping, self.signers, keyring, log)
        self.leaf = Leaf(home.leaf, core, self.desk, log)
        self.acquaintances = Acquaintances(home, settings.bootstrap, log)
        self.kin = Kin(self.peer, store, self.acquaintances)
        self.projector = Projector(store, self._open_projection, self._projection_failed)
        self.driver = Driver(
            self.peer, store, self.signers, self.projector, metrics=self.metrics, log=log
        )
        self.contexts = TlsContexts(None, ())
        book = Book(self.peer.core.trust)
        self.streams = TlsStreams(stream_config(settings), self.contexts, book)
        self.whereabouts = Whereabouts(
            settings, self.peer.core.own, partial(keyring.signer, NODE), log
        )
        self.stop = trio.Event()
        self.is_reborn = False
        self.nursery: trio.Nursery

    def _open_projection(self) -> Projection:
        """Vectors and words, loaded only where something is searched or a daemon runs."""
        from hive.store.projection import Projection

        opened = Projection(
            self.home.recall, *make_embedder(self.settings.embedder, cache_folder())
        )
        for notice in opened.notices:
            self.log.write("warning", "projection_rebuilt", reason=notice)
        return opened

    def _projection_failed(self, reason: str) -> None:
        self.log.write("error", "projection_not_saved", reason=reason)

    def _make_peer(self, own: OwnNode) -> Peer:
        held = self.keyring.signer(NODE)
        return Peer(
            peer_config(self.settings),
            _federation_of(self.settings),
            own,
            peer_record(own, held, (EMBEDDED_ADDRESS,), 0),
            PeerPorts(
                reader=self.store,
                custody=self.signers,
                epochs=OneEpoch(),
                law=CapabilityRules(),
                durability=LocalDurability(),
            ),
            seed=clocks.entropy(SEED_BYTES),
        )

    @property
    def address(self) -> tuple[str, int] | None:
        """Where this node hears datagrams, as others were told."""
        return self.whereabouts.udp

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Where this node accepts streams, as others were told."""
        return self.whereabouts.tls

    # Own records.

    async def renew_what_is_due(self) -> None:
        """Renews by this node's own desk, or asks the organisation's other nodes."""
        issued = self.upkeep.renew_household()
        if issued:
            await self.admit(issued)
        if self.is_copy:
            return
        if not self.signers.is_current:
            self.signers.refresh()
        is_online = self.address is not None
        for letter in await self.upkeep.searches() if is_online else ():
            await self._ask_kin(letter)
        for letter in await self.upkeep.due_letters(
            is_leaf_missing=is_online and not self.leaf.kept_or_made()
        ):
            await self._renew(letter, is_online=is_online)
        await self.admit_some(await self.sessions.renewed(self.upkeep.agents()))

    async def _renew(self, letter: RenewalLetter, *, is_online: bool) -> None:
        if self.desk.may_renew(letter.kind):
            reply, _ = self.desk.renew(letter)
            if not reply.refusal or not is_online:
                await self.take_renewal(reply)
                return
        if is_online:
            await self._ask_kin(letter)

    async def _ask_kin(self, letter: RenewalLetter) -> None:
        reply, heard = await ask_for_renewal(self.kin_addresses(), letter)
        if reply is not None:
            await self.take_renewal(reply)
        else:
            self.log.write("warning", "renewal_unanswered", kind=letter.kind, reason=heard)

    def kin_addresses(self) -> list[str]:
        """Where nodes of this organisation answer streams; where they were last, and bootstrap."""
        return self.kin.addresses(self.tls_address)

    async def admit_some(self, envelopes: Sequence[bytes]) -> None:
        """The same as `admit`, which asks the peer for nothing where there is nothing."""
        if envelopes:
            await self.admit(envelopes)

    async def admit(self, envelopes: Sequence[bytes]) -> tuple[str, ...]:
        """Takes records through the peer's door; one outcome each."""
        answer = await self.driver.ask(AdmitRecords(tuple(envelopes)))
        return getattr(answer, "outcomes", ())

    async def take_renewal(self, reply: RenewalReply) -> None:
        """Takes up new records of this node: datagram key, identity, TLS leaf."""
        if reply.refusal:
            self.log.write("warning", "renewal_refused", reason=reply.refusal)
            return
        await self.admit(records_of([reply]))
        signed = parse_untrusted(reply.records[-1]) if reply.records else None
        if signed is None or signed.id != self.peer.core.own.record:
            return
        assert isinstance(signed.record, NodeRecord)
        datagram_renewed(self.keyring, signed.record)
        self.signers.refresh()
        self.leaf.take(reply.leaf)
        self.present_identity()

    def present_identity(self) -> None:
        """Shows the newest record, leaf and issuers from the next contact on."""
        self.contexts.trust(Book(self.peer.core.trust).issuer_anchors())
        self.streams.trust_changed()
        leaf = self.leaf.kept_or_made()
        if leaf:
            self.contexts.present(leaf_pem(leaf, software_key(self.keyring.signer(NODE))))
        if self.driver.datagrams is not None:
            self.driver.datagrams.feed(IdentityRenewed(self._own_identity()))

    def _own_identity(self) -> OwnIdentity:
        own = self.peer.core.own
        chain = self.desk.path_to(own.record)
        key = datagram_key(self.keyring.signer(DATAGRAM))
        return OwnIdentity(own.peer, key, chain[-1], tuple(reversed(chain[:-1])), own.boot)

    # Network.

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Opens both ports and carries the peer's traffic until cancelled.

        A copy without an identity of its own stays off the network: there it would be taken for
        the original.
        """
        if self.is_copy:
            task_status.started()
            await await_rebirth(self)
            return
        carriers: list[UdpCarrier] = []
        try:
            for host in self.settings.hosts:
                carriers.append(UdpCarrier((host, self.settings.udp_port)))
            interfaces = Interfaces(carriers)
            stream = Stream(clocks.entropy(SEED_BYTES), "datagrams", self.peer.core.own.peer)
            machine = DatagramMachine(datagram_config(self.settings), self._own_identity(), stream)
            datagrams = Datagrams(machine, interfaces, self.driver.post)
            links = Links(self.streams, self.driver.post, self.driver.has_room, self._at_desk)
            self.present_identity()
            async with trio.open_nursery() as nursery:
                udp = [carrier.address for carrier in carriers]
                fixed = self.settings.tls_port
                places = [(host, fixed or free_port_like(host, port)) for host, port in udp]
                ports = await nursery.start(links.run, places)
                self.whereabouts.serve(udp, ports)
                self.driver.datagrams, self.driver.links = datagrams, links
                self.driver.issuers_changed = self.present_identity
                await self.whereabouts.tell(self.driver.ask)
                for carrier in carriers:
                    nursery.start_soon(datagrams.receive, carrier)
                    nursery.start_soon(datagrams.flush, carrier)
                nursery.start_soon(self._keep_up)
                nursery.start_soon(self._follow_address, links)
                await self._bootstrap()
                task_status.started()
                await trio.sleep_forever()
        finally:
            self.driver.datagrams = self.driver.links = None
            for carrier in carriers:
                carrier.close()

    async def _follow_address(self, links: Links) -> None:
        """A machine that got another address says so, and leaves what hangs on the old one."""
        while True:
            await trio.sleep(WATCH_INTERVAL_S)
            if await self.whereabouts.tell(self.driver.ask):
                links.close_all()

    async def _bootstrap(self) -> None:
        known = await self.acquaintances.gather()
        if known:
            await self.driver.ask(Join(known))

    async def _keep_up(self) -> None:
        while True:
            try:
                await self.renew_what_is_due()
                self.store.submit(self.kin.remembered(self.tls_address), lambda error: None)
                if not len(self.peer.introductions.known):
                    await self._bootstrap()
                if self.driver.links is not None:
                    self.driver.links.close_ended(self.still_counts)
            except HiveError as error:
                self.log.write("warning", "upkeep_failed", reason=str(error), hint=error.hint)
            await trio.sleep(CHECK_INTERVAL_S)

    def still_counts(self, peer: StreamPeer) -> bool:
        """Whether the node at the other end of a stream still has a record that is good now."""
        core, now = self.peer.core, clocks.read()
        if core.live_chain(peer.node_record_id, now) is not None:
            return True
        newest = core.trust.node_chain(peer.inception)
        return newest is not None and core.live_chain(newest.leaf, now) is not None

    # The desk on streams.

    async def _at_desk(self, stream: FrameStream, untrusted: bytes) -> bool:
        """Serves paperwork, which only anonymous streams bring; True where the frame was some."""
        if not stream.is_anonymous:
            return False
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


def _federation_of(settings: NodeConfig) -> FederationId:
    """The federation that the settings name; raises `ConfigError`."""
    try:
        named = bytes.fromhex(settings.federation)
    except ValueError:
        named = b""
    if len(named) != DIGEST_BYTES:
        raise ConfigError(
            "the settings name no federation",
            hint="put back `federation` in config.toml: the 64 hex digits that every node shares",
        )
    return FederationId(named)


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
    require_installed(settings.embedder)
    keyring = await trio.to_thread.run_sync(home.open_keyring, passphrase)
    store = await trio.to_thread.run_sync(home.open_store, settings)
    try:
        if is_copied(home, store):
            async with _driven(Node(home, settings, keyring, store, log)) as copy:
                await copy.renew_what_is_due()
                await be_reborn(copy, is_online=is_online)
        async with _driven(Node(home, settings, keyring, store, log)) as node:
            await node.projector.forget_erased()
            await node.renew_what_is_due()
            if is_online:
                node.projector.start()
                await node.nursery.start(node.serve)
            try:
                yield node
            finally:
                with trio.CancelScope(shield=True):
                    await _say_goodbye(node, is_online)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store.close)


@asynccontextmanager
async def _driven(node: Node) -> AsyncIterator[Node]:
    """A node whose peer is being driven; its projections are saved at the end."""
    try:
        async with trio.open_nursery() as nursery:
            node.nursery = nursery
            await nursery.start(node.driver.run)
            yield node
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(node.projector.close)


async def _say_goodbye(node: Node, is_online: bool) -> None:
    if is_online and not node.is_copy:
        node.store.submit(node.kin.remembered(node.tls_address), lambda error: None)
    if is_online and len(node.peer.introductions.known):
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
    told = ready
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        while True:
            async with (
                running(home, settings, passphrase, is_online=True) as node,
                trio.open_nursery() as nursery,
            ):
                await nursery.start(control, node)
                nursery.start_soon(_stop_on_signal, signals, node)
                told(node)
                await node.stop.wait()
                nursery.cancel_scope.cancel()
            if not node.is_reborn:
                return
            told = _tell_nobody


def _tell_nobody(node: Node) -> None:
    """Who waited for the first start knows already."""


async def _stop_on_signal(signals: AsyncIterator[int], node: Node) -> None:
    async for _ in signals:
        node.stop.set()
