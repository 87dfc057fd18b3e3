"""What a node says of itself: status, peers, metrics, and the doctor's findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from hive.memory.delta import Kind
from hive.memory.fork import ForkProof
from hive.node import clocks
from hive.node.node import Node
from hive.node.renewal import is_ending, standing
from hive.node.views import View
from hive.protocol import refusals
from hive.protocol.core import Core
from hive.protocol.freshness import NEVER_US
from hive.protocol.reconciliation.digests import replica_digest
from hive.protocol.refusals import Reason
from hive.store.consistency import check
from hive.transport.addresses import format_address
from hive.trust.links import DATED
from hive.trust.records import AgentRecord, IssuerRecord, NodeRecord, OrgRecord, RootRecord
from hive.wire.ids import RecordId

DAY_MS: Final = 86_400_000


def status(node: Node) -> View:
    """How the node is."""
    core, now = node.peer.core, clocks.read()
    usage, root = node.store.usage(), core.trust.root
    age_us = core.freshness.age_us(now)
    own = core.trust.signed(core.own.record)
    record = own.record if own is not None else None
    return {
        "node": {
            "name": core.own.name,
            "peer": core.own.peer.hex(),
            "region": core.own.region,
            "org": _org_name(core),
            "custody_class": node.keyring.custody_class,
            "record_ends_ms": record.not_after_ms if isinstance(record, NodeRecord) else 0,
            "address": format_address(node.address) if node.address else "",
            "is_copy": node.is_copy,
            "issues": node.desk.is_open,
        },
        "federation": {
            "id": core.federation.hex(),
            "root": root.record.number if root else None,
            "revocations": core.trust.revocation_index,
        },
        "freshness": {
            "age_ms": None if age_us >= NEVER_US else age_us // 1_000,
            "is_fresh": core.freshness.is_fresh(now),
            "is_clock_ahead": core.freshness.is_clock_ahead(now),
        },
        "implementations": {
            "step 7 (epochs and lease)": node.peer.view.epochs.name,
            "step 8 (freshness)": "statements of the issuers that the root names, no rail",
            "step 12 (law)": node.peer.view.law.name,
            "step 13 (durability)": node.peer.view.durability.name,
            "time": "attested by admitting node",
        },
        "store": {
            "bytes_used": usage.bytes_used,
            "bytes_max": usage.bytes_max,
            "is_warning": usage.is_warning,
            "last_row": node.store.last_row(),
            "namespaces": list(node.store.namespaces()),
        },
        "recall": {"row": node.projector.projection.last_row},
        "peers": {"connected": len(core.connected), "known": len(node.peer.introductions.known)},
        "forks": len(core.quarantine.proofs()),
        "replica_digest": replica_digest(node.store, node.store.namespaces()).hex(),
    }


def _org_name(core: Core) -> str:
    chain = core.trust.chain_of(core.own.record)
    return chain.org_name if chain else ""


def peers(node: Node) -> list[View]:
    """Every contact with its state."""
    budgets, now_us = node.peer.core.budgets, clocks.read().monotonic_us
    listed = []
    for peer, known in node.peer.introductions.known.items():
        state = node.peer.hierarchy.standing(peer)
        listed.append(
            {
                "peer": peer.hex(),
                "name": known.chain.name,
                "org_name": known.chain.org_name,
                "region": known.chain.region,
                "state": getattr(state, "name", "unknown").lower(),
                "address": format_address((known.endpoint.host, known.endpoint.port)),
                "version": known.version,
                "stream": peer in node.peer.core.connected,
                "health_permille": budgets.health(peer),
                "is_shunned": budgets.is_shunned(peer, now_us),
            }
        )
    return listed


def metrics(node: Node) -> View:
    """Counters of every part."""
    found: dict[str, Any] = node.metrics.snapshot()
    found["reconciliation"] = dict(node.peer.replication.reconciler.counters)
    found["waiting"] = len(node.peer.intake.waiting)
    found["discovery"] = {
        "errands_finished": node.peer.discovery.finished_count,
        **asdict(node.peer.discovery.counts),
    }
    if node.driver.links is not None:
        found["stream_drops"] = dict(node.driver.links.drops)
    if node.driver.datagrams is not None:
        drops = node.driver.datagrams.machine.drops
        found["datagram_drops"] = {reason.value: count for reason, count in drops.items()}
    found["stream_ends"] = {end.value: count for end, count in node.streams.ends.items()}
    return found


def fork_view(core: Core, proof: ForkProof) -> View:
    """A proven fork, for people."""
    header = proof.first.header
    leaf = core.trust.chain_of(RecordId(header.leaf))
    return {
        "author": header.author.hex(),
        "author_name": leaf.name if leaf else "",
        "org_name": leaf.org_name if leaf else "",
        "namespace": header.namespace,
        "sequence": header.sequence,
        "first": proof.first.id.hex(),
        "second": proof.second.id.hex(),
        "kind": Kind(header.kind).name.lower(),
    }


def doctor(node: Node) -> View:
    """Every finding, worst first; `refuses_writes` where this node admits nothing now."""
    findings = [
        *_write_findings(node),
        *_store_findings(node),
        *ending_findings(node.peer.core, clocks.read().wall_us // 1_000),
        *_other_findings(node),
    ]
    refuses = any(finding["severity"] == "error" for finding in findings)
    return {"refuses_writes": refuses, "findings": findings}


def _finding(severity: str, reason: Reason, detail: str) -> View:
    return {
        "code": reason.code,
        "step": reason.step,
        "severity": severity,
        "cause": reason.cause,
        "remedy": reason.remedy,
        "detail": detail,
    }


def _write_findings(node: Node) -> list[View]:
    core, now = node.peer.core, clocks.read()
    found = []
    if core.freshness.is_clock_ahead(now):
        found.append(_finding("error", refusals.CLOCK_AHEAD, ""))
    if not core.freshness.is_fresh(now):
        age_us = core.freshness.age_us(now)
        detail = "none heard" if age_us >= NEVER_US else f"{age_us // 1_000_000} s old"
        found.append(_finding("error", refusals.NOT_FRESH, detail))
    if core.live_chain(core.own.record, now) is None:
        found.append(_finding("error", refusals.WRITER_NOT_VALID, core.own.name))
    for inception, record in node.peer.recordkeeping.agents.items():
        signed, chain = core.trust.signed(record), core.live_chain(record, now)
        name = signed.record.name if signed and isinstance(signed.record, AgentRecord) else ""
        if chain is None:
            found.append(_finding("warning", refusals.LEAF_NOT_VALID, name))
        elif core.quarantine.has_author(inception, chain.generation):
            found.append(_finding("error", refusals.QUARANTINED, name))
    if node.is_copy:
        found.append(
            {
                "code": "copied_store",
                "step": 11,
                "severity": "error",
                "cause": "This store was restored or copied; the original may have signed more.",
                "remedy": "Run `hive up` where your organisation's issuer is reachable.",
                "detail": "",
            }
        )
    return found


_REMEDIES: Final[Mapping[str, str]] = {
    RootRecord.LABEL: "Let its holders sign its successor: `hive found succeed`.",
    OrgRecord.LABEL: "Let the root's holders renew it: `hive org propose --renew NAME`.",
    IssuerRecord.LABEL: "Renew it with the founder's keys: `hive org renew --dir DIR`.",
}


def ending_findings(core: Core, now_ms: int) -> list[View]:
    """What this node rests on and has less than a quarter of its life left."""
    found = []
    for signed in standing(core.trust, core.own.record):
        record = signed.record
        if not isinstance(record, DATED) or not is_ending(record, now_ms):
            continue
        remedy = _REMEDIES[record.LABEL].replace("NAME", getattr(record, "name", ""))
        days = (record.not_after_ms - now_ms) // DAY_MS
        found.append(
            {
                "code": f"{record.LABEL}_ending",
                "step": 6,
                "severity": "warning",
                "cause": "Everything below this record ends with it.",
                "remedy": remedy,
                "detail": f"{days} days left" if days >= 0 else "it ended",
            }
        )
    return found


def _store_findings(node: Node) -> list[View]:
    usage, found = node.store.usage(), []
    if usage.bytes_used >= usage.bytes_max:
        found.append(_finding("error", refusals.STORE_FULL, f"{usage.bytes_used} bytes used"))
    elif usage.is_warning:
        detail = f"{usage.bytes_used * 100 // usage.bytes_max} % used"
        found.append(_finding("warning", refusals.STORE_FULL, detail))
    found += [
        {
            "code": "inconsistent",
            "step": 13,
            "severity": "error",
            "cause": f"The table {each.table} disagrees with the log.",
            "remedy": "Stop the node and restore the store from a verified backup.",
            "detail": each.text,
        }
        for each in check(node.store)[:10]
    ]
    return found


def _other_findings(node: Node) -> list[View]:
    found = []
    for code, reason in refusals.REASONS.items():
        count = node.metrics.refused[code]
        if count and reason.fault is not refusals.Fault.NOBODY:
            found.append(_finding("info", reason, f"{count} times since this process began"))
    return found
