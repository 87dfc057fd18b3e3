"""Secrets at rest: a passphrase becomes a key by Argon2id, and the key seals a secret.

Libsodium's `pwhash` and `secretbox`; salt and nonce are handed in. The cost travels with what was
sealed, so a box can be opened by whoever knows the passphrase, years later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from hive.wire.codec import Integer
from hive.wire.schema import Part, part

SALT_BYTES: Final = 16
NONCE_BYTES: Final = 24
KEY_BYTES: Final = 32
BOX_OVERHEAD_BYTES: Final = 16

_OPERATIONS_MAX: Final = 16
_MEMORY_BYTES_MAX: Final = 1 << 30
_MEMORY_BYTES_MIN: Final = 8_192


@part
@dataclass(frozen=True, slots=True)
class PassphraseCost(Part):
    """What one guess at the passphrase costs: Argon2id passes and bytes of memory.

    The bounds keep a hostile file from costing its reader more than 16 passes over 1 GiB.
    """

    operations: Annotated[int, Integer(1, _OPERATIONS_MAX)]
    memory_bytes: Annotated[int, Integer(_MEMORY_BYTES_MIN, _MEMORY_BYTES_MAX)]


INTERACTIVE: Final = PassphraseCost(2, 64 << 20)
"""Libsodium's interactive cost, about 0.1 s: for passphrases that people choose."""

RANDOM_PASSPHRASE: Final = PassphraseCost(1, _MEMORY_BYTES_MIN)
"""The least cost: enough where the passphrase itself is 32 random bytes, and in tests."""


def stretch(passphrase: bytes, salt: bytes, cost: PassphraseCost) -> bytes:
    """The 32-byte key of a passphrase; as slow as `cost` says."""
    key: bytes = sodium.crypto_pwhash_alg(
        KEY_BYTES,
        passphrase,
        salt,
        cost.operations,
        cost.memory_bytes,
        sodium.crypto_pwhash_ALG_ARGON2ID13,
    )
    return key


def seal_secret(key: bytes, nonce: bytes, secret: bytes) -> bytes:
    """The box, 16 bytes longer than the secret; a nonce is used once under a key."""
    box: bytes = sodium.crypto_secretbox(secret, nonce, key)
    return box


def open_secret(key: bytes, nonce: bytes, untrusted_box: bytes) -> bytes | None:
    """The secret, or None where key, nonce and box do not belong together."""
    try:
        opened: bytes = sodium.crypto_secretbox_open(untrusted_box, nonce, key)
    except (CryptoError, ValueError, TypeError):
        return None
    return opened
