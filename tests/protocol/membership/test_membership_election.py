"""Elections: who speaks for a group, by the same rule for everybody who sees the same members."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from hive.protocol.membership.election import elect, rank
from hive.protocol.membership.place import Place
from hive.wire.ids import Inception, PeerId

ORGS = [Inception(bytes([number]) * 32) for number in range(5)]


def candidates(count: int, orgs: int) -> list[tuple[PeerId, Inception]]:
    return [
        (PeerId(hashlib.sha256(bytes([number])).digest()[:20]), ORGS[number % orgs])
        for number in range(count)
    ]


def test_speakers_come_from_distinct_organisations_where_there_are_enough() -> None:
    members = candidates(40, 4)
    org_of = dict(members)
    chosen = elect("cell/eu/a/1", members, 3)
    assert len({org_of[peer] for peer in chosen}) == 3


def test_one_organisation_fills_every_seat_where_it_is_alone() -> None:
    assert len(elect("cell/eu/a/1", candidates(40, 1), 3)) == 3
    assert len(elect("cell/eu/a/1", candidates(40, 2), 3)) == 3


@given(st.permutations(candidates(12, 4)))
def test_everybody_elects_the_same_whatever_the_order_of_arrival(
    members: list[tuple[PeerId, Inception]],
) -> None:
    assert elect("cell/eu/a/1", members, 3) == elect("cell/eu/a/1", candidates(12, 4), 3)


def test_a_speaker_that_goes_moves_its_own_seat_only() -> None:
    members = candidates(64, 5)
    before = elect("cell/eu/a/1", members, 3)
    for gone in before:
        after = elect("cell/eu/a/1", [member for member in members if member[0] != gone], 3)
        assert len({*before, *after}) == 4
        assert gone not in after


def test_ids_ground_to_rank_first_win_their_organisation_one_seat() -> None:
    scope = "cell/eu/a/1"
    ground = sorted(
        (
            PeerId(hashlib.sha256(number.to_bytes(4, "big")).digest()[:20])
            for number in range(5_000)
        ),
        key=lambda peer: rank(scope, peer),
    )[:100]
    hostile = [(peer, ORGS[4]) for peer in ground]
    chosen = elect(scope, [*candidates(30, 3), *hostile], 3)
    assert len({*chosen} & {*ground}) == 1


def test_two_cells_order_their_members_differently() -> None:
    members = candidates(200, 5)
    assert elect("cell/eu/a/1", members, 3) != elect("cell/eu/a/2", members, 3)


def test_a_record_names_cluster_and_cell_in_one() -> None:
    assert Place.of("eu", "c3/7") == Place("eu", "c3", "7")
    assert Place.of("eu", "cell-1") == Place("eu", "cell-1", "")
    assert Place.of("eu", "c3/7").shares_cluster(Place.of("eu", "c3/8"))


def test_no_name_reaches_into_another_scope() -> None:
    assert Place("eu/a", "b", "c").cell_scope != Place("eu", "a/b", "c").cell_scope
    assert Place("eu", "a", "").cell_scope != Place("eu", "a", "").cluster_scope
