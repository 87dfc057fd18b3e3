"""Keys and signatures: Ed25519 through libsodium, P-256 with low S as the second algorithm.

One verification profile everywhere: a point check on every public key at admission
(small-order and non-canonical points are refused) and libsodium's cofactorless verify. What
is signed is always `SIGNING_LABEL ‖ 0 ‖ label ‖ 0 ‖ digest`, 32 bytes under a type, never a body.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

import nacl.bindings as sodium
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.exceptions import CryptoError

from hive.wire.codec import Integer, Octets, encode
from hive.wire.ids import Digest, digest
from hive.wire.schema import Part, part

ED25519: Final = 1
P256: Final = 2
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
SIGNING_LABEL: Final = b"hive/signature/1"

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@part
@dataclass(frozen=True, slots=True)
class PublicKey(Part):
    """An algorithm tag and the key's bytes: 32 (Ed25519) or 33 compressed (P-256)."""

    algorithm: Annotated[int, Integer(ED25519, P256)]
    octets: Annotated[bytes, Octets(32, 33)]

    @property
    def digest(self) -> Digest:
        """What a pre-rotation commitment and a signature entry name this key by."""
        return digest("hive/key", encode((self.algorithm, self.octets)))


def signing_bytes(label: str, subject: Digest) -> bytes:
    """The bytes under a signature over a digest of the given type."""
    return SIGNING_LABEL + b"\0" + label.encode() + b"\0" + subject


def is_sound(key: PublicKey) -> bool:
    """The point check: canonical, on the curve, in the main subgroup. 60 µs; once a key."""
    if key.algorithm == ED25519:
        return len(key.octets) == 32 and bool(sodium.crypto_core_ed25519_is_valid_point(key.octets))
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.octets)
    except ValueError:
        return False
    return len(key.octets) == 33 and _compressed(point) == key.octets


def verify(key: PublicKey, label: str, subject: Digest, signature: bytes) -> bool:
    """Whether `signature` is the key's over (label, subject); the key passed its point check."""
    return verify_bytes(key.algorithm, key.octets, signing_bytes(label, subject), signature)


def verify_bytes(algorithm: int, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Raw verification under the strict profile of the algorithm."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    if algorithm == ED25519:
        try:
            sodium.crypto_sign_open(signature + message, public_key)
        except (CryptoError, ValueError):
            return False
        return True
    return algorithm == P256 and _verify_p256(public_key, message, signature)


def _verify_p256(public_key: bytes, message: bytes, signature: bytes) -> bool:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < _P256_ORDER and 0 < s <= _P256_ORDER // 2):
        return False
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
        point.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _compressed(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


class SigningKey(Protocol):
    """A private key that can sign a digest under a label at once."""

    @property
    def public(self) -> PublicKey:
        """The public half."""

    def sign(self, label: str, subject: Digest) -> bytes:
        """64 bytes over `signing_bytes(label, subject)`."""


class Ed25519Key:
    """A software Ed25519 key made from 32 secret bytes."""

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError("an Ed25519 seed has 32 bytes")
        public, self._secret = sodium.crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.public = PublicKey(ED25519, public)

    def sign(self, label: str, subject: Digest) -> bytes:
        """64 bytes, deterministic."""
        return self.sign_bytes(signing_bytes(label, subject))

    def sign_bytes(self, message: bytes) -> bytes:
        """A raw signature; for X.509 and for measuring, not for records."""
        signed: bytes = sodium.crypto_sign(message, self._secret)
        return signed[:SIGNATURE_BYTES]


class P256Key:
    """A software P-256 key made from 32 secret bytes, reduced into 1..n−1."""

    __slots__ = ("_private", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        scalar = int.from_bytes(hashlib.sha512(b"hive/p256" + seed).digest(), "big")
        self._private = ec.derive_private_key(scalar % (_P256_ORDER - 1) + 1, ec.SECP256R1())
        self.seed = seed
        self.public = PublicKey(P256, _compressed(self._private.public_key()))

    def sign(self, label: str, subject: Digest) -> bytes:
        """64 bytes r‖s with low S; not deterministic."""
        der = self._private.sign(signing_bytes(label, subject), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        s = min(s, _P256_ORDER - s)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
