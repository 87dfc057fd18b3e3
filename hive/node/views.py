"""What users see of deltas, peers and records: plain values, ids in hex, times in milliseconds."""

from __future__ import annotations

from typing import Any

from hive.errors import MalformedFrame
from hive.memory.bodies import Body, MemoryBody, SupersedeBody, parse_body_untrusted
from hive.memory.delta import Delta, Kind
from hive.memory.log import Held
from hive.memory.receipt import parse_receipt_untrusted
from hive.protocol.core import Core
from hive.trust.chain import Chain
from hive.trust.envelope import Signed
from hive.trust.records import RootRecord
from hive.wire.ids import RecordId
from hive.wire.schema import Record

View = dict[str, Any]


def body_of(delta: Delta) -> Body | None:
    """The decoded body; None where it is missing, forgotten or means nothing."""
    if not delta.body:
        return None
    try:
        return parse_body_untrusted(delta.header.kind, delta.body)
    except MalformedFrame:
        return None


def text_of(delta: Delta) -> str:
    """The text of a memory; "" for what has none."""
    body = body_of(delta)
    return body.text if isinstance(body, MemoryBody | SupersedeBody) else ""


def admitted_at_ms(delta: Delta) -> int:
    """When the admitting node says that it admitted the delta."""
    return parse_receipt_untrusted(delta.receipt).receipt.admitted_at_ms if delta.receipt else 0


def provenance(core: Core, delta: Delta) -> View:
    """Who said it, through which node, and the verified chain up to the root."""
    leaf = core.trust.chain_of(RecordId(delta.header.leaf))
    proof = parse_receipt_untrusted(delta.receipt) if delta.receipt else None
    node_record = RecordId(proof.receipt.node_record) if proof else None
    writer = core.trust.chain_of(node_record) if node_record else None
    return {
        "author": delta.header.author.hex(),
        "author_name": leaf.name if leaf else "",
        "org_name": leaf.org_name if leaf else "",
        "writer": delta.header.writer.hex(),
        "writer_name": writer.name if writer else "",
        "region": writer.region if writer else "",
        "hlc_ms": delta.header.hlc >> 16,
        "admitted_at_ms": admitted_at_ms(delta),
        "time_attested_by": "admitting node",
        "chain": chain_view(core, leaf),
    }


def chain_view(core: Core, chain: Chain | None) -> list[View]:
    """The records of a chain, root first."""
    if chain is None:
        return []
    found = [core.trust.signed(record) for record in chain.record_ids]
    return [record_view(signed) for signed in found if signed is not None]


def record_view(signed: Signed[Record]) -> View:
    """Kind, name and id of a trust record."""
    name = getattr(signed.record, "name", "")
    if isinstance(signed.record, RootRecord):
        name = f"{signed.record.name} R({signed.record.number})"
    return {"kind": signed.record.LABEL, "name": name, "id": signed.id.hex()}


def held_view(core: Core, held: Held) -> View:
    """A held delta with all that is known of it."""
    delta, header = held.delta, held.delta.header
    body = body_of(delta)
    return {
        "id": delta.id.hex(),
        "kind": Kind(header.kind).name.lower(),
        "state": held.state.name.lower(),
        "namespace": header.namespace,
        "sequence": header.sequence,
        "previous": header.previous.hex(),
        "parents": [parent.hex() for parent in header.parents],
        "epochs": list(header.epochs),
        "body": body_view(body),
        **provenance(core, delta),
    }


def body_view(body: Body | None) -> View:
    """The fields of a body, without its salt."""
    if body is None:
        return {}
    names = [name for name in type(body)._NAMES if name != "salt"]
    return {name: _plain(getattr(body, name)) for name in names}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def hit_view(core: Core, held: Held, score: int) -> View:
    """One thing recalled, with its provenance."""
    body = body_of(held.delta)
    source = body.source if isinstance(body, MemoryBody | SupersedeBody) else ""
    return {
        "id": held.delta.id.hex(),
        "text": text_of(held.delta) or str(body_view(body)),
        "namespace": held.delta.header.namespace,
        "source": source,
        "score": score,
        **provenance(core, held.delta),
    }


def log_view(core: Core, held: Held) -> View:
    """One line of a log."""
    leaf = core.trust.chain_of(RecordId(held.delta.header.leaf))
    return {
        "id": held.delta.id.hex(),
        "kind": Kind(held.delta.header.kind).name.lower(),
        "state": held.state.name.lower(),
        "namespace": held.delta.header.namespace,
        "sequence": held.delta.header.sequence,
        "author_name": leaf.name if leaf else "",
        "org_name": leaf.org_name if leaf else "",
        "hlc_ms": held.delta.header.hlc >> 16,
        "text": text_of(held.delta)[:200],
    }
