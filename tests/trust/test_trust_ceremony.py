"""Ceremonies by mail: what is bad is said, and who must still sign."""

from __future__ import annotations

import dataclasses

import pytest
from trust_federation import (
    HOLDERS,
    NOW_MS,
    admitted,
    build,
    key,
    make_root,
    make_test_org,
    root_signers,
)

from hive.errors import MalformedFrame, StateError
from hive.trust.armour import ARMOUR_BYTES_MAX, armour, unarmour
from hive.trust.records import RootKey
from hive.trust.roots import Proposal, combine, next_root, propose, read_proposal, sign_proposal
from hive.trust.rotation import next_org
from hive.trust.state import TrustConfig, TrustState
from hive.wire.ids import FederationId

FED = build()


def test_two_of_three_holders_found_a_federation_by_mail() -> None:
    proposal = propose(make_root())
    assert read_proposal(proposal) == make_root()
    partials = [sign_proposal(proposal, signer) for signer in root_signers()]
    root = combine(proposal, partials)
    assert root == FED.root
    state = TrustState(FederationId(root.id), TrustConfig())
    admitted(state, root)


def test_org_is_enrolled_by_the_same_ceremony() -> None:
    proposal = propose(make_test_org(FED.root))
    partials = [sign_proposal(proposal, signer) for signer in root_signers()]
    state = FED.empty_state()
    admitted(state, FED.root)
    admitted(state, combine(proposal, partials, state.signed))


def test_next_root_needs_old_and_committed_keys() -> None:
    state = FED.state()
    proposed = next_root(
        FED.root,
        keys=[RootKey(holder, key(f"root-next-{holder}").public) for holder in HOLDERS],
        threshold=2,
        next_digests=[key(f"root-later-{holder}").public.digest for holder in HOLDERS],
        next_threshold=2,
        not_before_ms=NOW_MS,
    )
    proposal = propose(proposed)
    old = [sign_proposal(proposal, signer) for signer in root_signers()]
    new = [sign_proposal(proposal, key(f"root-next-{holder}")) for holder in HOLDERS[:2]]
    for partials in (old, new, old + new[:1]):
        with pytest.raises(StateError, match="needed signatures") as caught:
            combine(proposal, partials, state.signed)
        assert "still to sign" in caught.value.hint
    admitted(state, combine(proposal, old + new, state.signed))


def test_org_rotation_is_a_ceremony_of_roots_and_revealed_keys() -> None:
    state = FED.state()
    record = next_org(
        FED.root,
        FED.org,
        keys=[key("org-next-0").public],
        threshold=1,
        next_digests=[key("org-later").public.digest],
        next_threshold=1,
        now_ms=NOW_MS,
    )
    proposal = propose(record)
    signers = (*root_signers(), key("org-next-0"))
    partials = [sign_proposal(proposal, signer) for signer in signers]
    admitted(state, combine(proposal, partials, state.signed))


def test_combining_names_the_bad_signature_and_why() -> None:
    proposal = propose(make_root())
    good = sign_proposal(proposal, key("root-acme"))
    other = sign_proposal(propose(make_root(name="other")), key("root-bell"))
    stranger = sign_proposal(proposal, key("stranger"))
    for partials, said in (
        ([good], "1 of 2"),
        ([good, good], "1 of 2"),
        ([good, other], "signature file 2 signs another proposal"),
        ([good, stranger], "signature file 2 is by key"),
    ):
        with pytest.raises(StateError, match=said) as caught:
            combine(proposal, partials)
        assert caught.value.hint
    with pytest.raises(MalformedFrame, match="signature file 2: it is cut off"):
        combine(proposal, [good, good[:100]])


def test_combining_beside_an_unknown_root_says_so() -> None:
    proposal = propose(make_test_org(FED.root))
    with pytest.raises(StateError, match="not known here"):
        combine(proposal, [])


def test_only_roots_and_orgs_are_proposed() -> None:
    sneaky = armour("HIVE PROPOSAL", Proposal(body=FED.agent.body).to_body())
    with pytest.raises(MalformedFrame, match="agent is not signed in a ceremony"):
        sign_proposal(sneaky, key("root-acme"))


def test_armour_survives_mailers() -> None:
    payload = bytes(range(256)) * 3
    text = armour("HIVE TEST", payload)
    assert unarmour("HIVE TEST", text) == payload
    quoted = b"Hi,\r\n\r\n> " + text.replace(b"\n", b"\r\n> ") + b"\r\nBye"
    assert unarmour("HIVE TEST", quoted) == payload


@pytest.mark.parametrize("cut", range(0, 420, 7))
def test_truncation_is_told_from_corruption(cut: int) -> None:
    text = armour("HIVE TEST", bytes(200))
    if cut >= len(text.rstrip()):
        return
    with pytest.raises(MalformedFrame, match=r"cut off|no line says|empty") as caught:
        unarmour("HIVE TEST", text[:cut])
    assert caught.value.hint


def test_lost_line_and_changed_letter_are_told_apart() -> None:
    lines = armour("HIVE TEST", bytes(200)).splitlines()
    with pytest.raises(MalformedFrame, match="cut off"):
        unarmour("HIVE TEST", b"\n".join(lines[:3] + lines[4:]))
    with pytest.raises(MalformedFrame, match="altered"):
        unarmour("HIVE TEST", b"\n".join(lines).replace(b"AAAA", b"AAAB", 1))
    with pytest.raises(MalformedFrame, match="second line"):
        unarmour("HIVE TEST", b"\n".join([lines[0], b"bytes what", *lines[2:]]))
    with pytest.raises(MalformedFrame, match="exceeds"):
        unarmour("HIVE TEST", bytes(ARMOUR_BYTES_MAX + 1))


def test_holder_order_does_not_change_the_record() -> None:
    proposal = propose(make_root())
    partials = [sign_proposal(proposal, signer) for signer in root_signers(3)]
    assert combine(proposal, partials) == combine(proposal, partials[::-1])
    assert dataclasses.replace(FED.root).id == combine(proposal, partials).id
