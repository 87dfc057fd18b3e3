"""Boxes between two peers, and keyed digests for cookies; entropy and nonces are handed in.

`crypto_box` (X25519, XSalsa20-Poly1305) with the shared key computed once. Libsodium's shared
key is the same in both directions and knows no identities, so `directed_key` derives one key
for each (sender, receiver) from it: a nonce must then be unique per sender and receiver only,
and a peer that names somebody else's datagram key as its own shares no key with anybody.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import nacl.bindings as sodium
from nacl._sodium import ffi, lib
from nacl.exceptions import CryptoError

from hive.wire.ids import PeerId, digest

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
BOX_OVERHEAD_BYTES: Final = 16
AUTHENTICATOR_BYTES: Final = 16


class DatagramKey:
    """A node's X25519 key made from 32 secret bytes; new with each node record."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise ValueError("an X25519 seed has 32 bytes")
        self._secret = digest("hive/datagram-secret", seed)
        self.public: bytes = sodium.crypto_scalarmult_base(self._secret)

    def shared_with(self, their_public: bytes) -> bytes | None:
        """`crypto_box_beforenm`; None where their key is no key (short, or a low-order point)."""
        try:
            shared: bytes = sodium.crypto_box_beforenm(their_public, self._secret)
        except (CryptoError, RuntimeError, ValueError, TypeError):
            return None
        return shared


def shared_key(own: DatagramKey, their_public: bytes) -> bytes | None:
    """The key both sides compute; None where `their_public` is no sound key. 34 µs."""
    return own.shared_with(their_public)


def directed_key(shared: bytes, sender: PeerId, receiver: PeerId) -> bytes:
    """The key for what `sender` seals to `receiver`; 32 bytes."""
    return digest("hive/datagram-direction", shared + sender + receiver)


class Boxer:
    """Seals and opens in one buffer of its own: half the price of the library's bindings, which
    allocate and check twice for each box. Not for two threads at once.

    Results are those of `seal` and `open_box`; what is too long for the buffer is refused.
    """

    __slots__ = ("_bytes_max", "_place", "_view")

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max`: the longest box."""
        self._bytes_max = bytes_max
        self._place = ffi.new("unsigned char[]", bytes_max)
        self._view = ffi.buffer(self._place)

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
        """The box, 16 bytes longer than `plaintext`; a nonce is used once under a key."""
        size = len(plaintext)
        if len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
            raise ValueError("a nonce has 24 bytes and a key 32")
        if size + BOX_OVERHEAD_BYTES > self._bytes_max:
            raise ValueError("the plaintext is too long")
        lib.crypto_box_easy_afternm(self._place, plaintext, size, nonce, key)
        sealed: bytes = self._view[: size + BOX_OVERHEAD_BYTES]
        return sealed

    def open_box(self, key: bytes, nonce: bytes, untrusted_box: bytes) -> bytes | None:
        """The plaintext, or None where key, nonce and box do not belong together."""
        size = len(untrusted_box)
        if not BOX_OVERHEAD_BYTES <= size <= self._bytes_max:
            return None
        if len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
            return None
        if lib.crypto_box_open_easy_afternm(self._place, untrusted_box, size, nonce, key):
            return None
        opened: bytes = self._view[: size - BOX_OVERHEAD_BYTES]
        return opened


def seal(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """The box, 16 bytes longer than `plaintext`; a nonce is used once under a key."""
    sealed: bytes = sodium.crypto_box_easy_afternm(plaintext, nonce, key)
    return sealed


def open_box(key: bytes, nonce: bytes, untrusted_box: bytes) -> bytes | None:
    """The plaintext, or None where key, nonce and box do not belong together."""
    try:
        opened: bytes = sodium.crypto_box_open_easy_afternm(untrusted_box, nonce, key)
    except (CryptoError, ValueError, TypeError):
        return None
    return opened


def authenticate(secret: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 cut to 16 bytes: proves to its maker that it was made here."""
    return hmac.digest(secret, message, hashlib.sha256)[:AUTHENTICATOR_BYTES]


def is_authentic(secret: bytes, message: bytes, untrusted_authenticator: bytes) -> bool:
    """Whether `authenticate` gives this very value; compared in constant time."""
    return hmac.compare_digest(authenticate(secret, message), untrusted_authenticator)
