"""One strict profile: foreign vectors, point checks, low S."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.trust.keys import (
    ED25519,
    P256,
    Ed25519Key,
    P256Key,
    PublicKey,
    is_sound,
    verify,
    verify_bytes,
)
from hive.wire.ids import digest

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SUBJECT = digest("test", b"subject")


def vectors(name: str) -> Any:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"../shared/vectors/{name} does not stand beside the checkout")
    return json.loads(path.read_text(encoding="utf-8"))


def test_all_twelve_speccheck_cases_are_refused() -> None:
    cases = vectors("ed25519-speccheck/cases.json")
    accepted = []
    for number, case in enumerate(cases):
        public, message, signature = (
            bytes.fromhex(case[name]) for name in ("pub_key", "message", "signature")
        )
        sound = is_sound(PublicKey(ED25519, public))
        if sound and verify_bytes(ED25519, public, message, signature):
            accepted.append(number)
    assert (len(cases), accepted) == (12, [])


def test_wycheproof_ed25519_verdicts_are_ours() -> None:
    count = 0
    for group in vectors("wycheproof/ed25519_test.json")["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        assert is_sound(PublicKey(ED25519, public))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            ours = verify_bytes(ED25519, public, message, signature)
            assert ours is (case["result"] == "valid"), case["tcId"]
            count += 1
    assert count == 151


def test_wycheproof_p256_verdicts_are_ours_but_for_high_s_which_is_refused() -> None:
    count = high = 0
    for group in vectors("wycheproof/ecdsa_secp256r1_sha256_p1363_test.json")["testGroups"]:
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        public = bytes([2 + point[64] % 2]) + point[1:33]
        assert is_sound(PublicKey(P256, public))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            is_valid = case["result"] == "valid"
            if is_valid and int.from_bytes(signature[32:], "big") > ORDER // 2:
                is_valid, high = False, high + 1
            ours = verify_bytes(P256, public, message, signature)
            assert ours is is_valid, case["tcId"]
            count += 1
    assert (count, high) == (262, 70)


@pytest.mark.parametrize("key", [Ed25519Key(b"k" * 32), P256Key(b"k" * 32)])
def test_signature_holds_for_its_label_and_digest_only(key: Ed25519Key | P256Key) -> None:
    signature = key.sign("node", SUBJECT)
    assert is_sound(key.public)
    assert verify(key.public, "node", SUBJECT, signature)
    assert not verify(key.public, "agent", SUBJECT, signature)
    assert not verify(key.public, "node", digest("test", b"other"), signature)
    assert not verify(key.public, "node", SUBJECT, signature[:-1])


def test_high_s_twin_of_a_p256_signature_is_refused() -> None:
    key = P256Key(b"k" * 32)
    signature = key.sign("node", SUBJECT)
    twin = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    assert not verify(key.public, "node", SUBJECT, twin)


@settings(deadline=None)
@given(st.integers(0, 3), st.binary(max_size=40))
def test_no_bytes_make_the_point_check_fail_with_an_error(algorithm: int, octets: bytes) -> None:
    assert is_sound(PublicKey(algorithm, octets)) in (True, False)


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=80))
def test_no_bytes_make_verification_fail_with_an_error(public: bytes, signature: bytes) -> None:
    for algorithm in (0, ED25519, P256, 3):
        assert verify_bytes(algorithm, public, b"m", signature) is False


@pytest.mark.parametrize(
    "octets",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\xff" * 32,
        bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        b"\x04" * 33,
    ],
)
def test_small_order_and_non_canonical_points_are_unsound(octets: bytes) -> None:
    assert not is_sound(PublicKey(ED25519, octets))
