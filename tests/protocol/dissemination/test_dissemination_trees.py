"""Trees: eager and lazy links, grafts, prunes, budgets, and what residency keeps back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hive.errors import ConfigError
from hive.protocol.dissemination.config import DisseminationConfig, TreeConfig, ViewConfig
from hive.protocol.dissemination.disseminator import Disseminator, summed
from hive.protocol.dissemination.events import (
    Blamed,
    DeltasStored,
    Effect,
    Event,
    InterestHeard,
    LinkOpened,
    MemberKnown,
    Place,
    Pushed,
    StoredDelta,
)
from hive.protocol.dissemination.messages import CELL, RING, Graft, IHave, Prune, Push, ids_in
from hive.protocol.machine import Received, Send, Ticked
from hive.protocol.messages import Interest
from hive.wire.clock import SECOND_US, MonotonicUs, Now, WallUs
from hive.wire.ids import PeerId
from hive.wire.schema import label_of_untrusted

OWN, ALICE, BOB, CAROL = (PeerId(bytes([number]) * 20) for number in range(4))
NAME = "acme/x"


def everywhere(peer: PeerId, namespace: str, residency: tuple[str, ...]) -> bool:
    return True


def at(now_us: int = 0) -> Now:
    return Now(MonotonicUs(now_us), WallUs(now_us))


def delta(number: int, namespace: str = NAME, size: int = 100) -> StoredDelta:
    id = bytes([number]) * 16
    return StoredDelta(id, namespace, (), 0, id + bytes(size - 16))


def stored(*numbers: int, source: PeerId | None = None, namespace: str = NAME) -> DeltasStored:
    return DeltasStored(tuple(delta(number, namespace) for number in numbers), source)


class Bench:
    """One disseminator with linked neighbours, in views (not a mesh) unless said otherwise."""

    def __init__(
        self,
        *peers: PeerId,
        is_mesh: bool = False,
        tree: TreeConfig | None = None,
        may: object = everywhere,
        region: str = "eu",
        layer: int = CELL,
    ) -> None:
        config = DisseminationConfig(
            cell=ViewConfig(mesh_max=8 if is_mesh else 0), tree=tree or TreeConfig()
        )
        place = Place(b"org", "eu", CELL)
        self.machine = Disseminator(config, OWN, place, ("",), may, b"seed")  # type: ignore[arg-type]
        for peer in peers:
            self.link(peer, region, layer)

    def link(self, peer: PeerId, region: str = "eu", layer: int = CELL) -> None:
        place = Place(bytes(peer[:1]), region, layer)
        self.machine.handle(MemberKnown(peer, place), at())
        view = self.machine.ring if layer == RING else self.machine.cell
        if not view.is_mesh:
            view._take(peer, 1, MonotonicUs(0))
        self.machine.handle(LinkOpened(peer, place), at())
        self.machine.handle(InterestHeard(peer, ("",)), at())

    def tell(self, event: Event, now_us: int = 0) -> list[Send]:
        effects: Sequence[Effect] = self.machine.handle(event, at(now_us))
        return [each for each in effects if isinstance(each, Send)]

    def arrive(self, number: int, sender: PeerId, hops: int = 1, now_us: int = 0) -> list[Send]:
        pushed = self.tell(Pushed(sender, hops, False, b"", (bytes([number]) * 16,)), now_us)
        return [*pushed, *self.tell(stored(number, source=sender), now_us)]

    def tick(self, now_us: int) -> list[Send]:
        return self.tell(Ticked(), now_us)

    def hear(self, sender: PeerId, message: IHave | Graft | Prune, now_us: int = 0) -> list[Send]:
        return self.tell(Received(sender, message.to_body()), now_us)


def pushes(sends: list[Send]) -> list[PeerId]:
    return [each.receiver for each in sends if label_of_untrusted(each.payload) == Push.LABEL]


def labels(sends: list[Send]) -> list[tuple[str, PeerId]]:
    return [(label_of_untrusted(each.payload), each.receiver) for each in sends]


def test_what_passed_ingress_goes_on_to_all_but_its_bringer() -> None:
    bench = Bench(ALICE, BOB, CAROL)
    assert pushes(bench.arrive(1, ALICE)) == [BOB, CAROL]


def test_nothing_goes_on_before_ingress_admitted_it() -> None:
    bench = Bench(ALICE, BOB)
    assert not bench.tell(Pushed(ALICE, 1, False, b"", (bytes([1]) * 16,)))
    assert not bench.tick(SECOND_US)


def test_a_second_payload_makes_its_link_lazy() -> None:
    bench = Bench(ALICE, BOB, CAROL)
    bench.arrive(1, ALICE)
    assert labels(bench.tell(Pushed(BOB, 1, False, b"", (bytes([1]) * 16,)))) == [("prune", BOB)]
    assert pushes(bench.arrive(2, ALICE)) == [CAROL]
    (digest,) = bench.tick(SECOND_US)
    assert digest.receiver == BOB
    assert ids_in(IHave.from_body_untrusted(digest.payload).ids)[-1] == bytes([2]) * 16


def test_a_pruned_link_gets_digests_and_a_grafted_one_payloads() -> None:
    bench = Bench(ALICE, BOB)
    bench.hear(BOB, Prune(NAME))
    assert not pushes(bench.arrive(1, ALICE))
    (sent,) = bench.hear(BOB, Graft(NAME, bytes([1]) * 16))
    push = Push.from_body_untrusted(sent.payload)
    assert (sent.receiver, push.hops) == (BOB, 2)
    assert pushes(bench.arrive(2, ALICE)) == [BOB]


def test_an_announced_id_that_does_not_come_is_grafted_from_one_announcer_after_the_other() -> None:
    bench = Bench(ALICE, BOB)
    config = TreeConfig()
    digest = IHave(NAME, bytes([1]) * 16, b"\x01")
    bench.hear(ALICE, digest)
    bench.hear(BOB, digest)
    assert not bench.tick(config.graft_first_us - 1)
    assert labels(bench.tick(config.graft_first_us)) == [("graft", ALICE)]
    late = config.graft_first_us + config.graft_next_us
    assert labels(bench.tick(late)) == [("graft", BOB)]
    assert not bench.tick(late + SECOND_US)


def test_an_announced_id_that_comes_is_not_grafted() -> None:
    bench = Bench(ALICE, BOB)
    bench.hear(ALICE, IHave(NAME, bytes([1]) * 16, b"\x01"))
    bench.arrive(1, BOB)
    assert all(label != "graft" for label, _ in labels(bench.tick(SECOND_US)))


def test_a_much_nearer_announcer_takes_the_place_of_the_bringer() -> None:
    bench = Bench(ALICE, BOB)
    bench.hear(BOB, Prune(NAME))
    bench.arrive(1, ALICE, hops=12)
    moved = labels(bench.hear(BOB, IHave(NAME, bytes([1]) * 16, b"\x02")))
    assert moved == [("graft", BOB), ("prune", ALICE)]


def test_in_a_mesh_own_deltas_go_to_all_and_others_are_only_announced() -> None:
    bench = Bench(ALICE, BOB, CAROL, is_mesh=True)
    assert pushes(bench.tell(stored(1))) == [ALICE, BOB, CAROL]
    assert not pushes(bench.arrive(2, ALICE))
    told = [peer for label, peer in labels(bench.tick(SECOND_US)) if label == "ihave"]
    assert told == [BOB, CAROL]


def test_a_mesh_reaches_other_regions_in_one_hop() -> None:
    bench = Bench(ALICE, BOB, is_mesh=True, region="us")
    assert pushes(bench.tell(stored(1))) == [ALICE, BOB]


def test_payloads_behind_their_digests_make_grafts_patient() -> None:
    bench, config = Bench(ALICE, BOB), TreeConfig()
    late_us = 3 * config.graft_first_us
    bench.hear(ALICE, IHave(NAME, bytes([1]) * 16, b"\x01"))
    bench.tick(config.graft_first_us)
    bench.arrive(1, BOB, now_us=late_us)
    bench.hear(ALICE, IHave(NAME, bytes([2]) * 16, b"\x01"), SECOND_US)
    early = bench.tick(SECOND_US + 2 * late_us - 1)
    assert all(label != "graft" for label, _ in labels(early))
    assert ("graft", ALICE) in labels(bench.tick(SECOND_US + 2 * late_us))


def test_interest_covers_whole_segments_only() -> None:
    bench = Bench(ALICE, BOB)
    bench.tell(InterestHeard(ALICE, ("org/eu",)))
    bench.tell(InterestHeard(BOB, ()))
    assert not pushes(bench.tell(stored(1, namespace="org/europe")))
    assert pushes(bench.tell(stored(2, namespace="org/eu/de"))) == [ALICE]


def test_what_is_restricted_is_neither_sent_nor_announced_nor_grafted_outside() -> None:
    def may(peer: PeerId, namespace: str, residency: tuple[str, ...]) -> bool:
        return peer != BOB or namespace != "acme/secret"

    bench = Bench(ALICE, BOB, may=may)
    assert pushes(bench.tell(stored(1, namespace="acme/secret"))) == [ALICE]
    assert not bench.hear(BOB, Graft("acme/secret", bytes([1]) * 16))
    assert not bench.tick(SECOND_US)


def test_who_names_a_namespace_that_we_may_not_hold_is_blamed() -> None:
    def may(peer: PeerId, namespace: str, residency: tuple[str, ...]) -> bool:
        return peer != OWN or namespace != "acme/secret"

    bench = Bench(ALICE, may=may)
    digest = IHave("acme/secret", bytes([1]) * 16, b"\x01").to_body()
    effects = bench.machine.handle(Received(ALICE, digest), at())
    assert any(isinstance(effect, Blamed) for effect in effects)
    assert not bench.tick(SECOND_US)


def test_a_spent_link_gets_digests_and_can_graft_later() -> None:
    tree = TreeConfig(message_bytes_max=200, link_burst_bytes=300, link_refill_bytes_per_s=1_000)
    bench = Bench(ALICE, tree=tree)
    assert len(pushes(bench.tell(stored(1, 2, 3, 4, 5, 6)))) == 1
    assert bench.machine.tree.counts.deferred == 4
    (digest,) = bench.tick(SECOND_US)
    graft = Graft(NAME, IHave.from_body_untrusted(digest.payload).ids)
    assert pushes(bench.hear(ALICE, graft, 2 * SECOND_US))


def test_links_to_other_regions_begin_lazy() -> None:
    bench = Bench(ALICE, region="us", layer=RING)
    bench.link(BOB)
    assert pushes(bench.tell(stored(1))) == [BOB]
    assert [peer for _, peer in labels(bench.tick(SECOND_US))] == [ALICE]


def test_of_two_gateways_the_smaller_keeps_its_link_and_the_other_prunes() -> None:
    bench = Bench(ALICE, region="us", layer=RING)
    bench.link(BOB)
    bench.arrive(1, ALICE)
    smaller, larger = bytes(8), b"\xff" * 8
    assert OWN[:8] == smaller
    told = bench.tell(Pushed(BOB, 2, False, larger, (bytes([1]) * 16,)))
    assert labels(told) == [("prune", BOB)]
    other = Bench(region="us")
    other.machine.tree._own = PeerId(b"\x77" * 20)
    other.link(ALICE, "us", RING)
    other.link(BOB)
    other.arrive(1, ALICE)
    told = other.tell(Pushed(BOB, 2, False, smaller, (bytes([1]) * 16,)))
    assert labels(told) == [("prune", ALICE)]


def test_a_super_peer_tells_its_ring_the_sum_of_its_cells_interest() -> None:
    bench = Bench(ALICE, region="us", layer=RING)
    bench.machine._own_interest = ("acme",)
    bench.link(BOB)
    told = bench.tell(InterestHeard(BOB, ("globex/a",)))
    (sent,) = [each for each in told if each.receiver == ALICE]
    assert Interest.from_body_untrusted(sent.payload).prefixes == ("acme", "globex/a")


def test_interest_sums_up_within_its_bound() -> None:
    assert summed(("a", "a/b", "c")) == ("a", "c")
    assert summed(tuple(f"top/{number}" for number in range(100))) == ("top",)
    assert summed(tuple(f"top{number}" for number in range(100))) == ("",)


def test_a_silent_announcer_is_given_up() -> None:
    bench = Bench(ALICE, BOB)
    for number in range(TreeConfig().failure_max):
        bench.hear(ALICE, IHave(NAME, bytes([number]) * 16, b"\x01"), number * SECOND_US)
        bench.tick(number * SECOND_US + SECOND_US // 2)
        bench.tick(number * SECOND_US + SECOND_US * 3 // 4)
    assert not bench.machine.is_wanted(ALICE)
    assert bench.machine.is_wanted(BOB)


def test_malformed_messages_are_counted_and_blamed() -> None:
    bench = Bench(ALICE)
    effects = bench.machine.handle(Received(ALICE, b"\x91\xa5ihave"), at())
    assert [type(effect) for effect in effects] == [Blamed]
    assert bench.machine.malformed_count == 1


def test_contradicting_bounds_are_refused() -> None:
    with pytest.raises(ConfigError):
        TreeConfig(link_burst_bytes=10)
    with pytest.raises(ConfigError):
        ViewConfig(own_choice_min=5)
