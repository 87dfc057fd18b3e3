"""Goal: a leaf says exactly what its node record says. Method: change each part, and refuse."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tls_records import ed25519_key, issuer_record, node_record, p256_key, record_id

from hive.errors import ConfigError, MalformedFrame
from hive.trust.tls import (
    LeafName,
    SoftwareKey,
    certificate_pem,
    issue_leaf,
    issuer_anchor,
    leaf_key_untrusted,
    leaf_pem,
    read_leaf_untrusted,
    verify_leaf,
)
from hive.wire.ids import FederationId, Inception, digest

KEYS: list[SoftwareKey] = [ed25519_key("issuer"), p256_key("issuer")]
NODE_KEYS: list[SoftwareKey] = [ed25519_key("node"), p256_key("node")]
ISSUER_KEY = ed25519_key("issuer")
ISSUER = issuer_record(ISSUER_KEY.public)
RECORD = node_record(ed25519_key("node").public, ISSUER)
LEAF = issue_leaf(RECORD, ISSUER, ISSUER_KEY)


@pytest.mark.parametrize("issuer_key", KEYS)
@pytest.mark.parametrize("node_key", NODE_KEYS)
def test_a_leaf_verifies_for_its_record(issuer_key: SoftwareKey, node_key: SoftwareKey) -> None:
    issuer = issuer_record(issuer_key.public)
    record = node_record(node_key.public, issuer)
    leaf = issue_leaf(record, issuer, issuer_key)
    assert verify_leaf(leaf, record, issuer.key)
    assert leaf_key_untrusted(leaf) == record.key


def test_a_leaf_names_federation_org_node_and_record() -> None:
    assert read_leaf_untrusted(LEAF) == LeafName(
        FederationId(RECORD.federation),
        Inception(RECORD.org),
        Inception(RECORD.inception),
        record_id(RECORD),
    )


def test_the_same_leaf_and_anchor_are_the_same_bytes() -> None:
    assert issue_leaf(RECORD, ISSUER, ISSUER_KEY) == LEAF
    assert issuer_anchor(ISSUER) == issuer_anchor(ISSUER)
    p256 = issuer_record(p256_key("issuer").public)
    assert issuer_anchor(p256) == issuer_anchor(p256)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"federation": digest("test", b"other federation")},
        {"org": digest("test", b"other org")},
        {"inception": digest("test", b"other inception")},
        {"not_after_ms": RECORD.not_after_ms + 1},
        {"datagram_key": bytes(32)},
        {"generation": 1},
    ],
)
def test_a_leaf_is_refused_for_any_other_record(change: dict[str, object]) -> None:
    other = dataclasses.replace(RECORD, **change)  # type: ignore[arg-type]
    assert not verify_leaf(LEAF, other, ISSUER.key)


def test_a_leaf_by_another_issuer_is_refused() -> None:
    other_key = ed25519_key("other issuer")
    other = issuer_record(other_key.public, org="evil")
    forged = issue_leaf(RECORD, other, other_key)
    assert verify_leaf(forged, RECORD, other.key)
    assert not verify_leaf(forged, RECORD, ISSUER.key)


def test_a_leaf_of_another_curve_is_refused() -> None:
    assert not verify_leaf(LEAF, RECORD, p256_key("issuer").public)


def test_only_the_issuers_own_key_issues() -> None:
    with pytest.raises(ConfigError):
        issue_leaf(RECORD, ISSUER, ed25519_key("other"))


def test_a_stand_in_key_is_carried_where_the_nodes_key_stays_in_hardware() -> None:
    stand_in = ed25519_key("stand-in").public
    leaf = issue_leaf(RECORD, ISSUER, ISSUER_KEY, stand_in)
    assert verify_leaf(leaf, RECORD, ISSUER.key)
    assert leaf_key_untrusted(leaf) == stand_in


def test_an_anchor_is_no_leaf() -> None:
    with pytest.raises(MalformedFrame):
        read_leaf_untrusted(issuer_anchor(ISSUER))
    assert not verify_leaf(issuer_anchor(ISSUER), RECORD, ISSUER.key)


def test_pem_holds_leaf_and_key() -> None:
    pem = leaf_pem(LEAF, ed25519_key("node"))
    assert pem.startswith(certificate_pem(LEAF))
    assert pem.count(b"PRIVATE KEY") == 2


@given(untrusted=st.binary(max_size=5_000))
def test_any_bytes_are_refused_as_malformed(untrusted: bytes) -> None:
    with pytest.raises(MalformedFrame):
        read_leaf_untrusted(untrusted)
    assert not verify_leaf(untrusted, RECORD, ISSUER.key)


@given(position=st.integers(0, len(LEAF) - 1), value=st.integers(0, 255))
@example(position=615, value=0)
@example(position=620, value=1)
def test_a_leaf_with_any_other_byte_never_verifies(position: int, value: int) -> None:
    changed = bytearray(LEAF)
    changed[position] = value
    assert verify_leaf(bytes(changed), RECORD, ISSUER.key) == (bytes(changed) == LEAF)
