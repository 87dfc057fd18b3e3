"""Every interval and bound of dissemination: one config for views, one for trees."""

from __future__ import annotations

from dataclasses import dataclass, field

from hive.errors import ConfigError
from hive.wire.clock import MILLISECOND_US, SECOND_US

MEBIBYTE = 1_024 * 1_024


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewConfig:
    """The bounds of one partial view (HyParView, Leitao et al. 2007, section 4)."""

    active_max: int = 5
    """Neighbours that deltas are passed to; more is sturdier and costs duplicates. 3–8."""
    passive_max: int = 30
    """Peers kept to replace a lost neighbour; more survives larger failures. 10–100."""
    mesh_max: int = 8
    """Up to so many members everybody is everybody's neighbour and one hop reaches all. 0–16."""
    own_choice_min: int = 2
    """Active places that requests of others never take: what a take-over cannot reach. 1–4."""
    outlook_count: int = 2
    """Further neighbours of other orgs, chosen here, lazily linked, changed each shuffle. 0–4."""
    guest_max: int = 8
    """Peers that chose this node as an outlook; further ones are declined. 2–32."""
    join_walk_hops: int = 6
    """Steps of a newcomer's walk until somebody takes it as a neighbour (ARWL)."""
    passive_walk_hops: int = 3
    """Steps left at which a walk leaves the newcomer in a passive view (PRWL)."""
    shuffle_active_count: int = 3
    """Active peers named in a shuffle."""
    shuffle_passive_count: int = 4
    """Passive peers named in a shuffle."""
    shuffle_interval_us: int = 60 * SECOND_US
    """Between two shuffles, and two changes of outlooks. 10–300 s."""
    fill_interval_us: int = 500 * MILLISECOND_US
    """Between two looks at whether places are free. 0.1–5 s."""
    fill_rest_us: int = 60 * SECOND_US
    """The longest wait between such looks where everybody asked was full; a place that becomes
    free is filled at once. More is quieter. 10–300 s."""
    request_timeout_us: int = 500 * MILLISECOND_US
    """A neighbour request unanswered by then is asked of another."""
    link_timeout_us: int = 10 * SECOND_US
    """A neighbour whose stream is not open by then is replaced."""
    shun_us: int = 120 * SECOND_US
    """How long a neighbour that failed is not taken again."""
    member_max: int = 1_024
    """Members known to a view; at least a cell (512). The newcomer beyond it is not counted."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < (0 if name in ("mesh_max", "outlook_count") else 1):
                raise ConfigError(f"{name} is too small")
        if self.fill_rest_us < self.fill_interval_us:
            raise ConfigError("fill_rest_us must not be below fill_interval_us")
        if self.own_choice_min >= self.active_max:
            raise ConfigError("own_choice_min must leave an active place to others")
        if self.passive_walk_hops > self.join_walk_hops:
            raise ConfigError("passive_walk_hops must not exceed join_walk_hops")

    @classmethod
    def for_ring(cls) -> ViewConfig:
        """Between super-peers: six neighbours, never a mesh."""
        return cls(active_max=6, mesh_max=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeConfig:
    """The bounds of the trees (PlumTree, Leitao et al. 2007, section 3)."""

    graft_first_us: int = 80 * MILLISECOND_US
    """From a digest to the first graft; less repairs sooner, and grafts what was on its way."""
    graft_next_us: int = 40 * MILLISECOND_US
    """Until the next announcer is asked."""
    graft_longest_us: int = 5 * SECOND_US
    """Payloads that come later than their digests, of themselves, raise the first wait up to
    here: where everything is slow, grafts would only send it twice."""
    mesh_graft_us: int = SECOND_US
    """The first wait in a mesh, whose payloads come straight from their authors."""
    mesh_digest_interval_us: int = 250 * MILLISECOND_US
    """As `digest_interval_us`, in a mesh."""
    crossing_wait_us: int = 200 * MILLISECOND_US
    """How much longer (at random below it) a digest from another region waits, so that one graft
    and not many fetches a delta across; more saves copies, less saves time."""
    digest_interval_us: int = 20 * MILLISECOND_US
    """Ids gathered into one digest; more saves messages and delays repair. 1–100 ms."""
    digest_ids_max: int = 4_096
    """Ids waiting for one peer; beyond it the oldest are dropped, counted, reconciled."""
    optimise_hops: int = 7
    """A digest this many hops nearer than the payload came moves the edge; less gives shorter ways
    to one author and breaks those of others. 5–20."""
    reply_interval_us: int = SECOND_US
    """Between two prunes of an edge that is lazy already, and two moves of edges of one tree."""
    cache_us: int = 30 * SECOND_US
    """How long a payload answers grafts; what is asked later, reconciliation brings."""
    cache_bytes_max: int = 32 * MEBIBYTE
    """Payloads kept for grafts, together."""
    seen_max: int = 65_536
    """Ids remembered; some 200 B each. A forgotten one costs a duplicate. 2^10–2^20."""
    missing_max: int = 16_384
    """Announced ids waited for; further ones are left to reconciliation."""
    tree_max: int = 1_024
    """Namespaces with a tree of their own; the longest unused begins again."""
    failure_max: int = 8
    """Grafts in a row that a neighbour leaves unanswered before it is replaced. 2–64."""
    late_min: int = 8
    """Deltas in one shuffle interval that only reconciliation brought, before neighbours are
    suspected of withholding."""

    message_bytes_max: int = MEBIBYTE
    """Envelopes in one message; one larger delta still goes alone. Must fit a frame."""
    link_burst_bytes: int = 8 * MEBIBYTE
    """What one neighbour may be sent at once; beyond it only digests go, and it grafts."""
    link_refill_bytes_per_s: int = 8 * MEBIBYTE
    """Refill of that budget; above what the slowest link carries it only fills its outbox."""
    link_max: int = 1_024
    """Neighbours; a newcomer beyond it is left to reconciliation."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < (0 if name == "crossing_wait_us" else 1):
                raise ConfigError(f"{name} must be at least 1")
        if self.graft_longest_us < max(self.graft_first_us, self.mesh_graft_us):
            raise ConfigError("graft_longest_us must be at least the first wait")
        if self.link_burst_bytes < self.message_bytes_max:
            raise ConfigError("link_burst_bytes must cover one message")

    def wait_us(self, is_mesh: bool) -> int:
        """From a digest to the first graft, before anything was seen to come late."""
        return self.mesh_graft_us if is_mesh else self.graft_first_us

    def gather_us(self, is_mesh: bool) -> int:
        """How long ids are gathered into one digest."""
        return self.mesh_digest_interval_us if is_mesh else self.digest_interval_us


@dataclass(frozen=True, kw_only=True, slots=True)
class DisseminationConfig:
    """Views and trees of one node."""

    cell: ViewConfig = field(default_factory=ViewConfig)
    ring: ViewConfig = field(default_factory=ViewConfig.for_ring)
    tree: TreeConfig = field(default_factory=TreeConfig)

    @classmethod
    def for_lan(cls) -> DisseminationConfig:
        """One site: round trips of a millisecond."""
        return cls()

    @classmethod
    def for_internet(cls) -> DisseminationConfig:
        """Round trips of up to some hundred milliseconds, links of some ten Mbit/s."""
        return cls(
            cell=ViewConfig(request_timeout_us=2 * SECOND_US, link_timeout_us=20 * SECOND_US),
            ring=ViewConfig(
                active_max=6,
                mesh_max=0,
                request_timeout_us=2 * SECOND_US,
                link_timeout_us=20 * SECOND_US,
            ),
            tree=TreeConfig(
                graft_first_us=500 * MILLISECOND_US,
                graft_next_us=300 * MILLISECOND_US,
                link_burst_bytes=4 * MEBIBYTE,
                link_refill_bytes_per_s=2 * MEBIBYTE,
            ),
        )

    @classmethod
    def for_simulation(cls) -> DisseminationConfig:
        """As on a LAN, with shuffles often enough for short virtual times."""
        return cls(cell=ViewConfig(shuffle_interval_us=10 * SECOND_US))
