"""P3: rights only narrow, over more than 10^4 random chains of links."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from hive.trust.capability import Capability, are_narrower, covers_namespace
from hive.wire.randomness import Stream

CHAIN_COUNT = 12_000
LINK_COUNT = 4
PREFIXES = ("", "org", "org/eu", "org/europe", "org/eu/x", "orgs")
REGIONS = ((), ("eu",), ("us",), ("eu", "us"))
ASSERTIONS = ((), ("hipaa",), ("sox",), ("hipaa", "sox"))
ENDS = (10, 20, 30)
Right = tuple[int, str, str, int]


def drawn(stream: Stream) -> Capability:
    return Capability(
        PREFIXES[stream.below(len(PREFIXES))],
        stream.below(8),
        REGIONS[stream.below(len(REGIONS))],
        ASSERTIONS[stream.below(len(ASSERTIONS))],
        ENDS[stream.below(len(ENDS))],
    )


def child_of(stream: Stream, parent: Capability) -> Capability:
    """Mostly a narrower one, with one field redrawn: near the edge of what is allowed."""
    wild = drawn(stream)
    below = [prefix for prefix in PREFIXES if covers_namespace(parent.prefix, prefix)]
    fields = [
        below[stream.below(len(below))],
        parent.actions & wild.actions,
        parent.regions[:1] or wild.regions,
        parent.assertions[:1],
        min(parent.not_after_ms, wild.not_after_ms),
    ]
    loose = stream.below(10)
    if loose < 5:
        fields[loose] = (
            wild.prefix,
            wild.actions,
            wild.regions,
            wild.assertions,
            wild.not_after_ms,
        )[loose]
    return Capability(*fields)


def rights_of(capability: Capability) -> frozenset[Right]:
    """By enumeration of a small universe: the naive model."""
    universe = product((1, 2, 4), PREFIXES[1:], ("eu", "us", "cn"), (5, 15, 25))
    return frozenset(right for right in universe if capability.allows(*right))


def test_effective_right_is_within_every_link_of_random_chains() -> None:
    stream = Stream(b"narrowing", "chains")
    accepted = refused = 0
    for _ in range(CHAIN_COUNT):
        links = [(drawn(stream), drawn(stream))]
        while len(links) < LINK_COUNT:
            parents = links[-1]
            links.append(tuple(child_of(stream, parent) for parent in parents))
        if not all(are_narrower(children, parents) for parents, children in pairwise(links)):
            refused += 1
            continue
        accepted += 1
        right = (
            1 << stream.below(3),
            PREFIXES[1 + stream.below(5)],
            ("eu", "us", "cn")[stream.below(3)],
            (5, 15, 25)[stream.below(3)],
        )
        if any(capability.allows(*right) for capability in links[-1]):
            for held in links:
                assert any(capability.allows(*right) for capability in held), (links, right)
    assert accepted > CHAIN_COUNT // 20
    assert refused > CHAIN_COUNT // 20


def test_accepted_link_gives_no_right_its_one_parent_lacks() -> None:
    stream = Stream(b"narrowing", "links")
    for _ in range(1_500):
        parents = (drawn(stream), drawn(stream))
        child = child_of(stream, parents[stream.below(2)])
        if are_narrower((child,), parents):
            assert any(
                rights_of(child) <= rights_of(parent)
                and set(child.assertions) <= set(parent.assertions)
                for parent in parents
            )


@pytest.mark.parametrize(
    ("child", "is_covered"),
    [("org/eu", True), ("org/eu/x", True), ("org/europe", False), ("org", False), ("", False)],
)
def test_prefix_covers_segments_and_not_letters(child: str, is_covered: bool) -> None:
    assert covers_namespace("org/eu", child) is is_covered


def test_union_of_two_parents_covers_no_child() -> None:
    parents = (Capability("org", 1, (), (), 30), Capability("org", 2, (), (), 30))
    assert not are_narrower((Capability("org", 3, (), (), 30),), parents)
