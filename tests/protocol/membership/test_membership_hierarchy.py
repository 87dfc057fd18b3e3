"""Cells, rings and who speaks for whom, on a small network of whole hierarchies."""

from __future__ import annotations

import pytest
from hierarchy_network import HierarchyNetwork
from membership_network import SECOND, now_at

from hive.protocol.machine import Send
from hive.protocol.membership.events import LeaveRequested
from hive.protocol.membership.messages import Standing
from hive.protocol.membership.place import Level, Place
from hive.protocol.membership.ring_messages import (
    TOKENS_MAX,
    InterestTold,
    Outline,
    Speakers,
    SpeakersWanted,
    ring_message_from_untrusted,
)
from hive.wire.ids import Digest, PeerId

CELLS = [Place("eu", "c1", "a"), Place("eu", "c1", "b"), Place("us", "c2", "a")]
MEMBERS = 5


def world(seed: bytes = b"seed", loss_per_mille: int = 0) -> HierarchyNetwork:
    """Three cells of five, two of them in one cluster; each cell's first met the first of all."""
    network = HierarchyNetwork(seed, loss_per_mille)
    for cell, place in enumerate(CELLS):
        for number in range(MEMBERS):
            network.add(f"{cell}.{number}", place, f"org{number % 4}")
            network.introduce(f"{cell}.{number}", f"{cell}.0")
        network.introduce(f"{cell}.0", "0.0")
    for number in range(MEMBERS):
        network.introduce(f"0.{number}", f"1.{number}")
        network.introduce(f"0.{number}", f"2.{number}")
    network.run(60 * SECOND)
    return network


@pytest.fixture(scope="module")
def settled() -> HierarchyNetwork:
    return world()


def speakers(network: HierarchyNetwork, cell: int) -> set[str]:
    return network.named(network.nodes[f"{cell}.0"].hierarchy.super_peers())


def test_a_cell_holds_the_members_that_their_records_put_there(settled: HierarchyNetwork) -> None:
    for name, node in settled.nodes.items():
        mates = {other for other in settled.nodes if other[0] == name[0]}
        live = tuple(member.peer for member in node.hierarchy.cell.view.live())
        assert settled.named(live) == mates


def test_all_members_of_a_cell_name_the_same_super_peers(settled: HierarchyNetwork) -> None:
    for cell in range(len(CELLS)):
        seen = {
            settled.nodes[f"{cell}.{number}"].hierarchy.super_peers() for number in range(MEMBERS)
        }
        assert len(seen) == 1
        assert len(seen.pop()) == 3


def test_exactly_the_super_peers_of_a_cluster_form_its_ring(settled: HierarchyNetwork) -> None:
    ring = speakers(settled, 0) | speakers(settled, 1)
    for name, node in settled.nodes.items():
        assert node.hierarchy.is_in_ring(Level.CLUSTER) == (name in ring)
    for name in ring:
        assert settled.named(settled.nodes[name].hierarchy.cluster_peers()) == ring


def test_three_of_each_cluster_form_the_ring_of_regions(settled: HierarchyNetwork) -> None:
    ring = {name for name, n in settled.nodes.items() if n.hierarchy.is_in_ring(Level.REGION)}
    assert len(ring) == 6
    assert {name[0] for name in ring} >= {"2"}
    for name in ring:
        assert settled.named(settled.nodes[name].hierarchy.region_peers()) == ring


def test_summaries_travel_upward_and_nothing_else(settled: HierarchyNetwork) -> None:
    for name in speakers(settled, 0):
        outlines = settled.nodes[name].hierarchy.outlines
        told = outlines.of(Level.CLUSTER, CELLS[1])
        assert told is not None
        assert told.outline.live_count == MEMBERS
        other = settled.nodes["1.0"].hierarchy.cell.view.root()
        assert told.outline.root == other
    american = min(speakers(settled, 2))
    whole = settled.nodes[american].hierarchy.outlines.of(Level.REGION, CELLS[0])
    assert whole is not None
    assert (whole.outline.live_count, whole.outline.cell_count) == (2 * MEMBERS, 2)


def test_an_ordinary_member_says_nothing_in_rings(settled: HierarchyNetwork) -> None:
    for node in settled.nodes.values():
        node.bytes_sent.clear()
    settled.run(30 * SECOND)
    for name, node in settled.nodes.items():
        if not node.hierarchy.is_super_peer:
            assert not {Level.CLUSTER, Level.REGION} & {*node.bytes_sent}, name


def test_a_dead_super_peer_is_replaced_in_its_ring() -> None:
    network = world(b"fail-over")
    gone = sorted(speakers(network, 0))[0]
    before = speakers(network, 0)
    network.kill(gone)
    network.run(60 * SECOND)
    alive = next(name for name in network.nodes if name[0] == "0" and name != gone)
    after = network.named(network.nodes[alive].hierarchy.super_peers())
    (fresh,) = after - before
    assert network.nodes[fresh].hierarchy.is_in_ring(Level.CLUSTER)
    for name in speakers(network, 1):
        seen = network.nodes[name].hierarchy
        assert network.named(seen.super_peers(CELLS[0])) == after
        assert seen.standing(network.nodes[gone].identity.peer) == Standing.DEAD


def test_rings_form_and_nobody_dies_under_loss() -> None:
    network = world(b"loss", loss_per_mille=50)
    network.run(60 * SECOND)
    assert all(node.deaths == [] for node in network.nodes.values())
    ring = speakers(network, 0) | speakers(network, 1)
    for name in ring:
        assert network.named(network.nodes[name].hierarchy.cluster_peers()) == ring


def test_leaving_a_ring_is_no_death_and_leaving_the_cell_is_told_everywhere() -> None:
    network = world(b"leave")
    name = sorted(speakers(network, 1))[0]
    peer = network.nodes[name].identity.peer
    network.tell(name, LeaveRequested())
    network.run(5 * SECOND)
    network.kill(name)
    network.run(30 * SECOND)
    assert all(peer not in [dead for _, dead in n.deaths] for n in network.nodes.values())
    mate = next(other for other in network.nodes if other[0] == "1" and other != name)
    assert network.nodes[mate].hierarchy.standing(peer) == Standing.LEFT
    assert name not in network.named(network.nodes[mate].hierarchy.super_peers())


def test_a_ring_takes_only_peers_whose_record_puts_them_there(settled: HierarchyNetwork) -> None:
    name = sorted(speakers(settled, 0))[0]
    stranger = settled.nodes["2.1"].identity
    ring = settled.nodes[name].hierarchy
    said = SpeakersWanted(int(Level.CLUSTER)).to_body()
    ring.received(Level.CLUSTER, stranger.peer, said, now_at(settled.now))
    seen = ring._rings.swims[Level.CLUSTER].view
    assert stranger.peer not in seen


def test_an_outline_counts_from_a_speaker_of_its_group_only() -> None:
    network = world(b"outline")
    listener = network.nodes[sorted(speakers(network, 0))[0]].hierarchy
    ordinary = next(
        node.identity.peer
        for name, node in network.nodes.items()
        if name[0] == "1" and name not in speakers(network, 1)
    )
    lie = Outline(int(Level.CLUSTER), 99, 1, Digest(bytes(32)), 1, ()).to_body()
    listener.told(ordinary, lie, now_at(network.now))
    told = listener.outlines.of(Level.CLUSTER, CELLS[1])
    assert told is not None
    assert told.outline.live_count == MEMBERS


def test_interest_goes_to_super_peers_and_upward_as_tokens() -> None:
    network = world(b"interest")
    token = b"t" * 16
    for name, node in network.nodes.items():
        node.hierarchy.wants(wants_all=False, tokens=(token,) if name == "1.3" else ())
    network.run(90 * SECOND)
    for name in speakers(network, 0):
        assert network.nodes[name].hierarchy.outlines.wanting(Level.CLUSTER, token) == (CELLS[1],)
        assert network.nodes[name].hierarchy.outlines.wanting(Level.CLUSTER, b"u" * 16) == ()


def test_questions_of_one_peer_are_answered_within_a_budget() -> None:
    network = world(b"budget")
    asker = network.nodes["1.0"].identity.peer
    asked = SpeakersWanted(int(Level.CLUSTER)).to_body()
    door = network.nodes["0.0"].hierarchy
    answers = [door.told(asker, asked, now_at(network.now)) for _ in range(100)]
    sent = [effect for found in answers for _, effect in found if isinstance(effect, Send)]
    assert 1 <= len(sent) <= 8
    assert len(sent[0].payload) <= 3 * 134


def test_what_is_no_ring_message_is_counted_and_nothing_else(settled: HierarchyNetwork) -> None:
    door = settled.nodes["0.0"].hierarchy
    before = door.malformed_count
    for junk in (b"", b"\x93", b"junk" * 99, SpeakersWanted(1).to_body()[:-1]):
        assert door.told(settled.nodes["0.1"].identity.peer, junk, now_at(settled.now)) == []
    assert door.malformed_count == before + 4


def test_the_largest_ring_message_fits_a_datagram() -> None:
    tokens = (b"t" * 16,) * TOKENS_MAX
    for message in (
        Speakers(2, (PeerId(b"p" * 20),) * 3),
        Outline(2, 2**64 - 1, 2**64 - 1, Digest(b"d" * 32), 0, tokens),
        InterestTold(0, tokens),
    ):
        assert ring_message_from_untrusted(message.to_body()) == message
