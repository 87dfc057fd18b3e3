"""A node's metrics in the text format of Prometheus, one family a question, every machine.

Names are `hive_<machine>_<what>` with their unit; what only grows ends in `_total`. Labels come
from fixed vocabularies (steps, reasons, states), never from peers, so their number is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from hive.node import clocks
from hive.node.node import Node
from hive.protocol.freshness import NEVER_US
from hive.protocol.refusals import REASONS
from hive.transport.events import Drop
from hive.transport.streams import StreamEnd

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `kind` is counter or gauge; samples by their labels."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[Labels, int | float], ...]

    def text(self) -> str:
        """Its lines."""
        lines = [f"# HELP {self.name} {_help(self.help)}", f"# TYPE {self.name} {self.kind}"]
        lines += [f"{self.name}{_labels(labels)} {value}" for labels, value in self.samples]
        return "\n".join(lines) + "\n"


def exposition(node: Node) -> str:
    """Every family of every machine."""
    parts = (_ingress, _membership, _discovery, _replication, _trust, _transport, _store)
    return "".join(family.text() for part in parts for family in part(node))


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = ('{}="{}"'.format(name, _help(value).replace('"', r"\"")) for name, value in labels)
    return "{" + ",".join(pairs) + "}"


def _one(name: str, kind: str, help: str, value: int | float) -> Family:
    return Family(name, kind, help, (((), value),))


def _by(name: str, kind: str, help: str, label: str, counts: Mapping[str, int]) -> Family:
    samples = (((((label, key),)), count) for key, count in sorted(counts.items()))
    return Family(name, kind, help, tuple(samples))


def _ingress(node: Node) -> Iterator[Family]:
    metrics = node.metrics
    refused = tuple(
        ((("step", str(reason.step)), ("reason", code)), metrics.refused[code])
        for code, reason in REASONS.items()
    )
    yield Family(
        "hive_ingress_refused_total",
        "counter",
        "What ingress refused, by step and reason.",
        refused,
    )
    admitted = {name: metrics.counts[f"deltas_admitted_{name}"] for name in ("own", "peers")}
    yield _by(
        "hive_ingress_admitted_total", "counter", "Deltas admitted, by origin.", "origin", admitted
    )
    waiting = len(node.peer.intake.waiting)
    yield _one("hive_ingress_waiting", "gauge", "Arrivals that wait for a missing piece.", waiting)
    forks = len(node.peer.core.quarantine.proofs())
    yield _one("hive_ingress_forks", "gauge", "Proven forks kept.", forks)


def _membership(node: Node) -> Iterator[Family]:
    swim, metrics = node.peer.hierarchy.cell, node.metrics
    states = ("alive", "suspect", "dead", "left")
    found = Counter(dict.fromkeys(states, 0))
    found.update(member.standing.name.lower() for member in swim.view)
    yield _by("hive_membership_members", "gauge", "Members, by state.", "state", found)
    told = {name: metrics.counts[f"members_{name}"] for name in (*states, "reaped")}
    yield _by("hive_membership_news_total", "counter", "Changes of state.", "state", told)
    yield _by(
        "hive_membership_dropped_total",
        "counter",
        "What membership dropped, by reason.",
        "reason",
        swim.tally.as_dict(),
    )
    health = swim.health_score
    yield _one("hive_membership_health", "gauge", "Local health; 0 is well.", health)


def _discovery(node: Node) -> Iterator[Family]:
    discovery = node.peer.discovery
    yield _one("hive_discovery_contacts", "gauge", "Contacts in the table.", len(discovery.table))
    finished = discovery.finished_count
    yield _one(
        "hive_discovery_errands_total", "counter", "Lookups, reads and writes ended.", finished
    )
    yield _by(
        "hive_discovery_events_total",
        "counter",
        "What went wrong or was repeated.",
        "event",
        asdict(discovery.counts),
    )


def _replication(node: Node) -> Iterator[Family]:
    replication = node.peer.replication
    yield _by(
        "hive_dissemination_events_total",
        "counter",
        "What trees carried, pruned, grafted and dropped.",
        "event",
        replication.push_counts,
    )
    yield _by(
        "hive_reconciliation_events_total",
        "counter",
        "What was refused, dropped or timed out.",
        "event",
        replication.reconciler.counters,
    )
    received = node.metrics.counts["deltas_reconciled"]
    yield _one(
        "hive_reconciliation_received_total", "counter", "Deltas that comparing brought.", received
    )


def _trust(node: Node) -> Iterator[Family]:
    core, counts = node.peer.core, node.metrics.counts
    outcomes = {name: counts[f"records_{name}"] for name in ("admitted", "refused")}
    yield _by("hive_trust_records_total", "counter", "Trust records heard.", "outcome", outcomes)
    known = core.trust.revocation_index
    yield _one("hive_trust_revocations", "gauge", "Revocations known.", known)
    age_us = core.freshness.age_us(clocks.read())
    age_s = -1.0 if age_us >= NEVER_US else age_us / 1e6
    yield _one(
        "hive_trust_freshness_seconds", "gauge", "Age of what is known of revocations.", age_s
    )


def _transport(node: Node) -> Iterator[Family]:
    datagrams, links = node.driver.datagrams, node.driver.links
    if datagrams is not None:
        drops = datagrams.machine.drops
        yield _by(
            "hive_transport_datagrams_total",
            "counter",
            "Datagrams, by direction.",
            "direction",
            {"in": datagrams.heard_count, "out": datagrams.sent_count},
        )
        yield _by(
            "hive_transport_datagram_bytes_total",
            "counter",
            "Bytes of datagrams, by direction.",
            "direction",
            {"in": datagrams.heard_bytes, "out": datagrams.sent_bytes},
        )
        yield _by(
            "hive_transport_datagram_drops_total",
            "counter",
            "Datagrams dropped, by reason.",
            "reason",
            {reason.value: drops[reason] for reason in Drop},
        )
    if links is not None:
        yield _one("hive_transport_streams", "gauge", "Open streams to peers.", len(links.peers))
        yield _by(
            "hive_transport_stream_drops_total",
            "counter",
            "Frames and streams given up, by reason.",
            "reason",
            links.drops,
        )
    yield _by(
        "hive_transport_stream_ends_total",
        "counter",
        "Accepted streams that ended early, by reason.",
        "reason",
        {end.value: node.streams.ends[end] for end in StreamEnd},
    )


def _store(node: Node) -> Iterator[Family]:
    usage = node.store.usage()
    bytes_by = {"used": usage.bytes_used, "max": usage.bytes_max}
    yield _by("hive_store_bytes", "gauge", "The store's file and its cap.", "what", bytes_by)
    yield _one("hive_store_rows_total", "counter", "Rows ever written.", node.store.last_row())
    spaces: Iterable[str] = node.store.namespaces()
    yield _one("hive_store_namespaces", "gauge", "Namespaces held.", len(tuple(spaces)))
