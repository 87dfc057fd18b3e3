"""Who this node is: read from its store and keyring when it opens, renewed before it ends.

A node is the newest node record in its store whose key its keyring holds. Three things change
it: *renewal* (same key, new dates, new datagram key), and *rebirth* (a new identity), which a
restored or copied store needs, because the original may have signed what this store does not
know. Where this process holds the issuer's key it does both itself; else it asks the issuer.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Final, Self

from hive.custody.file import FileKeyring
from hive.custody.signer import HeldKey, Signer
from hive.errors import StateError
from hive.node import clocks
from hive.node.home import (
    DATAGRAM,
    NODE,
    PLACE_META,
    Home,
    datagram_key,
    software_key,
)
from hive.node.paperwork import (
    FIND_AGENT,
    REBIRTH,
    RENEW_AGENT,
    RENEW_NODE,
    RenewalLetter,
    renewal_subject,
)
from hive.protocol.core import OwnNode
from hive.protocol.discovery.contact import Address
from hive.protocol.discovery.records import PeerRecord, SignedRecord
from hive.protocol.ports import PutMeta, StoreReader, Write
from hive.store.backup import RESTORED
from hive.store.backup import compact as compact_store
from hive.trust.envelope import Signed, parse_untrusted
from hive.trust.keys import SEED_BYTES, Ed25519Key, PublicKey
from hive.trust.records import AgentRecord, NodeRecord
from hive.trust.sealing import DatagramKey
from hive.wire.ids import Digest, Inception, RecordId, peer_id

BOOT_META: Final = "boot"


@dataclass(frozen=True, slots=True)
class Identity:
    """The node as its store and keyring say."""

    own: OwnNode
    record: Signed[NodeRecord]
    is_copy: bool


def next_boot(reader: StoreReader) -> tuple[int, PutMeta]:
    """A number that grew with every start of this node, for ever; to be stored before use."""
    kept = reader.meta(BOOT_META)
    seconds = clocks.read().wall_us // 1_000_000
    boot = max(int.from_bytes(kept, "big") + 1 if kept else 1, seconds)
    return boot, PutMeta(BOOT_META, boot.to_bytes(8, "big"))


def find(home: Home, reader: StoreReader, keyring: FileKeyring, boot: int) -> Identity:
    """The newest record of this node's key; raises `StateError` where there is none.

    A record of the *next* key of the same identity means that a rotation was granted and this
    process stopped before it was taken up: it is taken up now.
    """
    newest = newest_record(reader, keyring.signer(NODE).public)
    upcoming = newest_record(reader, keyring.next_signer(NODE).public)
    if newest and upcoming and upcoming.record.inception == newest.record.inception:
        keyring.stage(NODE, clocks.entropy(SEED_BYTES))
        keyring.promote(NODE)
        newest = upcoming
    if newest is None:
        raise StateError(
            f"{home.path} holds no record for its node key",
            hint="join with an invite (`hive join`), or restore the store from a backup",
        )
    datagram_renewed(keyring, newest.record)
    return Identity(own_node(newest, boot), newest, is_copied(home, reader))


def newest_record(reader: StoreReader, key: PublicKey) -> Signed[NodeRecord] | None:
    """The kept node record of a key that begins latest."""
    newest: Signed[NodeRecord] | None = None
    for envelope in reader.records():
        signed = parse_untrusted(envelope)
        record = signed.record
        if not isinstance(record, NodeRecord) or record.key != key:
            continue
        if newest is None or record.not_before_ms >= newest.record.not_before_ms:
            newest = Signed(record, signed.body, signed.signatures, signed.id)
    return newest


def own_node(signed: Signed[NodeRecord], boot: int) -> OwnNode:
    """The peer's view of this node."""
    record = signed.record
    inception, org = Inception(record.inception), Inception(record.org)
    return OwnNode(
        peer=peer_id(inception, org),
        inception=inception,
        org=org,
        name=record.name,
        region=record.region,
        key=record.key,
        record=signed.id,
        boot=boot,
        cell=record.cell,
    )


def is_copied(home: Home, reader: StoreReader) -> bool:
    """Whether this store was restored, or lies elsewhere than where it was last written."""
    if reader.meta(RESTORED):
        return True
    kept = reader.meta(PLACE_META)
    return kept is not None and kept != home.place()


def settled_here(home: Home) -> tuple[Write, ...]:
    """What marks a store as being at home again, once it has an identity of its own."""
    return PutMeta(PLACE_META, home.place()), PutMeta(RESTORED, b"")


def compact(home: Home) -> tuple[int, int]:
    """Takes what was erased off the disk; the store's bytes before and after.

    No node may run. Raises `StateError` for a copy: it would pass for the original afterwards.
    """
    with home.open_store(home.settings()) as store:
        if is_copied(home, store):
            raise StateError(
                "this store was restored or copied and has no identity of its own yet",
                hint="start it once, then compact it",
            )
        sizes = compact_store(store, lambda data: [PutMeta(PLACE_META, home.place(data))])
    shutil.rmtree(home.recall, ignore_errors=True)
    return sizes


def peer_record(
    own: OwnNode, held: HeldKey, addresses: tuple[Address, ...], sequence: int
) -> SignedRecord:
    """Where this node listens, signed by its key."""
    listing = PeerRecord(own.inception, own.org, own.record, addresses, sequence)
    body = listing.to_body()
    return SignedRecord(body, held.sign(PeerRecord.LABEL, listing.id_of(body)))


# Letters to the issuer. The key that will be needed is durable before the letter leaves.


def node_renewal(keyring: FileKeyring, record: RecordId) -> RenewalLetter:
    """Asks for the same key with new dates and the next datagram key."""
    held = keyring.signer(NODE)
    upcoming = DatagramKey(software_key(keyring.next_signer(DATAGRAM)).seed)
    return _letter(RENEW_NODE, held, record, upcoming.public, held.public, Digest(bytes(32)))


def datagram_renewed(keyring: FileKeyring, record: NodeRecord) -> None:
    """The renewed record names the next datagram key: it becomes the present one."""
    if datagram_key(keyring.signer(DATAGRAM)).public == record.datagram_key:
        return
    keyring.stage(DATAGRAM, clocks.entropy(SEED_BYTES))
    keyring.promote(DATAGRAM)


def agent_renewal(signer: Signer, record: RecordId) -> RenewalLetter:
    """Asks for an agent's record with new dates; a key held outside is asked in this thread."""
    zero = Digest(bytes(32))
    return _letter(RENEW_AGENT, signer, record, bytes(32), signer.public, zero)


def agent_search(signer: Signer) -> RenewalLetter:
    """Asks for the newest record of an agent whose key was brought here."""
    zero = Digest(bytes(32))
    return _letter(FIND_AGENT, signer, RecordId(zero), bytes(32), signer.public, zero)


@dataclass(frozen=True, slots=True)
class FreshKeys:
    """Keys for a new identity: nobody who has a copy of the keyring can know them."""

    node: Ed25519Key
    next_node: Ed25519Key
    datagram: bytes
    next_datagram: bytes

    @classmethod
    def draw(cls) -> Self:
        """New ones."""
        node, following, datagram, next_datagram = (clocks.entropy(SEED_BYTES) for _ in range(4))
        return cls(Ed25519Key(node), Ed25519Key(following), datagram, next_datagram)

    def replace_those_of(self, keyring: FileKeyring) -> None:
        """Puts them in the place of the keys that the original has too."""
        keyring.supplant(NODE, self.node.seed, self.next_node.seed)
        keyring.supplant(DATAGRAM, self.datagram, self.next_datagram)


def rebirth(keyring: FileKeyring, record: RecordId, fresh: FreshKeys) -> RenewalLetter:
    """Asks for a new identity under a fresh key, signed by the present one.

    Not under the next key: the original has that one too, and would take the record for its own.
    """
    public, following = fresh.node.public, fresh.next_node.public.digest
    datagram = DatagramKey(fresh.datagram).public
    return _letter(REBIRTH, keyring.signer(NODE), record, datagram, public, following)


def _letter(
    kind: str,
    held: Signer,
    record: RecordId,
    datagram: bytes,
    key: PublicKey,
    following: Digest,
) -> RenewalLetter:
    subject = renewal_subject(kind, record, datagram, key, following)
    signature = held.sign("renewal", subject)
    return RenewalLetter(kind, record, datagram, key, following, signature)


def is_due(record: NodeRecord | AgentRecord, now_ms: int) -> bool:
    """Whether half of a record's life is over."""
    return now_ms >= (record.not_before_ms + record.not_after_ms) // 2
