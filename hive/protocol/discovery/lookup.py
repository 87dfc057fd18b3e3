"""One lookup: who are the k nearest to a target?

Theory of operation (Maymounkov and Mazières 2002, section 2.3; Baumgart and Mies 2007,
S/Kademlia, section 4.4):

A lookup runs on d disjoint paths. Each starts with its share of the contacts we know, and a
peer belongs to the path that queried it first (its *claim*), so that one liar can mislead one
path only. A path keeps its candidates in order of distance and has up to alpha queries in
flight. There is no barrier: every answer frees a place at once. When the beta nearest
candidates have answered, the path is near, and it queries all of its k nearest that are left
(the follow-up); nearer candidates learnt meanwhile join them. A path is done when its k
nearest have answered; who fails is removed and the next candidate moves up. Who stays silent
for `hedge_us` is slow, and the next candidate is asked as well; after `patience_us` it is in
doubt and not waited for. A late answer still counts.

An answer names k, the dead among them, and so reaches only up to a *horizon*. Where the k
nearest that answered lie partly behind it, the nearest answerers are asked for a further page:
otherwise those who live just behind many silent dead are never named by anybody.

Records are what liars want to hide, so a lookup for one has *thoroughness*: beyond its k
nearest a path asks on until enough answered within the share of their organisations, and asks
every candidate of the region in which `region_peers` are expected. Nothing ends it early: Sybils
nearer than everybody else, or found first, displace nobody (arXiv 2505.01139).

A candidate without a session must be introduced before it can be asked; that time is part of
its query and occupies its place in flight. Whoever names peers that cannot be introduced is
blamed, and at `bad_pointers_max` the rest of what it named is dropped.

An answer counts only if its pointers rise strictly in distance. From it are dropped: we
ourselves, the answerer, and ids nearer to the target than chance allows at the estimated size
of the network (ground ids; the target itself excepted).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice

from kademlia.node import Node

from hive.protocol.discovery.bucket import ID_BITS
from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.discovery.contact import Contact, split_pointer_untrusted, to_integer
from hive.protocol.discovery.shortlist import Candidate, Shortlist, Standing
from hive.wire.ids import PEER_ID_BYTES, PeerId


@dataclass(frozen=True, slots=True)
class Thoroughness:
    """How far beyond the k nearest a path goes: a distance, and a count of diverse answerers."""

    region: int = 0
    diverse_count: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the k nearest are enough."""
        return not self.region and not self.diverse_count


class Path:
    """One of the disjoint paths."""

    def __init__(
        self, target: Node, alpha: int, thoroughness: Thoroughness, config: DiscoveryConfig
    ) -> None:
        self._config = config
        self._alpha = alpha
        self._thoroughness = thoroughness
        self._queries = 0
        self.shortlist = Shortlist(target, config.k, config.candidates_max)
        self.open: dict[PeerId, Candidate] = {}

    @property
    def is_done(self) -> bool:
        """Whether the window has answered, or no query is left and none is open."""
        if self._queries >= self._config.queries_max and not self.open:
            return True
        trusted = (pair for pair in self.shortlist.heap if not pair[1].is_doubtful)
        return all(c.standing is Standing.ANSWERED for c in self._window(trusted))

    @property
    def doubt_at(self) -> int | None:
        """When an open query becomes slow or doubtful; queries are opened in order of time."""
        patience_at: int | None = None
        for candidate in self.open.values():
            if not candidate.is_slow:
                hedge_at = candidate.queried_at + self._config.hedge_us
                return hedge_at if patience_at is None else min(hedge_at, patience_at)
            if not candidate.is_doubtful and patience_at is None:
                patience_at = candidate.queried_at + self._config.patience_us
        return patience_at

    def doubt(self, now_us: int) -> None:
        """Marks queries that are open too long; their answers still count."""
        for candidate in self.open.values():
            age_us = now_us - candidate.queried_at
            candidate.is_slow = age_us >= self._config.hedge_us
            candidate.is_doubtful = age_us >= self._config.patience_us

    def next_queries(self, claims: dict[PeerId, Path], now_us: int) -> list[Candidate]:
        """Whom to query now; claims them."""
        nearest = self._nearest_quick(claims)
        if all(c.standing is Standing.ANSWERED for c in nearest[: self._config.beta]):
            room = self._config.k
        else:
            room = self._alpha - sum(not c.is_slow for c in self.open.values())
        room = max(0, min(room, self._config.queries_max - self._queries))
        wanted = [c for c in nearest if c.standing is Standing.KNOWN][:room]
        for candidate in wanted:
            candidate.standing = Standing.INTRODUCING
            candidate.queried_at = now_us
            claims[candidate.id] = self
            self.open[candidate.id] = candidate
        self._queries += len(wanted)
        return wanted

    def _nearest_quick(self, claims: dict[PeerId, Path]) -> list[Candidate]:
        heap = self.shortlist.heap
        if len(claims) > self._queries:
            known = Standing.KNOWN
            claimed = [c.id for _, c in heap if c.standing is known and c.id in claims]
            self.shortlist.remove([peer for peer in claimed if claims[peer] is not self])
        return list(self._window(pair for pair in heap if not pair[1].is_slow))

    def _window(self, pairs: Iterable[tuple[int, Candidate]]) -> Iterable[Candidate]:
        """Of candidates, nearest first, those that must answer before the path is done."""
        if self._thoroughness.is_plain:
            return (candidate for _, candidate in islice(pairs, self._config.k))
        return self._wide_window(pairs)

    def _wide_window(self, pairs: Iterable[tuple[int, Candidate]]) -> Iterator[Candidate]:
        thoroughness, share = self._thoroughness, self._config.contacts_per_org_max
        diverse_count = 0
        of_org: dict[bytes, int] = {}
        for count, (distance, candidate) in enumerate(pairs):
            is_enough = count >= self._config.k and diverse_count >= thoroughness.diverse_count
            if is_enough and distance > thoroughness.region:
                return
            if candidate.contact is None:
                diverse_count += 1
            else:
                org = candidate.contact.org
                of_org[org] = of_org.get(org, 0) + 1
                diverse_count += of_org[org] <= share
            yield candidate


class Lookup:
    """The paths towards one target, and who claimed whom."""

    def __init__(
        self,
        target: bytes,
        own: PeerId,
        start: Sequence[Contact],
        path_count: int,
        network_bits: int,
        config: DiscoveryConfig,
        thoroughness: Thoroughness | None = None,
    ) -> None:
        self.target = Node(target)
        self._own = own
        self._config = config
        self._nearest_plausible = 1 << max(0, ID_BITS - network_bits - config.closeness_margin_bits)
        self._claims: dict[PeerId, Path] = {}
        self._blame: dict[PeerId, int] = {}
        alpha = max(config.beta, config.alpha // path_count)
        self._thoroughness = thoroughness or Thoroughness()
        self._paths = [
            Path(self.target, alpha, self._thoroughness, config) for _ in range(path_count)
        ]
        for index, contact in enumerate(start):
            path = self._paths[index % path_count]
            path.shortlist.push(Candidate(contact.peer, b"", None, contact))

    @property
    def is_done(self) -> bool:
        """Whether every path is done."""
        return all(path.is_done for path in self._paths)

    @property
    def query_count(self) -> int:
        """Peers queried so far."""
        return len(self._claims)

    @property
    def doubt_at(self) -> int | None:
        """When an open query falls into doubt."""
        times = [at for path in self._paths if (at := path.doubt_at) is not None]
        return min(times, default=None)

    def doubt(self, now_us: int) -> None:
        """Gives up waiting for queries that are open too long."""
        for path in self._paths:
            path.doubt(now_us)

    def next_queries(self, now_us: int) -> list[Candidate]:
        """Whom to introduce or ask now, path by path."""
        return [c for path in self._paths for c in path.next_queries(self._claims, now_us)]

    def candidate(self, peer: PeerId) -> Candidate | None:
        """The open query of a peer."""
        path = self._claims.get(peer)
        return path.open.get(peer) if path is not None else None

    def next_pages(self, now_us: int) -> list[Candidate]:
        """Answerers to be asked for more, as our k nearest reach behind what they have named."""
        answered = sorted(self._answered(), key=lambda c: int(c.long_id ^ self.target.long_id))
        nearest = answered[: self._config.k]
        edge = None
        if len(nearest) == self._config.k:
            edge = nearest[-1].long_id ^ self.target.long_id
        wanted = [
            candidate
            for candidate in nearest[: self._config.beta * len(self._paths)]
            if candidate.horizon is not None
            and (edge is None or candidate.horizon < edge)
            and candidate.pages < self._config.pages_max
        ]
        for candidate in wanted:
            candidate.standing = Standing.ASKED
            candidate.queried_at = now_us
            self._claims[candidate.id].open[candidate.id] = candidate
        return wanted

    def answered(
        self, peer: PeerId, untrusted_pointers: Sequence[bytes], *, has_more: bool = False
    ) -> bool:
        """Takes the (last) answer of a peer; False, and it has failed, where it is absurd."""
        if not self.learnt(peer, untrusted_pointers):
            self.failed(peer)
            return False
        candidate = self._claims[peer].open.pop(peer)
        candidate.horizon = None
        if has_more and untrusted_pointers:
            farthest, _ = split_pointer_untrusted(untrusted_pointers[-1])
            candidate.horizon = to_integer(farthest) ^ self.target.long_id
        candidate.standing = Standing.ANSWERED
        candidate.is_slow = candidate.is_doubtful = False
        return True

    def learnt(self, peer: PeerId, untrusted_pointers: Sequence[bytes]) -> bool:
        """Takes pointers that an open query's peer named; False where they are absurd."""
        position, farthest = self.target.long_id, -1
        shortlist = self._claims[peer].shortlist
        is_heeded = self._blame.get(peer, 0) < self._config.bad_pointers_max
        has_met = shortlist.has_met
        news: list[Candidate] = []
        for pointer in untrusted_pointers:
            named = PeerId(pointer[:PEER_ID_BYTES])
            distance = int.from_bytes(named, "big") ^ position
            if distance <= farthest:
                return False
            farthest = distance
            if has_met(named) or named == self._own or named == peer:
                continue
            if is_heeded and self._is_plausible(distance):
                news.append(Candidate(named, pointer[PEER_ID_BYTES:], peer))
        shortlist.push(news)
        return True

    def failed(self, peer: PeerId) -> None:
        """The peer could not be introduced, or did not answer."""
        path = self._claims.get(peer)
        candidate = path.open.pop(peer, None) if path is not None else None
        if path is None or candidate is None:
            return
        path.shortlist.remove([peer])
        if candidate.standing is Standing.INTRODUCING and candidate.source is not None:
            self._blame_source(candidate.source)

    def closest(self) -> tuple[Contact, ...]:
        """The k nearest that answered, over all paths, nearest first."""
        return tuple(nsmallest(self._config.k, self._answerers(), key=self._distance))

    def holders(self) -> tuple[Contact, ...]:
        """Who shall keep a record: the k nearest, and the k nearest of diverse organisations.

        Where many ids near the key belong to one organisation the second set reaches beyond
        them, so that no organisation can hold a key alone. Where a key is contested, more of
        the region keep it, evenly over its distances, up to `holders_max`.
        """
        ordered = sorted(self._answerers(), key=self._distance)
        chosen = {contact.peer: contact for contact in ordered[: self._config.k]}
        of_org: dict[bytes, int] = {}
        diverse_count = 0
        for contact in ordered:
            of_org[contact.org] = of_org.get(contact.org, 0) + 1
            if of_org[contact.org] <= self._config.contacts_per_org_max:
                chosen[contact.peer] = contact
                diverse_count += 1
            if diverse_count == self._config.k:
                break
        if self._is_contested(ordered):
            within = [c for c in ordered if self._distance(c) <= self._thoroughness.region]
            chosen |= {contact.peer: contact for contact in self._spread(within, len(chosen))}
        return tuple(chosen.values())

    def _is_contested(self, ordered: Sequence[Contact]) -> bool:
        """Whether k peers stand where chance would have put half as many."""
        k = self._config.k
        if len(ordered) < k or not self._thoroughness.region:
            return False
        crowd = self._distance(ordered[k - 1]) * 2 * self._config.region_peers
        return crowd < self._thoroughness.region * k

    def _spread(self, within: Sequence[Contact], chosen_count: int) -> Sequence[Contact]:
        room = self._config.holders_max - chosen_count
        step = max(1, -(-len(within) // max(1, room)))
        return within[step - 1 :: step]

    def _answered(self) -> list[Candidate]:
        return [
            candidate
            for path in self._paths
            for candidate in path.shortlist.walk()
            if candidate.standing is Standing.ANSWERED
        ]

    def _answerers(self) -> list[Contact]:
        return [found.contact for found in self._answered() if found.contact is not None]

    def _distance(self, contact: Contact) -> int:
        return int(contact.long_id ^ self.target.long_id)

    def _is_plausible(self, distance: int) -> bool:
        return distance == 0 or distance >= self._nearest_plausible

    def _blame_source(self, source: PeerId) -> None:
        self._blame[source] = self._blame.get(source, 0) + 1
        if self._blame[source] != self._config.bad_pointers_max:
            return
        for path in self._paths:
            path.shortlist.remove(
                [
                    candidate.id
                    for candidate in path.shortlist.walk()
                    if candidate.source == source and candidate.standing is Standing.KNOWN
                ]
            )
