"""Goal: boxes open for their two ends only. Method: every other key, nonce and byte fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.trust import sealing
from hive.trust.sealing import DatagramKey, directed_key, open_box, seal, shared_key
from hive.wire.ids import PeerId

ALICE, BOB, MALLORY = (DatagramKey(bytes([number]) * 32) for number in (1, 2, 3))
A, B = PeerId(b"a" * 20), PeerId(b"b" * 20)
NONCE = bytes(24)
P25519 = 2**255 - 19


def test_both_ends_compute_the_same_shared_key() -> None:
    assert shared_key(ALICE, BOB.public) == shared_key(BOB, ALICE.public) is not None


def test_each_direction_has_its_own_key() -> None:
    shared = shared_key(ALICE, BOB.public)
    assert shared is not None
    assert directed_key(shared, A, B) != directed_key(shared, B, A)


def test_a_box_has_the_golden_bytes() -> None:
    shared = shared_key(ALICE, BOB.public)
    assert shared is not None
    box = seal(directed_key(shared, A, B), NONCE, b"hive")
    assert box.hex() == "8c8b4e943d5d9c1c2ff1c34d4a248ab2e7a08156"


@pytest.mark.parametrize(
    "public",
    [
        b"",
        b"short",
        bytes(32),
        (1).to_bytes(32, "little"),
        (P25519 - 1).to_bytes(32, "little"),
        P25519.to_bytes(32, "little"),
        (P25519 + 1).to_bytes(32, "little"),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        bytes(33),
    ],
)
def test_a_public_key_of_low_order_or_wrong_length_shares_nothing(public: bytes) -> None:
    assert shared_key(ALICE, public) is None


def test_a_third_key_opens_nothing() -> None:
    shared, other = shared_key(ALICE, BOB.public), shared_key(MALLORY, BOB.public)
    assert shared is not None
    assert other is not None
    assert open_box(other, NONCE, seal(shared, NONCE, b"secret")) is None


@given(plaintext=st.binary(max_size=1_100), nonce=st.binary(min_size=24, max_size=24))
def test_a_box_opens_to_what_was_sealed(plaintext: bytes, nonce: bytes) -> None:
    key = bytes(32)
    box = seal(key, nonce, plaintext)
    assert len(box) == len(plaintext) + sealing.BOX_OVERHEAD_BYTES
    assert open_box(key, nonce, box) == plaintext


@given(untrusted=st.binary(max_size=1_300), nonce=st.binary(max_size=30))
def test_any_bytes_open_to_none_and_never_raise(untrusted: bytes, nonce: bytes) -> None:
    assert open_box(bytes(32), nonce, untrusted) is None


def test_every_flipped_bit_is_refused() -> None:
    box = seal(bytes(32), NONCE, b"payload")
    for position in range(8 * len(box)):
        flipped = bytearray(box)
        flipped[position // 8] ^= 1 << position % 8
        assert open_box(bytes(32), NONCE, bytes(flipped)) is None


def test_an_authenticator_is_of_its_secret_and_message_only() -> None:
    made = sealing.authenticate(b"secret", b"message")
    assert sealing.is_authentic(b"secret", b"message", made)
    assert not sealing.is_authentic(b"secret", b"massage", made)
    assert not sealing.is_authentic(b"sacred", b"message", made)
    assert not sealing.is_authentic(b"secret", b"message", made[:-1])
    assert not sealing.is_authentic(b"secret", b"message", b"")


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32"):
        DatagramKey(b"short")
