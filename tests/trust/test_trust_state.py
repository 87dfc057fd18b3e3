"""Chains, standing, revocation, rotation and what the trust state answers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_trust_refusals import changed, freshness, revocation, second_root
from trust_federation import (
    NOW_MS,
    admitted,
    build,
    capability,
    key,
    make_test_org,
    node_named,
    org_signers,
    refused,
    root_signers,
)

from hive.errors import ConfigError, NotPermitted, StateError
from hive.trust.capability import FORGET_ANY, RECALL, REMEMBER
from hive.trust.chain import Chain
from hive.trust.envelope import sign_record
from hive.trust.issuing import (
    NodePlace,
    Pair,
    issue_agent,
    narrowed,
    renew_agent,
    renew_issuer,
    renew_node,
)
from hive.trust.keys import P256Key
from hive.trust.laptop import LaptopPlan, laptop_federation
from hive.trust.records import (
    DAY_MS,
    FreshnessRecord,
    RevocationRecord,
    SealEntry,
    chain_digest,
)
from hive.trust.revocation import make_revocation
from hive.trust.rotation import (
    next_key_digest,
    rotate_agent,
    rotate_issuer,
    rotate_node,
    rotate_org,
)
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import GOOD, Admitted, Reason, Sealed, Unknown
from hive.wire import merkle
from hive.wire.ids import FederationId, Inception, RecordId

FED = build()
CHAIN_A, CHAIN_B = b"a" * 32, b"b" * 32


def chain_at(state: TrustState, leaf: RecordId) -> Chain:
    chain = state.chain_of(leaf)
    assert chain is not None
    return chain


def pair(name: str) -> Pair:
    return Pair(key(name), key(f"{name}-next").public.digest)


def test_session_speaks_for_its_agent_along_the_whole_chain() -> None:
    chain = chain_at(FED.state(), FED.session.id)
    assert chain.record_ids == tuple(signed.id for signed in FED.all)
    assert (chain.kind, chain.identity_kind, chain.name) == ("session", "agent", "agent")
    assert chain.identity == FED.agent.record.inception
    assert chain.org == FED.org.record.inception
    assert chain.issuer == FED.issuer.record.inception
    assert chain.key == key("session").public


def test_chain_lives_where_all_its_links_live() -> None:
    chain = chain_at(FED.state(), FED.session.id)
    assert chain.not_after_ms == FED.session.record.not_after_ms
    assert not chain.is_valid_at(NOW_MS - 1)
    assert chain.is_valid_at(NOW_MS)
    assert not chain.is_valid_at(chain.not_after_ms + 1)


def test_chain_allows_only_inside_one_capability() -> None:
    chain = chain_at(FED.state(), FED.agent.id)
    assert chain.allows(REMEMBER, "acme/notes/deep", "eu", NOW_MS)
    assert not chain.allows(FORGET_ANY, "acme/notes", "eu", NOW_MS)
    assert not chain.allows(REMEMBER, "acme/notesX", "eu", NOW_MS)
    assert not chain.allows(REMEMBER, "acme/notes", "us", NOW_MS)
    assert not chain.allows(REMEMBER, "acme/notes", "eu", NOW_MS + 2 * DAY_MS)


def test_expired_records_are_admitted_because_history_has_its_own_time() -> None:
    state = FED.empty_state()
    for signed in FED.all:
        admitted(state, signed, NOW_MS + 3_000 * DAY_MS)
    assert chain_at(state, FED.session.id).is_valid_at(NOW_MS)


def test_node_chain_is_the_newest_record_of_a_node() -> None:
    state = FED.state()
    newer = renew_node(
        FED.issuer, key("issuer"), FED.node, datagram_key=b"d" * 32, not_before_ms=NOW_MS + 10
    )
    admitted(state, newer)
    inception = Inception(FED.node.record.inception)
    found = state.node_chain(inception)
    assert found is not None
    assert found.leaf == newer.id
    assert state.node_chain(Inception(b"?" * 32)) is None


def test_another_org_cannot_speak_for_a_node_by_copying_its_key() -> None:
    state = FED.state()
    record = make_test_org(FED.root, name="evil", keys=(key("evil").public,), threshold=1)
    with pytest.raises(AssertionError):
        admitted(state, sign_record(record, *root_signers()))
    stolen = changed(FED.node, key("issuer"), org=b"e" * 32)
    assert refused(state, stolen).reason is Reason.SIGNER_OF_OTHER_ORG


def seal(state: TrustState, *entries: SealEntry, generation: int = 0) -> RecordId:
    sealed = revocation(key("issuer"), seal=entries, generation=generation)
    return admitted(state, sealed).id


def test_seal_leaves_good_what_it_lists_and_nothing_else() -> None:
    state = FED.state()
    chain = chain_at(state, FED.agent.id)
    assert state.standing(chain, CHAIN_A, 9, b"x") is GOOD
    sealed_by = seal(state, SealEntry(CHAIN_A, 7, b"h" * 32))
    assert state.standing(chain, CHAIN_A, 6, b"any").is_good
    assert state.standing(chain, CHAIN_A, 7, b"h" * 32).is_good
    assert state.standing(chain, CHAIN_A, 7, b"i" * 32) == Sealed("compromised", sealed_by)
    assert not state.standing(chain, CHAIN_A, 8, b"any").is_good
    assert not state.standing(chain, CHAIN_B, 1, b"any").is_good


def test_revoked_agent_takes_its_sessions_along_and_nobody_else() -> None:
    state = FED.state()
    session, node = chain_at(state, FED.session.id), chain_at(state, FED.node.id)
    assert not state.is_revoked(session)
    version = state.version
    seal(state)
    assert state.is_revoked(session)
    assert not state.is_revoked(node)
    assert state.version > version
    assert state.revocation_index == 1


def test_two_seals_leave_good_only_what_both_leave() -> None:
    state = FED.state()
    chain = chain_at(state, FED.agent.id)
    seal(state, SealEntry(CHAIN_A, 7, b"h" * 32))
    seal(state, SealEntry(CHAIN_A, 3, b"g" * 32))
    assert state.standing(chain, CHAIN_A, 3, b"g" * 32).is_good
    assert not state.standing(chain, CHAIN_A, 4, b"any").is_good


@pytest.mark.parametrize("name", ["node", "issuer", "org"])
def test_revocation_of_any_link_ends_the_leaf(name: str) -> None:
    state = FED.state()
    subject = Inception(getattr(FED, name).record.inception)
    signed = revocation(*org_signers(), signer=FED.org, subject=subject)
    admitted(state, signed)
    assert state.is_revoked(chain_at(state, FED.session.id))


def test_session_alone_can_be_revoked() -> None:
    state = FED.state()
    admitted(state, revocation(key("issuer"), subject=Inception(FED.session.id)))
    assert state.is_revoked(chain_at(state, FED.session.id))
    assert not state.is_revoked(chain_at(state, FED.agent.id))


def test_issuer_cannot_revoke_the_issuer_or_org_above_it() -> None:
    state = FED.state()
    org = Inception(FED.org.record.inception)
    admitted(state, revocation(key("issuer"), subject=org))
    assert not state.is_revoked(chain_at(state, FED.agent.id))


def test_node_revokes_only_agents_that_it_issued() -> None:
    state = FED.state()
    other = issue_agent(
        FED.issuer,
        key("issuer"),
        name="other",
        key=key("other").public,
        next_key_digest=key("other-next").public.digest,
        custody_class="memory",
        capabilities=(capability(),),
        not_before_ms=NOW_MS,
    )
    admitted(state, other)
    for agent in (FED.agent, other):
        subject = Inception(agent.record.inception)
        admitted(state, revocation(key("node"), signer=FED.node, subject=subject))
    assert state.is_revoked(chain_at(state, FED.agent.id))
    assert not state.is_revoked(chain_at(state, other.id))


def test_another_orgs_revocation_does_not_reach() -> None:
    laptop = laptop_below(FED.root)
    state = FED.state()
    for signed in laptop[:2]:
        admitted(state, signed)
    record = make_revocation(
        federation=FederationId(FED.root.id),
        org=Inception(laptop[0].record.inception),
        signer_record=laptop[1].id,
        subject=Inception(FED.agent.record.inception),
        generation=0,
        reason="compromised",
        at_ms=NOW_MS,
    )
    admitted(state, sign_record(record, key("evil-issuer")))
    assert not state.is_revoked(chain_at(state, FED.agent.id))


def laptop_below(root):  # type: ignore[no-untyped-def]
    """A second org with its issuer."""
    from hive.trust.issuing import make_issuer, make_org

    org = sign_record(
        make_org(
            root,
            name="evil",
            keys=[key("evil").public],
            threshold=1,
            next_digests=[key("evil-next").public.digest],
            next_threshold=1,
            namespaces=("evil",),
            regions=(),
            not_before_ms=NOW_MS,
        ),
        *root_signers(),
    )
    issuer = make_issuer(
        org,
        (key("evil"),),
        key=key("evil-issuer").public,
        next_key_digest=key("evil-issuer-next").public.digest,
        capabilities=(),
        not_before_ms=NOW_MS,
    )
    return org, issuer


def test_rotation_seals_the_old_generation_and_opens_the_new() -> None:
    state = FED.state()
    rotation = rotate_agent(
        FED.node,
        key("node"),
        FED.agent,
        revealed=key("agent-next"),
        next_digest=next_key_digest(key("agent-later").public),
        seal=(SealEntry(CHAIN_A, 4, b"h" * 32),),
        now_ms=NOW_MS,
    )
    admitted(state, rotation.record)
    admitted(state, rotation.revocation)
    old, new = chain_at(state, FED.agent.id), chain_at(state, rotation.record.id)
    assert old.identity == new.identity
    assert state.is_revoked(old)
    assert not state.is_revoked(new)
    assert state.standing(old, CHAIN_A, 4, b"h" * 32).is_good
    assert not state.standing(old, CHAIN_A, 5, b"x").is_good
    assert state.standing(new, CHAIN_A, 5, b"x").is_good


def test_renewals_of_a_rotated_agent_rest_on_its_rotation() -> None:
    state = FED.state()
    rotation = rotate_agent(
        FED.node,
        key("node"),
        FED.agent,
        revealed=key("agent-next"),
        next_digest=key("agent-later").public.digest,
        seal=(),
        now_ms=NOW_MS,
    )
    admitted(state, rotation.record)
    first = renew_agent(FED.node, key("node"), rotation.record, not_before_ms=NOW_MS + 1)
    second = renew_agent(FED.node, key("node"), first, not_before_ms=NOW_MS + 2)
    assert first.record.previous == second.record.previous == rotation.record.id
    for renewed in (second, first):
        admitted(state, renewed)
    assert chain_at(state, second.id).generation == 1


def test_every_kind_rotates() -> None:
    state = FED.state()
    org = rotate_org(
        FED.root,
        root_signers(),
        FED.org,
        revealed=[key("org-next-0"), key("org-next-1")],
        threshold=2,
        next_digests=[key("org-later").public.digest],
        next_threshold=1,
        seal=(),
        now_ms=NOW_MS,
    )
    issuer = rotate_issuer(
        org.record,
        [key("org-next-0"), key("org-next-1")],
        FED.issuer,
        revealed=key("issuer-next"),
        next_digest=key("issuer-later").public.digest,
        seal=(),
        now_ms=NOW_MS,
    )
    node = rotate_node(
        issuer.record,
        key("issuer-next"),
        FED.node,
        revealed=key("node-next"),
        next_digest=key("node-later").public.digest,
        datagram_key=b"n" * 32,
        seal=(),
        now_ms=NOW_MS,
    )
    for rotation in (org, issuer, node):
        admitted(state, rotation.record)
        admitted(state, rotation.revocation)
    chain = chain_at(state, node.record.id)
    assert not state.is_revoked(chain)
    assert state.is_revoked(chain_at(state, FED.node.id))
    assert state.node_chain(chain.identity) == chain


def test_thief_of_the_current_key_cannot_rotate() -> None:
    with pytest.raises(StateError) as caught:
        rotate_agent(
            FED.node,
            key("node"),
            FED.agent,
            revealed=key("thief"),
            next_digest=key("thief").public.digest,
            seal=(),
            now_ms=NOW_MS,
        )
    assert caught.value.hint


def test_root_change_ends_the_reign_whatever_came_first() -> None:
    late = sign_record(
        make_test_org(FED.root, name="late", not_before_ms=NOW_MS + 500), *root_signers()
    )
    before, after = FED.state(), FED.state()
    admitted(before, late, NOW_MS + 500)
    assert before.chain_of(late.id) is not None
    admitted(before, second_root(), NOW_MS + 500)
    admitted(after, second_root(), NOW_MS + 500)
    assert refused(after, late, NOW_MS + 500).reason is Reason.SIGNER_SUPERSEDED
    assert before.chain_of(late.id) is None
    assert before.chain_of(FED.agent.id) == after.chain_of(FED.agent.id) is not None


def test_two_roots_of_one_number_give_the_same_reign_in_both_orders() -> None:
    rivals = (second_root(), second_root(name="rival"))
    states = []
    for order in (rivals, rivals[::-1]):
        state = FED.state()
        for root in order:
            admitted(state, root, NOW_MS + 100)
        states.append(state)
    newest = {state.root.id for state in states if state.root}
    assert newest == {min(root.id for root in rivals)}


def test_revocation_root_is_the_tree_over_sorted_ids() -> None:
    state = FED.state()
    assert state.revocation_root() == merkle.EMPTY_ROOT
    ids = [seal(state), seal(state, SealEntry(CHAIN_A, 1, b"h" * 32))]
    assert state.revocation_ids() == tuple(sorted(ids))
    assert state.revocation_root() == merkle.root(sorted(ids))


def test_export_is_taken_again_in_its_order() -> None:
    state = FED.state()
    seal(state, SealEntry(CHAIN_A, 7, b"h" * 32))
    admitted(state, freshness(FED.issuer, key("issuer")))
    admitted(state, second_root(), NOW_MS + 100)
    again = FED.empty_state()
    for untrusted in state.export():
        assert isinstance(again.admit(untrusted, NOW_MS + 9 * DAY_MS), Admitted)
    assert again.export() == state.export()
    assert again.version == state.version
    assert len(again.records_of(RevocationRecord)) == 1
    assert len(again.records_of(FreshnessRecord)) == 1


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(8)))
def test_any_order_of_arrival_reaches_the_same_verdicts(order: list[int]) -> None:
    rotation = rotate_agent(
        FED.node,
        key("node"),
        FED.agent,
        revealed=key("agent-next"),
        next_digest=key("agent-later").public.digest,
        seal=(SealEntry(CHAIN_A, 4, b"h" * 32),),
        now_ms=NOW_MS,
    )
    everything = [
        *(s.to_bytes() for s in FED.all),
        *(s.to_bytes() for s in (rotation.record, rotation.revocation)),
    ]
    state, waiting = FED.empty_state(), [everything[i] for i in order]
    while waiting:
        waiting = [one for one in waiting if isinstance(state.admit(one, NOW_MS), Unknown)]
    assert sorted(state.export()) == sorted(everything)
    chain = chain_at(state, FED.session.id)
    assert not state.standing(chain, CHAIN_A, 5, b"x").is_good
    assert state.is_revoked(chain)


def test_full_shelf_drops_only_expired_leaves_that_nothing_rests_on() -> None:
    state = FED.state(config=TrustConfig(leaf_count_max=3))
    extra = changed(FED.agent, key("node"), name="extra")
    assert refused(state, extra).reason is Reason.FULL
    later = NOW_MS + 2 * DAY_MS
    admitted(state, extra, later)
    assert state.signed(FED.session.id) is None
    assert state.signed(FED.node.id) is not None


def test_one_orgs_leaves_do_not_crowd_out_anothers() -> None:
    state = FED.state(config=TrustConfig(leaf_count_max=3))
    org, issuer = laptop_below(FED.root)
    admitted(state, org)
    admitted(state, issuer)
    agent = issue_agent(
        issuer,
        key("evil-issuer"),
        name="other",
        key=key("other").public,
        next_key_digest=key("other-next").public.digest,
        custody_class="memory",
        capabilities=(),
        not_before_ms=NOW_MS,
    )
    admitted(state, agent)


def test_quota_counts_nodes_of_one_time_not_of_all_times() -> None:
    state = FED.state()
    admitted(state, node_named(FED.issuer, "second"))
    later = NOW_MS + 3 * DAY_MS
    third = node_named(FED.issuer, "third", not_before_ms=later, not_after_ms=later + DAY_MS // 2)
    admitted(state, third, later)


def test_narrowing_fills_what_was_left_open_and_refuses_the_rest() -> None:
    held = (capability(),)
    open_ended = capability("acme/x", RECALL, regions=(), assertions=())
    assert narrowed(held, [open_ended])[0].regions == ("eu", "us")
    for wanted in (capability("bell"), capability(regions=("cn",)), capability(assertions=("x",))):
        with pytest.raises(NotPermitted) as caught:
            narrowed(held, [wanted])
        assert "acme" in caught.value.hint


def test_laptop_federation_is_admitted_with_p256_keys_too() -> None:
    p256 = P256Key(b"p" * 32)
    plan = LaptopPlan(
        name="home",
        org_name="me",
        node_name="laptop",
        agent_name="ada",
        namespaces=("me",),
        place=NodePlace("home", "desk", "cell"),
        custody_class="file-unlock",
        root=pair("r"),
        org=pair("o"),
        issuer=pair("i"),
        node=pair("n"),
        agent=Pair(p256, P256Key(b"q" * 32).public.digest),
        datagram_key=bytes(32),
        now_ms=NOW_MS,
    )
    made = laptop_federation(plan)
    state = TrustState(FederationId(made.root.id), TrustConfig.for_laptop())
    for untrusted in made.records:
        assert isinstance(state.admit(untrusted, NOW_MS), Admitted)
    assert chain_at(state, made.agent.id).allows(REMEMBER, "me/x", "home", NOW_MS)
    renewed = renew_issuer(made.org, (key("o"),), made.issuer, not_before_ms=NOW_MS + DAY_MS)
    assert isinstance(state.admit(renewed.to_bytes(), NOW_MS + DAY_MS), Admitted)


def test_bounds_below_one_are_refused() -> None:
    with pytest.raises(ConfigError):
        TrustConfig(org_count_max=0)


def test_author_logs_are_named_blindly_by_author_writer_and_namespace() -> None:
    author, writer = Inception(b"a" * 32), Inception(b"w" * 32)
    names = {
        chain_digest(author, writer, "acme"),
        chain_digest(writer, author, "acme"),
        chain_digest(author, writer, "acme/x"),
    }
    assert len(names) == 3


def test_signatures_are_not_part_of_an_id() -> None:
    again = dataclasses.replace(FED.root, signatures=())
    assert again.record.id_of(again.body) == FED.root.id


def test_stolen_issuer_key_cannot_use_up_its_orgs_revocations() -> None:
    state = FED.state(config=TrustConfig(revocation_count_max=2))
    seal(state)
    flood = revocation(key("issuer"), subject=Inception(FED.node.record.inception))
    assert refused(state, flood).reason is Reason.FULL
    issuer = Inception(FED.issuer.record.inception)
    admitted(state, revocation(*org_signers(), signer=FED.org, subject=issuer))
    assert state.is_revoked(chain_at(state, FED.node.id))


def test_freshness_repeated_is_admitted_and_kept_once() -> None:
    state = FED.state()
    statement = freshness(FED.issuer, key("issuer"), index=3)
    version = state.version
    for _ in range(2):
        admitted(state, statement)
    assert len(state.records_of(FreshnessRecord)) == 1
    assert state.version == version
