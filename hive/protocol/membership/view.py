"""Who is known, in which standing, and the digest of that.

The representation is hidden: members go in and out as frozen values, so that a simulation may
put a sparse overlay over a shared base. All orders are by peer id, never by history.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from hive.protocol.membership.events import Introduction
from hive.protocol.membership.messages import (
    BUCKET_DIGEST_BYTES,
    BUCKETS,
    Entry,
    Signed,
    Standing,
)
from hive.wire.clock import MonotonicUs
from hive.wire.ids import PEER_ID_BYTES, Digest, Inception, PeerId
from hive.wire.randomness import Stream

_LIVE = (Standing.ALIVE, Standing.SUSPECT)
_SOUGHT = (Standing.DEAD, Standing.INTRODUCED)


@dataclass(frozen=True, slots=True)
class Member:
    """A peer as this node sees it; `proof` is the subject's own newest statement."""

    introduction: Introduction
    standing: Standing
    incarnation: int
    proof: Signed | None
    accusations: tuple[Signed, ...]
    changed_at: MonotonicUs

    @classmethod
    def introduced(cls, introduction: Introduction, now: MonotonicUs) -> Member:
        """A member that has not signed anything yet."""
        return cls(introduction, Standing.INTRODUCED, 0, None, (), now)

    @property
    def peer(self) -> PeerId:
        return self.introduction.peer

    @property
    def is_live(self) -> bool:
        """Whether it counts: alive, or suspected and not yet dead."""
        return self.standing in _LIVE

    @property
    def evidence(self) -> tuple[Signed, ...]:
        """What convinces another node of this standing: the proof, then one accusation."""
        proof = () if self.proof is None else (self.proof,)
        return proof + self.accusations[-1:]


def bucket_of(peer: PeerId) -> int:
    """The bucket of a peer: the first five bits of its id."""
    return peer[0] * BUCKETS >> 8


def bucket_range(first: int, last: int) -> tuple[PeerId, PeerId]:
    """The lowest and the highest peer id of the buckets `first..last`."""
    width = 256 // BUCKETS
    low = bytes([first * width]) + bytes(PEER_ID_BYTES - 1)
    high = bytes([last * width + width - 1]) + b"\xff" * (PEER_ID_BYTES - 1)
    return PeerId(low), PeerId(high)


class View:
    """The members of one cell, this node among them."""

    def __init__(self, own: PeerId) -> None:
        self._own = own
        self._members: dict[PeerId, Member] = {}
        self._known: list[PeerId] = []
        self._live: list[PeerId] = []
        self._sought: list[PeerId] = []
        self._orgs: dict[Inception, int] = {}
        self._digests: list[bytes | None] = [None] * BUCKETS
        self._root: Digest | None = None
        self._is_shared = False

    @classmethod
    def of(cls, members: Iterable[Member]) -> View:
        """The base of many views, nobody's own; to be copied."""
        base = cls(PeerId(b""))
        for member in members:
            base.put(member)
        return base

    def copy_for(self, own: PeerId) -> View:
        """A view of another node with the same members, shared until the first that differs."""
        view = View(own)
        view._members, view._known, view._live = self._members, self._known, self._live
        view._sought = [peer for peer in self._sought if peer != own]
        view._orgs, view._digests, view._root = self._orgs, self._digests, self._root
        view._is_shared = True
        return view

    def _part(self) -> None:
        """From now on this view differs from the one that it was copied from."""
        self._is_shared = False
        self._members, self._orgs = dict(self._members), dict(self._orgs)
        self._known, self._live = list(self._known), list(self._live)
        self._digests = list(self._digests)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._members

    def __iter__(self) -> Iterator[Member]:
        return (self._members[peer] for peer in self._known)

    @property
    def live_count(self) -> int:
        """n of all formulas: alive and suspected members, this node among them."""
        return len(self._live)

    @property
    def org_count(self) -> int:
        """The orgs of all live members."""
        return len(self._orgs)

    def get(self, peer: PeerId) -> Member | None:
        """The member, or None for a peer that nobody introduced."""
        return self._members.get(peer)

    def live(self) -> Iterator[Member]:
        """The members that count, by peer id."""
        return (self._members[peer] for peer in self._live)

    def in_standing(self, standing: Standing) -> tuple[PeerId, ...]:
        """The members of one standing, by peer id."""
        return tuple(peer for peer in self._known if self._members[peer].standing == standing)

    def put(self, member: Member) -> None:
        """Adds a member or replaces what was held of it."""
        peer, before = member.peer, self._members.get(member.peer)
        if self._is_shared:
            if before is not None and _says_the_same(before, member):
                return
            self._part()
        self._members[peer] = member
        self._count_org(before, -1)
        self._count_org(member, 1)
        if before is None:
            insort(self._known, peer)
        if before is None or before.standing != member.standing:
            self._place(self._live, peer, member.is_live)
            self._place(self._sought, peer, member.standing in _SOUGHT and peer != self._own)
        if _digested(before) != _digested(member):
            self._digests[bucket_of(peer)] = self._root = None

    def remove(self, peer: PeerId) -> None:
        """Forgets a member."""
        if peer not in self._members:
            return
        if self._is_shared:
            self._part()
        before = self._members.pop(peer)
        self._count_org(before, -1)
        for order in (self._known, self._live, self._sought):
            self._place(order, peer, False)
        self._digests[bucket_of(peer)] = self._root = None

    def pick_live(
        self, stream: Stream, count: int, excluded: tuple[PeerId, ...] = ()
    ) -> list[PeerId]:
        """At most `count` different live members other than this node and the excluded."""
        outside = (self._own, *excluded)
        if len(self._live) <= 2 * (count + len(outside)):
            return stream.sample([peer for peer in self._live if peer not in outside], count)
        picked: list[PeerId] = []
        while len(picked) < count:
            peer = self._live[stream.below(len(self._live))]
            if peer not in outside and peer not in picked:
                picked.append(peer)
        return picked

    def pick_sought(self, stream: Stream) -> PeerId | None:
        """One member that is dead or was only introduced, or None."""
        return self._sought[stream.below(len(self._sought))] if self._sought else None

    def root(self) -> Digest:
        """Equal on two nodes exactly when both hold the same incarnation of every live member."""
        if self._root is None:
            self._root = Digest(hashlib.sha256(self.bucket_digests()).digest())
        return self._root

    def bucket_digests(self) -> bytes:
        """`BUCKETS` short digests behind each other."""
        return b"".join(self._bucket_digest(bucket) for bucket in range(BUCKETS))

    def between(self, low: PeerId, high: PeerId) -> list[Member]:
        """The members from `low` to `high`, both included, by peer id."""
        first, end = bisect_left(self._known, low), bisect_right(self._known, high)
        return [self._members[peer] for peer in self._known[first:end]]

    def entries_between(self, low: PeerId, high: PeerId) -> list[Entry]:
        """The lines of a summary: members that signed an incarnation, the gone ones too."""
        return [
            Entry(member.peer, member.incarnation, int(member.standing))
            for member in self.between(low, high)
            if member.proof is not None
        ]

    def _bucket_digest(self, bucket: int) -> bytes:
        found = self._digests[bucket]
        if found is None:
            lines = b"".join(map(_digested, self.between(*bucket_range(bucket, bucket))))
            found = hashlib.sha256(lines).digest()[:BUCKET_DIGEST_BYTES]
            self._digests[bucket] = found
        return found

    def _count_org(self, member: Member | None, by: int) -> None:
        if member is None or not member.is_live:
            return
        org = member.introduction.org
        count = self._orgs.pop(org, 0) + by
        if count:
            self._orgs[org] = count

    @staticmethod
    def _place(order: list[PeerId], peer: PeerId, belongs: bool) -> None:
        at = bisect_left(order, peer)
        is_there = at < len(order) and order[at] == peer
        if belongs and not is_there:
            order.insert(at, peer)
        elif is_there and not belongs:
            del order[at]


def _says_the_same(before: Member, member: Member) -> bool:
    """Whether only the moment differs at which it was learned."""
    return before == replace(member, changed_at=before.changed_at)


def _digested(member: Member | None) -> bytes:
    """What of a member enters the digest: suspicions pass, and the gone are reaped apart."""
    if member is None or not member.is_live:
        return b""
    return member.peer + member.incarnation.to_bytes(8, "big")
