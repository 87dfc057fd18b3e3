"""Every way to be refused, each with its mutation twin: the check removed, the attack succeeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from trust_federation import (
    HOLDERS,
    NOW_MS,
    admitted,
    build,
    capability,
    key,
    make_root,
    make_test_org,
    node_named,
    org_signers,
    refused,
    root_signers,
)

from hive.trust.capability import ISSUE_AGENT, REMEMBER
from hive.trust.chain import STEPS
from hive.trust.envelope import Signed, sign_record
from hive.trust.issuing import identity_of, make_issuer, org_inception, state_freshness
from hive.trust.keys import ED25519, Ed25519Key, PublicKey
from hive.trust.records import (
    AgentRecord,
    IssuerRecord,
    NodeRecord,
    RootKey,
    SealEntry,
)
from hive.trust.revocation import make_revocation
from hive.trust.roots import next_root
from hive.trust.rotation import rotate_agent
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted, Reason, TrustRefusal, Unknown
from hive.wire.ids import FederationId, Inception

FED = build()
Attack = Callable[[], tuple[tuple[Signed[Any], ...], Signed[Any]]]
ATTACKS: dict[str, tuple[Reason, Attack]] = {}
LOW_ORDER = PublicKey(
    ED25519, bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa")
)


def attack(reason: Reason) -> Callable[[Attack], Attack]:
    """Registers an attack; its first part is admitted honestly before it, beyond `FED`."""

    def register(found: Attack) -> Attack:
        ATTACKS[found.__name__] = (reason, found)
        return found

    return register


def changed(signed: Signed[Any], *signers: Ed25519Key, **changes: Any) -> Signed[Any]:
    """The record with other fields under these signatures."""
    return sign_record(dataclasses.replace(signed.record, **changes), *signers)


def honest(*signed: Signed[Any]) -> tuple[Signed[Any], ...]:
    return signed


@attack(Reason.FOREIGN_FEDERATION)
def node_of_another_federation():
    return (), changed(FED.node, key("issuer"), federation=bytes(32))


@attack(Reason.FOREIGN_FEDERATION)
def first_root_of_another_federation():
    return (), sign_record(make_root(name="evil"), *root_signers())


@attack(Reason.EMPTY_LIFE)
def life_that_ends_before_it_begins():
    return (), changed(FED.node, key("issuer"), not_after_ms=NOW_MS - 1)


@attack(Reason.LIFE_TOO_LONG)
def node_that_lives_for_a_month():
    return (), changed(FED.node, key("issuer"), not_after_ms=NOW_MS + 30 * 86_400_000)


@attack(Reason.NOT_YET_VALID)
def agent_from_the_future():
    later = {"not_before_ms": NOW_MS + 6_000, "not_after_ms": NOW_MS + 60_000}
    return (), changed(FED.agent, key("node"), **later)


@attack(Reason.SIGNER_OF_WRONG_KIND)
def agent_that_issues_a_session_for_a_session():
    record = dataclasses.replace(FED.session.record, parent_record=FED.session.id)
    return (), sign_record(record, key("session"))


@attack(Reason.SIGNER_OF_WRONG_KIND)
def agent_that_signs_an_agent():
    record = dataclasses.replace(
        FED.agent.record,
        parent_record=FED.agent.id,
        capabilities=FED.agent.record.capabilities,
    )
    return (), sign_record(record, key("agent"))


@attack(Reason.SIGNER_OF_OTHER_ORG)
def node_that_claims_another_org():
    other = Inception(b"o" * 32)
    own = key("node")
    record = dataclasses.replace(
        FED.node.record,
        org=other,
        inception=identity_of(NodeRecord, other, own.public, key("node-next").public.digest),
    )
    return (), sign_record(record, key("issuer"))


@attack(Reason.SIGNER_SUPERSEDED)
def org_of_a_root_that_was_replaced():
    stolen = make_test_org(
        FED.root,
        name="evil",
        not_before_ms=NOW_MS + 200,
        inception=org_inception([key("evil").public], [key("evil-next").public.digest]),
        keys=(key("evil").public,),
        threshold=1,
        next_digests=(key("evil-next").public.digest,),
    )
    return (second_root(),), sign_record(stolen, *root_signers())


@attack(Reason.SIGNED_OUTSIDE_LIFE)
def revocation_dated_before_its_signer():
    return (), revocation(key("issuer"), at_ms=NOW_MS - 1)


@attack(Reason.UNSOUND_KEY)
def node_with_a_low_order_key():
    inception = identity_of(
        NodeRecord, Inception(FED.org.record.inception), LOW_ORDER, key("node-next").public.digest
    )
    return (), changed(FED.node, key("issuer"), key=LOW_ORDER, inception=inception)


@attack(Reason.REPEATED_KEY)
def org_whose_one_key_counts_twice():
    keys = (key("solo").public, key("solo").public)
    digests = (key("solo-next").public.digest,)
    org = make_test_org(
        FED.root,
        keys=keys,
        threshold=2,
        next_digests=digests,
        inception=org_inception(keys, digests),
    )
    return (), sign_record(org, *root_signers())


@attack(Reason.REPEATED_KEY)
def org_that_commits_to_one_key_twice():
    digests = (key("solo-next").public.digest,) * 2
    org = make_test_org(
        FED.root, next_digests=digests, inception=org_inception(FED.org.record.keys, digests)
    )
    return (), sign_record(org, *root_signers())


@attack(Reason.UNREACHABLE_THRESHOLD)
def org_that_nobody_can_speak_for():
    return (), sign_record(make_test_org(FED.root, threshold=4), *root_signers())


@attack(Reason.UNREACHABLE_THRESHOLD)
def org_that_can_never_rotate():
    return (), sign_record(make_test_org(FED.root, next_threshold=3), *root_signers())


@attack(Reason.FOREIGN_SIGNATURE)
def node_padded_with_a_strangers_signature():
    return (), changed(FED.node, key("issuer"), key("stranger"), name="padded")


@attack(Reason.THRESHOLD_NOT_MET)
def issuer_signed_by_one_of_two():
    return (), changed(FED.issuer, *org_signers(1), not_after_ms=NOW_MS + 1_000)


@attack(Reason.THRESHOLD_NOT_MET)
def agent_signed_by_nobody():
    return (), changed(FED.agent, name="unsigned")


@attack(Reason.BROKEN_COMMITMENT)
def rotation_without_the_revealed_key():
    stolen = rotated()
    return (), sign_record(stolen.record, key("node"))


@attack(Reason.BROKEN_COMMITMENT)
def root_replaced_by_old_keys_alone():
    root = second_root()
    own = [key(f"root-next-{holder}").public.digest for holder in HOLDERS]
    kept = tuple(entry for entry in root.signatures if entry.key_digest not in own)
    return (), dataclasses.replace(root, signatures=kept)


@attack(Reason.THRESHOLD_NOT_MET)
def root_replaced_by_committed_keys_alone():
    root = second_root()
    own = [key(f"root-next-{holder}").public.digest for holder in HOLDERS]
    kept = tuple(entry for entry in root.signatures if entry.key_digest in own)
    return (), dataclasses.replace(root, signatures=kept)


@attack(Reason.MAY_NOT_ISSUE)
def agent_issued_by_a_node_without_the_right():
    plain = node_named(
        FED.issuer, "plain", capabilities=(capability(actions=REMEMBER, regions=("eu",)),)
    )
    record = dataclasses.replace(FED.agent.record, parent_record=plain.id, capabilities=())
    return (plain,), sign_record(record, key("plain"))


@attack(Reason.RIGHTS_AMPLIFIED)
def agent_with_an_assertion_nobody_gave():
    given = capability("acme/notes", REMEMBER, regions=("eu",), assertions=("sox",))
    return (), changed(FED.agent, key("node"), capabilities=(given,))


@attack(Reason.RIGHTS_AMPLIFIED)
def agent_beyond_its_nodes_regions():
    given = capability("acme/notes", REMEMBER, regions=("eu", "us"))
    return (), changed(FED.agent, key("node"), capabilities=(given,))


@attack(Reason.RIGHTS_AMPLIFIED)
def agent_in_a_namespace_that_only_looks_like_its_own():
    given = capability("acmeX", REMEMBER, regions=("eu",))
    return (), changed(FED.agent, key("node"), capabilities=(given,))


@attack(Reason.RIGHTS_AMPLIFIED)
def session_that_may_more_than_its_agent():
    given = capability("acme/notes", REMEMBER | ISSUE_AGENT, regions=("eu",))
    return (), changed(FED.session, key("agent"), capabilities=(given,))


@attack(Reason.RIGHTS_AMPLIFIED)
def issuer_beyond_its_orgs_namespaces():
    return (), changed(FED.issuer, *org_signers(), capabilities=(capability("bell"),))


@attack(Reason.REGION_OUTSIDE)
def node_outside_its_issuers_regions():
    return (), changed(FED.node, key("issuer"), region="cn")


@attack(Reason.REGION_OUTSIDE)
def issuer_outside_its_orgs_regions():
    return (), changed(FED.issuer, *org_signers(), regions=("cn",), capabilities=())


@attack(Reason.REGION_OUTSIDE)
def issuer_whose_capability_leaves_its_regions():
    return (), changed(FED.issuer, *org_signers(), regions=("eu",))


@attack(Reason.REVOKES_BEYOND)
def org_that_a_thief_ends_for_ever():
    org = Inception(FED.org.record.inception)
    return (), revocation(*org_signers(), signer=FED.org, subject=org, generation=2**63)


@attack(Reason.REVOKES_BEYOND)
def roots_that_revoke_an_agent():
    subject = Inception(FED.agent.record.inception)
    return (), revocation(*root_signers(), signer=FED.root, subject=subject)


@attack(Reason.FRESHNESS_NOT_NAMED)
def freshness_by_an_issuer_that_the_root_does_not_name():
    own = key("other")
    org = Inception(FED.org.record.inception)
    other = changed(
        FED.issuer,
        *org_signers(),
        key=own.public,
        inception=identity_of(IssuerRecord, org, own.public, FED.issuer.record.next_key_digest),
    )
    return (other,), freshness(other, own)


@attack(Reason.SIGNER_REVOKED)
def freshness_by_a_revoked_issuer():
    subject = Inception(FED.issuer.record.inception)
    ended = revocation(*org_signers(), signer=FED.org, subject=subject)
    return (ended,), freshness(FED.issuer, key("issuer"))


@attack(Reason.WRONG_GENERATION)
def agent_that_skips_a_generation():
    return (), changed(FED.agent, key("node"), generation=2, previous=FED.agent.id)


@attack(Reason.WRONG_GENERATION)
def root_that_skips_a_version():
    root = dataclasses.replace(second_root().record, number=7)
    return (), sign_record(root, *root_signers(), *next_root_signers())


@attack(Reason.WRONG_GENERATION)
def later_generation_without_a_predecessor():
    return (), changed(FED.agent, key("node"), generation=1)


@attack(Reason.BROKEN_COMMITMENT)
def issuer_that_moves_an_agent_to_its_own_key():
    thief = key("thief")
    stolen = dataclasses.replace(
        rotated().record, key=thief.public, next_key_digest=thief.public.digest
    )
    threshold_free = sign_record(stolen, key("node"), thief)
    return (), dataclasses.replace(
        threshold_free,
        signatures=tuple(
            entry
            for entry in threshold_free.signatures
            if entry.key_digest == key("node").public.digest
        ),
    )


@attack(Reason.BROKEN_COMMITMENT)
def renewal_that_swaps_the_key():
    new = rotated()
    renewed = dataclasses.replace(new.record, key=key("thief").public, previous=new.id)
    return (new,), sign_record(renewed, key("node"))


@attack(Reason.WRONG_INCEPTION)
def agent_that_claims_anothers_identity():
    return (), changed(FED.agent, key("node"), key=key("thief").public)


@attack(Reason.WRONG_INCEPTION)
def rotation_that_takes_over_anothers_identity():
    victim = Inception(b"v" * 32)
    stolen = dataclasses.replace(rotated().record, inception=victim)
    return (), sign_record(stolen, key("node"), key("agent-next"))


def bell() -> tuple[Signed[Any], Signed[IssuerRecord]]:
    """Another organisation of the federation, and its issuer."""
    org = make_test_org(
        FED.root,
        name="bell",
        inception=org_inception([key("bell").public], [key("bell-next").public.digest]),
        keys=(key("bell").public,),
        threshold=1,
        next_digests=(key("bell-next").public.digest,),
    )
    signed = sign_record(org, *root_signers())
    issuer = make_issuer(
        signed,
        (key("bell"),),
        key=key("bell-issuer").public,
        next_key_digest=key("bell-issuer-next").public.digest,
        capabilities=(capability(),),
        not_before_ms=NOW_MS,
    )
    return signed, issuer


@attack(Reason.WRONG_INCEPTION)
def renewal_that_carries_a_rotated_agent_off_to_another_org():
    org, issuer = bell()
    theirs = {"org": org.record.inception, "parent_record": issuer.id, "previous": rotated().id}
    return (rotated(), org, issuer), changed(rotated(), key("bell-issuer"), **theirs)


@attack(Reason.WRONG_SEAL)
def seal_whose_root_is_not_its_entries():
    entries = (SealEntry(b"c" * 32, 7, b"h" * 32),)
    honest_one = revocation(key("issuer"))
    return (), sign_record(dataclasses.replace(honest_one.record, seal=entries), key("issuer"))


@attack(Reason.WRONG_SEAL)
def seal_that_names_a_chain_twice():
    entries = (SealEntry(b"c" * 32, 7, b"h" * 32), SealEntry(b"c" * 32, 9, b"h" * 32))
    return (), revocation(key("issuer"), seal=entries)


@attack(Reason.QUOTA_EXCEEDED)
def third_node_of_an_org_with_a_quota_of_two():
    return (node_named(FED.issuer, "second"),), node_named(FED.issuer, "third")


@attack(Reason.FORGED_SIGNATURE)
def agent_whose_signature_is_made_up():
    genuine = changed(FED.agent, key("node"), name="forged")
    entry = genuine.signatures[0]
    forged = dataclasses.replace(entry, octets=bytes(64))
    return (), dataclasses.replace(genuine, signatures=(forged,))


@attack(Reason.FORGED_SIGNATURE)
def signature_moved_from_another_record():
    record = dataclasses.replace(FED.agent.record, name="moved")
    moved = sign_record(record, key("node"))
    return (), dataclasses.replace(moved, signatures=FED.agent.signatures)


def next_root_signers() -> tuple[Ed25519Key, ...]:
    return tuple(key(f"root-next-{holder}") for holder in HOLDERS[:2])


def second_root(**changes: Any) -> Signed[Any]:
    """R(1), honestly made."""
    record = next_root(
        FED.root,
        keys=[RootKey(holder, key(f"root-next-{holder}").public) for holder in HOLDERS],
        threshold=2,
        next_digests=[key(f"root-later-{holder}").public.digest for holder in HOLDERS],
        next_threshold=2,
        not_before_ms=NOW_MS + 100,
    )
    record = dataclasses.replace(record, **changes)
    return sign_record(record, *root_signers(), *next_root_signers())


def rotated() -> Signed[AgentRecord]:
    """The agent's generation 1, honestly made."""
    return rotate_agent(
        FED.node,
        key("node"),
        FED.agent,
        revealed=key("agent-next"),
        next_digest=key("agent-later").public.digest,
        seal=(),
        now_ms=NOW_MS,
    ).record


def revocation(
    *signers: Ed25519Key,
    signer: Signed[Any] = FED.issuer,
    subject: Inception | None = None,
    generation: int = 0,
    at_ms: int = NOW_MS,
    seal: tuple[SealEntry, ...] = (),
) -> Signed[Any]:
    record = make_revocation(
        federation=FederationId(FED.root.id),
        org=Inception(FED.org.record.inception),
        signer_record=signer.id,
        subject=Inception(FED.agent.record.inception) if subject is None else subject,
        generation=generation,
        reason="compromised",
        at_ms=at_ms,
        seal=seal,
    )
    return sign_record(record, *signers)


def freshness(issuer: Signed[Any], signer: Ed25519Key, index: int = 1) -> Signed[Any]:
    empty = TrustState(FederationId(FED.root.id), TrustConfig()).revocation_root()
    return state_freshness(
        issuer,
        signer,
        index=index,
        at_ms=NOW_MS,
        revocation_count=0,
        revocation_root=empty,
        epoch_root=empty,
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_refused_for_its_reason(name: str) -> None:
    reason, make = ATTACKS[name]
    before, attacking = make()
    state = FED.state()
    for signed in before:
        admitted(state, signed, NOW_MS + 100)
    assert refused(state, attacking).reason == reason
    assert state.signed(attacking.id) is None


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_succeeds_where_its_check_is_removed(name: str) -> None:
    reason, make = ATTACKS[name]
    before, attacking = make()
    mutant = FED.state([step for step in STEPS if step.reason is not reason])
    for signed in before:
        admitted(mutant, signed, NOW_MS + 100)
    admitted(mutant, attacking)


def test_first_root_whose_signers_are_one_holder_is_refused_only_by_the_check_on_holders() -> None:
    keys = tuple(RootKey(holder, key(f"root-{i}").public) for i, holder in enumerate("aab"))
    root = sign_record(make_root(keys=keys), key("root-0"), key("root-1"))
    state = TrustState(FederationId(root.id), TrustConfig())
    assert refused(state, root).reason is Reason.HOLDERS_NOT_DISTINCT
    without = [step for step in STEPS if step.reason is not Reason.HOLDERS_NOT_DISTINCT]
    mutant = type("Mutant", (TrustState,), {"STEPS": tuple(without)})
    admitted(mutant(FederationId(root.id), TrustConfig()), root)


def test_record_before_its_signer_waits_naming_what_is_missing() -> None:
    state = FED.empty_state()
    verdict = state.admit(FED.node.to_bytes(), NOW_MS)
    assert verdict == Unknown((FED.issuer.id,))
    without = [step for step in STEPS if step.reason is not Reason.SIGNER_UNKNOWN]
    mutant = FED.empty_state(without)
    assert isinstance(mutant.admit(FED.node.to_bytes(), NOW_MS), TrustRefusal)


def test_rotation_before_its_predecessor_waits_naming_it() -> None:
    state = FED.empty_state()
    for signed in (FED.root, FED.org, FED.issuer, FED.node):
        admitted(state, signed)
    assert state.admit(rotated().to_bytes(), NOW_MS) == Unknown((FED.agent.id,))


def test_older_freshness_of_an_issuer_is_stale() -> None:
    state = FED.state()
    admitted(state, freshness(FED.issuer, key("issuer"), index=5))
    assert refused(state, freshness(FED.issuer, key("issuer"), index=4)).reason is Reason.STALE


def test_bytes_that_are_no_record_are_malformed() -> None:
    for untrusted in (b"", b"\x90", b"\xc1" * 40, FED.node.to_bytes()[:-1]):
        verdict = FED.state().admit(untrusted, NOW_MS)
        assert isinstance(verdict, TrustRefusal)
        assert verdict.reason is Reason.MALFORMED


def test_full_state_refuses_and_keeps_what_it_has() -> None:
    config = TrustConfig(root_count_max=1, org_count_max=1, issuer_count_max=1)
    state = FED.state(config=config)
    renewed = changed(FED.issuer, *org_signers(), not_before_ms=NOW_MS + 1)
    for attacking in (
        second_root(),
        sign_record(make_test_org(FED.root, name="b"), *root_signers()),
        renewed,
    ):
        assert refused(state, attacking, NOW_MS + 100).reason is Reason.FULL


def test_every_reason_has_its_test() -> None:
    elsewhere = {
        Reason.MALFORMED,
        Reason.SIGNER_UNKNOWN,
        Reason.HOLDERS_NOT_DISTINCT,
        Reason.STALE,
        Reason.FULL,
    }
    assert {reason for reason, _ in ATTACKS.values()} | elsewhere == set(Reason)
    assert {step.reason for step in STEPS} | {Reason.MALFORMED, Reason.STALE, Reason.FULL} == set(
        Reason
    )


def test_steps_are_numbered_in_their_order() -> None:
    numbers = [step.number for step in STEPS]
    assert numbers == sorted(numbers)
    assert len({step.reason for step in STEPS}) == len(STEPS)


def test_admitting_twice_changes_nothing() -> None:
    state = FED.state()
    version = state.version
    assert isinstance(state.admit(FED.org.to_bytes(), NOW_MS), Admitted)
    assert state.version == version
