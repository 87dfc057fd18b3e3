"""Trees: each delta reaches every interested, admissible peer about once, and soon.

Theory of operation (PlumTree: Leitao, Pereira and Rodrigues, Epidemic Broadcast Trees, 2007).
For each namespace a link is *eager* or *lazy*. What was verified here goes on eager links as a
payload and on lazy links as an id in a digest. A second payload of one id makes the link it came
on lazy (`Prune`), so that a tree remains. An id announced and not brought within
`graft_first_us` is asked of its announcers one by one (`Graft`), which makes that link eager: the
tree heals where it broke. A digest that is `optimise_hops` nearer than the payload was moves the
edge. Digests go out always, gathered for `digest_interval_us`.

In a mesh (a small cell) one hop reaches all: own deltas go to everybody, what others wrote is
only announced. In views own deltas also go to the outlooks, peers of other orgs, aside from the
tree: an outlook announces them, and passes the payload on only once the tree brings it too, so
that neither the tree nor its cost changes; where the tree withholds, digests of outlooks heal.

Links to other regions begin lazy and their digests wait longer, so that one payload crosses and
not many. Who took it across is its *gateway* there; of several gateways of one region the
smallest keeps its link eager, the others prune theirs: their payloads come from within.

Nothing inadmissible is sent, announced, or asked for (P7): every envelope and every id that
leaves passes `_may`, and what comes in for a namespace that this node may not hold is blamed.
A link that has spent its bytes gets digests instead, and grafts when it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from hive.protocol.bounded import BoundedMap
from hive.protocol.dissemination.config import TreeConfig
from hive.protocol.dissemination.edges import Link, Trees
from hive.protocol.dissemination.events import (
    Admissible,
    Blamed,
    DeltasStored,
    Place,
    Pushed,
    StoredDelta,
)
from hive.protocol.dissemination.messages import (
    DIGEST_COUNT_MAX,
    GATEWAY_BYTES,
    HOPS_MAX,
    Graft,
    IHave,
    Prune,
    ids_in,
)
from hive.protocol.dissemination.missing import Missing
from hive.protocol.dissemination.parcels import Counts, parcels
from hive.protocol.dissemination.payloads import ANNOUNCED, Arriving, Origin, Payload, Payloads
from hive.protocol.machine import Send
from hive.protocol.messages import PREFIX_COUNT_MAX
from hive.wire.clock import MonotonicUs, Now
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

Out = Send | Blamed
PENDING_MAX = 16_384
"""Pushed ids on their way through ingress; the oldest is taken for one that never came."""


class Views(Protocol):
    """What the trees ask of the partial views."""

    @property
    def is_mesh(self) -> bool:
        """Whether every member of the cell is a neighbour."""

    def is_guest(self, peer: PeerId) -> bool:
        """Whether a link is for digests only."""

    @property
    def outlooks(self) -> tuple[PeerId, ...]:
        """Peers of other orgs to whom own deltas go too."""


class PlumTree:
    """Every tree of one node."""

    def __init__(
        self,
        config: TreeConfig,
        own: PeerId,
        region: str,
        views: Views,
        may: Admissible,
        wants: Callable[[str], bool],
        stream: Stream,
    ) -> None:
        self._config = config
        self._own = own
        self._region = region
        self._views = views
        self._may = may
        self._wants = wants
        self._stream = stream
        self.links: dict[PeerId, Link] = {}
        self.payloads = Payloads(config)
        self.missing = Missing(config)
        self.trees = Trees(config.tree_max)
        self.counts = Counts()
        self.failed: list[PeerId] = []
        self.fresh_count = 0
        self.late_count = 0
        self._arriving: BoundedMap[bytes, Arriving] = BoundedMap(PENDING_MAX)
        self._moved: BoundedMap[str, MonotonicUs] = BoundedMap(config.tree_max)
        self._digests_at: MonotonicUs | None = None
        self._out: list[Out] = []

    @property
    def deadline(self) -> MonotonicUs | None:
        """The next digest or graft."""
        times = (self._digests_at, self.missing.deadline)
        return min((at for at in times if at is not None), default=None)

    def take(self) -> Sequence[Out]:
        """What is to be sent since the last call."""
        out, self._out = self._out, []
        return out

    # Links.

    def linked(self, peer: PeerId, place: Place, now: Now) -> None:
        """A stream is open."""
        if peer in self.links or len(self.links) >= self._config.link_max:
            return
        is_far = place.region != self._region
        burst = self._config.link_burst_bytes
        self.links[peer] = Link(peer, place, is_far, burst, now.monotonic_us)

    def unlinked(self, peer: PeerId) -> None:
        """The stream is gone."""
        self.links.pop(peer, None)
        self.trees.forget(peer)
        self.missing.forget(peer)

    def interested(self, peer: PeerId, prefixes: tuple[str, ...]) -> None:
        """What a neighbour wants."""
        link = self.links.get(peer)
        if link is not None:
            link.prefixes = prefixes[:PREFIX_COUNT_MAX]

    def _is_eager(self, link: Link, namespace: str) -> bool:
        edge = self.trees.of(namespace).get(link.peer)
        return self._begins_eager(link) if edge is None else edge.is_eager

    def _begins_eager(self, link: Link) -> bool:
        return not (link.is_far or self._views.is_mesh or self._views.is_guest(link.peer))

    def _set(self, peer: PeerId, namespace: str, *, is_eager: bool) -> None:
        if peer in self.links:
            self.trees.edge(namespace, peer, is_eager).is_eager = is_eager

    def _is_told(self, link: Link, namespace: str, now_us: MonotonicUs) -> bool:
        """Whether the peer was told lately that the edge is lazy; else it counts as told now."""
        edge = self.trees.edge(namespace, link.peer, self._begins_eager(link))
        last, is_lazy = edge.pruned_at, not edge.is_eager
        if is_lazy and last is not None and now_us < last + self._config.reply_interval_us:
            return True
        edge.is_eager, edge.pruned_at = False, now_us
        return False

    # Payloads that arrive.

    def pushed(self, event: Pushed, now: Now) -> None:
        """Notes who brought what; ingress decides whether it is true."""
        origin = Origin(event.hops, event.is_aside, event.gateway, event.sender)
        link = self.links.get(event.sender)
        if link is not None and link.is_far:
            origin = replace(origin, gateway=self._own[:GATEWAY_BYTES])
        for id in event.ids:
            known = self.payloads.seen(id)
            if known is not None:
                self._twin(id, known, origin, now.monotonic_us)
                continue
            arriving = self._arriving.get(id)
            if arriving is None:
                arriving = Arriving()
                self._arriving.put(id, arriving)
            if len(arriving.ways) < PREFIX_COUNT_MAX:
                arriving.ways.setdefault(event.sender, origin)

    def _twin(
        self, id: bytes, known: tuple[str, Origin], twin: Origin, now_us: MonotonicUs
    ) -> None:
        """A second payload: a duplicate, or the tree's after one that came aside from it."""
        self.counts.duplicates += 1
        if twin.is_aside or twin.source is None:
            return
        payload = self.payloads.get(id)
        if not known[1].is_aside:
            self._duplicate(id, known, twin, now_us)
        elif payload is not None:
            self.payloads.came_from(id, twin)
            late = replace(payload, origin=twin)
            self._spread([(late, Arriving({twin.source: twin}))], now_us)

    def _duplicate(
        self, id: bytes, known: tuple[str, Origin], twin: Origin, now_us: MonotonicUs
    ) -> None:
        """A second payload along the tree: one of the two links becomes lazy."""
        namespace, first = known
        if twin.source is None or twin.source == first.source:
            return
        loser = twin.source
        if first.source is not None and self._is_better(twin, first):
            loser = first.source
            self.payloads.came_from(id, twin)
            self._set(twin.source, namespace, is_eager=True)
        self._prune(loser, namespace, now_us)

    def _is_better(self, twin: Origin, first: Origin) -> bool:
        """Whether the second way is to be kept: from the author itself in a mesh, or near."""
        if self._views.is_mesh:
            return twin.hops == 1 and first.hops > 1
        if twin.source not in self.links or first.source not in self.links:
            return False
        is_from_within = not self.links[twin.source].is_far and self.links[first.source].is_far
        return is_from_within and twin.gateway < first.gateway

    def _prune(self, peer: PeerId, namespace: str, now_us: MonotonicUs) -> None:
        link = self.links.get(peer)
        if link is None or self._is_told(link, namespace, now_us):
            return
        self.counts.prunes += 1
        self._send_allowed(link, namespace, Prune(namespace).to_body())

    # Payloads that passed ingress.

    def stored(self, event: DeltasStored, now: Now) -> None:
        """Verified and durable deltas go on: payloads to eager links, ids to lazy ones."""
        groups: dict[tuple[str, int, bool, bytes], list[tuple[Payload, Arriving]]] = {}
        self.payloads.expire(now.monotonic_us)
        for delta in event.deltas:
            if delta.id in self.payloads:
                continue
            arriving = self._arriving.pop(delta.id) or Arriving()
            origin = self._origin(event.source, arriving, delta, now)
            payload = Payload(
                delta.id,
                delta.namespace,
                delta.residency,
                delta.envelope,
                origin,
                now.monotonic_us,
            )
            self.payloads.put(payload)
            self._settle(payload, arriving, now)
            key = (delta.namespace, origin.hops, origin.is_aside, origin.gateway)
            groups.setdefault(key, []).append((payload, arriving))
        for group in groups.values():
            self._spread(group, now.monotonic_us)

    def _origin(
        self, source: PeerId | None, arriving: Arriving, delta: StoredDelta, now: Now
    ) -> Origin:
        if source is None:
            return Origin(0, False, b"", None)
        way = arriving.ways.get(source)
        if way is not None:
            self.fresh_count += 1
            tree = (other for other in arriving.ways.values() if not other.is_aside)
            return next(tree, way) if way.is_aside else way
        is_recent = now.wall_us - delta.made_at_us < self._config.cache_us
        self.late_count += is_recent
        return Origin(HOPS_MAX if is_recent else HOPS_MAX + 1, False, b"", source)

    def _settle(self, payload: Payload, arriving: Arriving, now: Now) -> None:
        """Announcers are holders; the bringer's link is eager, other bringers' are not."""
        lack = self.missing.came(payload.id)
        if lack is not None:
            for announcer in lack.announcers:
                arriving.ways.setdefault(announcer, ANNOUNCED)
            if lack.asked is None or payload.origin.source != lack.asked:
                self.missing.came_late(now.monotonic_us - lack.announced_at)
        origin = payload.origin
        if origin.source in arriving.ways and origin.source in self.links:
            self.links[origin.source].unanswered = 0
            if not origin.is_aside and not self._views.is_mesh:
                self._set(origin.source, payload.namespace, is_eager=True)
            known = (payload.namespace, origin)
            for twin in list(arriving.ways.values()):
                if twin.source is not None and twin.source != origin.source:
                    self._twin(payload.id, known, twin, now.monotonic_us)

    def _spread(self, group: list[tuple[Payload, Arriving]], now_us: MonotonicUs) -> None:
        """One set of messages for all links that lack the same of it."""
        namespace, origin = group[0][0].namespace, group[0][0].origin
        if origin.hops > HOPS_MAX:
            return
        is_own = origin.source is None
        bodies: dict[tuple[bool, tuple[int, ...]], list[tuple[int, int, bytes]]] = {}
        outlooks = self._views.outlooks if is_own and not self._views.is_mesh else ()
        for link in list(self.links.values()):
            if not link.wants(namespace):
                continue
            lacks = tuple(
                at for at, (_, arriving) in enumerate(group) if link.peer not in arriving.ways
            )
            lacks = self._admissible(link, group, lacks)
            if not lacks or link.peer == origin.source:
                continue
            is_aside = link.peer in outlooks
            if not is_aside and not self._pays(link, namespace, origin):
                self._announce(link, [group[at][0] for at in lacks], now_us)
                continue
            key = (is_aside, lacks)
            if key not in bodies:
                bodies[key] = parcels([group[at][0] for at in lacks], is_aside, self._config)
            self._carry(link, bodies[key], [group[at][0] for at in lacks], now_us)

    def _pays(self, link: Link, namespace: str, origin: Origin) -> bool:
        """Whether the link gets the payload now."""
        if origin.hops >= HOPS_MAX or origin.is_aside:
            return False
        if origin.source is None and self._views.is_mesh:
            return True
        return self._is_eager(link, namespace)

    def _admissible(
        self, link: Link, group: list[tuple[Payload, Arriving]], lacks: tuple[int, ...]
    ) -> tuple[int, ...]:
        allowed = tuple(
            at
            for at in lacks
            if self._may(link.peer, group[at][0].namespace, group[at][0].residency)
        )
        self.counts.withheld += len(lacks) - len(allowed)
        return allowed

    def _carry(
        self,
        link: Link,
        bodies: list[tuple[int, int, bytes]],
        payloads: list[Payload],
        now_us: MonotonicUs,
    ) -> None:
        """The first messages that the link affords; ids of the others."""
        sent = 0
        for count, size, body in bodies:
            if not link.affords(size, self._config, now_us):
                self.counts.deferred += len(payloads) - sent
                self._announce(link, payloads[sent:], now_us)
                return
            sent += count
            self.counts.pushed += count
            self._out.append(Send(link.peer, body))

    # Digests.

    def _announce(self, link: Link, payloads: Iterable[Payload], now_us: MonotonicUs) -> None:
        for payload in payloads:
            if link.digest_count >= self._config.digest_ids_max:
                self.counts.digests_dropped += 1
                continue
            ids = link.digests.setdefault(payload.namespace, {})
            if payload.id not in ids:
                origin = payload.origin
                # Who has it past the tree may hang below who hears this: no reason to move.
                ids[payload.id] = HOPS_MAX if origin.is_aside else min(origin.hops, HOPS_MAX)
                link.digest_count += 1
        if self._digests_at is None:
            self._digests_at = MonotonicUs(now_us + self._config.gather_us(self._views.is_mesh))

    def ticked(self, now: Now) -> None:
        """Digests and grafts that are due."""
        now_us = now.monotonic_us
        if self._digests_at is not None and now_us >= self._digests_at:
            self._digests_at = None
            for link in self.links.values():
                self._flush(link)
        self._graft_due(now_us)

    def _flush(self, link: Link) -> None:
        waiting, link.digests, link.digest_count = link.digests, {}, 0
        for namespace, ids in waiting.items():
            entries = list(ids.items())
            for first in range(0, len(entries), DIGEST_COUNT_MAX):
                page = entries[first : first + DIGEST_COUNT_MAX]
                run = b"".join(id for id, _ in page)
                hops = bytes(hops for _, hops in page)
                self.counts.announced += len(page)
                self._send_allowed(link, namespace, IHave(namespace, run, hops).to_body())

    def _send_allowed(self, link: Link, namespace: str, body: bytes) -> None:
        """What names a namespace goes only to who may hold it, as of this moment."""
        if self._may(link.peer, namespace, ()):
            self._out.append(Send(link.peer, body))
        else:
            self.counts.withheld += 1

    def _is_ours(self, sender: PeerId, namespace: str) -> bool:
        """Whether a namespace said to us may be: else the sender named what it must not."""
        if self._may(self._own, namespace, ()):
            return True
        self.counts.blamed += 1
        self._out.append(Blamed(sender, "a namespace that this node may not hold was named"))
        return False

    def announced(self, sender: PeerId, digest: IHave, now: Now) -> None:
        """A neighbour has these; what is not here in time is grafted."""
        link = self.links.get(sender)
        if link is None or not self._is_ours(sender, digest.namespace):
            return
        if not self._wants(digest.namespace) or not self._may(sender, digest.namespace, ()):
            return
        now_us = now.monotonic_us
        wait_us = max(self.missing.patience_us, self._config.wait_us(self._views.is_mesh))
        if link.is_far:
            wait_us += self._stream.below(self._config.crossing_wait_us + 1)
        for id, hops in zip(ids_in(digest.ids), digest.hops, strict=False):
            known = self.payloads.seen(id)
            if known is None:
                self.missing.announced(id, digest.namespace, sender, hops, now_us, wait_us)
            elif known[0] == digest.namespace:
                self._consider(link, known[0], known[1], hops, now_us)

    def _consider(
        self, link: Link, namespace: str, origin: Origin, hops: int, now_us: MonotonicUs
    ) -> None:
        """Optimisation: a much nearer announcer takes the place of who brought it."""
        parent = self.links.get(origin.source) if origin.source is not None else None
        if parent is None or parent is link or origin.is_aside or origin.hops >= HOPS_MAX:
            return
        is_nearer = hops + 1 + self._config.optimise_hops <= origin.hops
        if not is_nearer or link.is_far or parent.is_far or self._views.is_mesh:
            return
        last = self._moved.get(namespace)
        is_settled = last is None or now_us >= last + self._config.reply_interval_us
        if self._is_eager(link, namespace) or not is_settled:
            return
        self._moved.put(namespace, now_us)
        self.counts.moves += 1
        self._set(link.peer, namespace, is_eager=True)
        self._send_allowed(link, namespace, Graft(namespace, b"").to_body())
        self._prune(parent.peer, namespace, now_us)

    # Grafts and prunes.

    def _graft_due(self, now_us: MonotonicUs) -> None:
        wanted: dict[tuple[PeerId, str], list[bytes]] = {}
        for ask in self.missing.due(now_us):
            if ask.failed is not None:
                self._unanswered(ask.failed)
            if ask.announcer is None or ask.id in self._arriving or ask.id in self.payloads:
                continue
            wanted.setdefault((ask.announcer, ask.namespace), []).append(ask.id)
        for (peer, namespace), ids in wanted.items():
            link = self.links.get(peer)
            if link is None:
                continue
            self._set(peer, namespace, is_eager=not self._views.is_mesh)
            for first in range(0, len(ids), DIGEST_COUNT_MAX):
                page = ids[first : first + DIGEST_COUNT_MAX]
                self.counts.grafts += len(page)
                self._send_allowed(link, namespace, Graft(namespace, b"".join(page)).to_body())

    def _unanswered(self, peer: PeerId) -> None:
        link = self.links.get(peer)
        if link is None:
            return
        link.unanswered += 1
        if link.unanswered == self._config.failure_max:
            self.failed.append(peer)

    def grafted(self, sender: PeerId, graft: Graft, now: Now) -> None:
        """A neighbour wants the edge, and what it lacks of what was announced to it."""
        link = self.links.get(sender)
        if link is None or not self._is_ours(sender, graft.namespace):
            return
        if not self._may(sender, graft.namespace, ()):
            self.counts.withheld += 1
            return
        self._set(sender, graft.namespace, is_eager=not self._views.is_mesh)
        groups: dict[tuple[int, bytes], list[Payload]] = {}
        for id in ids_in(graft.ids):
            payload = self.payloads.get(id)
            if payload is None or payload.namespace != graft.namespace:
                continue
            if not self._may(sender, payload.namespace, payload.residency):
                self.counts.withheld += 1
                continue
            key = (payload.origin.hops, payload.origin.gateway)
            groups.setdefault(key, []).append(payload)
        for payloads in groups.values():
            bodies = parcels(payloads, False, self._config)
            self._carry(link, bodies, payloads, now.monotonic_us)

    def pruned(self, sender: PeerId, prune: Prune) -> None:
        """A neighbour gets this namespace from elsewhere."""
        if sender in self.links and self._is_ours(sender, prune.namespace):
            self._set(sender, prune.namespace, is_eager=False)
