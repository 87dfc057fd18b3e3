"""The DHT of an admissible set: discovery whose world is only those who may hold a namespace.

A restricted namespace has no record in the global DHT. Its providers are found by a machine of
this module, one for each admissible set, that differs from the global one in what it lets in:

1. Contacts enter only where `admits` says that their record lets them hold the namespace; whoever
   else is introduced counts as unreachable, so nothing is ever sent to it or asked of it.
2. Every message is sealed with the set's key k_ns inside the box between the two peers, and names
   the set by a tag made with k_ns. Who lacks the key, or keeps one that was replaced when it left,
   can neither read nor speak.
3. Records are kept under HMAC(k_ns, name): a provider record carries that token instead of the
   namespace's digest, so that even a copy that leaks does not tell the name.

How k_ns reaches the members is not decided here; a new key is a new machine.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Contact
from hive.protocol.discovery.events import (
    ContactUnreachable,
    ContactVerified,
    DiscoveryEffect,
    DiscoveryEvent,
    RecordRequested,
)
from hive.protocol.discovery.kademlia import Discovery
from hive.protocol.discovery.records import KeyBook, ProviderRecord, provider_key
from hive.protocol.machine import Received, Send, Token
from hive.trust.sealing import BOX_OVERHEAD_BYTES, KEY_BYTES, NONCE_BYTES, open_box, seal
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import Digest, Inception, PeerId
from hive.wire.randomness import Stream

TAG_BYTES: Final = 8
OVERHEAD_BYTES: Final = TAG_BYTES + NONCE_BYTES + BOX_OVERHEAD_BYTES


class ScopeKey:
    """What follows from k_ns, the 32 secret bytes that the members of one set share."""

    __slots__ = ("_box_key", "_name_key", "tag")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"k_ns has {KEY_BYTES} bytes")
        self._name_key = _derived(secret, b"hive/scope-name")
        self._box_key = _derived(secret, b"hive/scope-box")
        self.tag = _derived(secret, b"hive/scope-tag")[:TAG_BYTES]

    def token(self, namespace: str) -> Digest:
        """HMAC(k_ns, name): what stands for the namespace wherever it could be seen."""
        return Digest(_derived(self._name_key, namespace.encode()))

    def seal(self, nonce: bytes, payload: bytes) -> bytes:
        """Tag, nonce and box."""
        return self.tag + nonce + seal(self._box_key, nonce, payload)

    def open_untrusted(self, untrusted: bytes) -> bytes | None:
        """The payload; None where it is of another set, damaged or forged."""
        if len(untrusted) < OVERHEAD_BYTES or untrusted[:TAG_BYTES] != self.tag:
            return None
        nonce = untrusted[TAG_BYTES : TAG_BYTES + NONCE_BYTES]
        return open_box(self._box_key, nonce, untrusted[TAG_BYTES + NONCE_BYTES :])


def _derived(secret: bytes, message: bytes) -> bytes:
    return hmac.digest(secret, message, hashlib.sha256)


@dataclass(slots=True)
class ScopeCounts:
    """What was kept out, for metrics."""

    foreign: int = 0
    inadmissible: int = 0


class ScopedDiscovery:
    """One admissible set's DHT; events and effects are those of `Discovery`.

    `stream` must be secret, as nonces are drawn from it. `admits` is asked of this moment.
    """

    def __init__(
        self,
        own: PeerId,
        config: DiscoveryConfig,
        key: ScopeKey,
        key_book: KeyBook,
        admits: Callable[[PeerId, Inception], bool],
        stream: Stream,
    ) -> None:
        self.counts = ScopeCounts()
        self._key = key
        self._admits = admits
        self._stream = stream
        config = replace(config, answer_bytes_max=config.answer_bytes_max - OVERHEAD_BYTES)
        self._discovery = Discovery(own, config, key_book, stream)

    @property
    def tag(self) -> bytes:
        """What its messages begin with."""
        return self._key.tag

    @property
    def deadline(self) -> MonotonicUs | None:
        """The machine's."""
        return self._discovery.deadline

    def record(
        self, namespace: str, inception: Inception, sequence: int, not_after: int
    ) -> ProviderRecord:
        """What a member signs and publishes to say that it serves the namespace."""
        return ProviderRecord(self._key.token(namespace), inception, sequence, not_after)

    def request(self, token: Token, namespace: str) -> RecordRequested:
        """Asks who of the set serves the namespace."""
        return RecordRequested(token, provider_key(self._key.token(namespace)))

    def handle(self, event: DiscoveryEvent, now: Now) -> list[DiscoveryEffect]:
        """Takes one event; inadmissible contacts and foreign messages go no further."""
        match event:
            case Received():
                return self._received(event, now)
            case ContactVerified(contact=contact) if not self._may_hold(contact):
                self.counts.inadmissible += 1
                return self._inner(ContactUnreachable(contact.peer), now)
            case _:
                return self._inner(event, now)

    def _may_hold(self, contact: Contact) -> bool:
        return self._admits(contact.peer, contact.org)

    def _received(self, event: Received, now: Now) -> list[DiscoveryEffect]:
        contact = self._discovery.table.contact(event.sender)
        if contact is None or not self._may_hold(contact):
            self.counts.inadmissible += 1
            return []
        payload = self._key.open_untrusted(event.untrusted_payload)
        if payload is None:
            self.counts.foreign += 1
            return []
        return self._inner(Received(event.sender, payload), now)

    def _inner(self, event: DiscoveryEvent, now: Now) -> list[DiscoveryEffect]:
        effects: list[DiscoveryEffect] = []
        for effect in self._discovery.handle(event, now):
            if not isinstance(effect, Send):
                effects.append(effect)
            elif self._is_member(effect.receiver):
                nonce = self._stream.bits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
                effects.append(Send(effect.receiver, self._key.seal(nonce, effect.payload)))
        return effects

    def _is_member(self, peer: PeerId) -> bool:
        """Judged anew at each message: who left the set hears nothing more."""
        contact = self._discovery.table.contact(peer)
        return contact is not None and self._may_hold(contact)
