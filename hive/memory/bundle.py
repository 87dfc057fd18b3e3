"""Evidence bundles: one file that anybody verifies offline, without a store or a network.

A bundle is the line `HIVE BUNDLE 1`, SHA-256 of what follows, and one canonical array of trust
records, delta envelopes and fork proofs. The checksum tells damage from deceit and proves
nothing. Verification builds a trust state from the records, as a peer does, and judges every
delta by the numbered steps of ingress as far as they are about evidence: time is the admitting
node's word (its receipt), and continuity is shown among the deltas that are in the bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, TypeVar

from hive.errors import MalformedFrame
from hive.memory.delta import DELTA_BYTES_MAX, Delta, parse_delta_untrusted
from hive.memory.evidence import DeltaReport, judge_deltas, proven_forks
from hive.memory.fork import ForkProof, parse_fork_untrusted
from hive.memory.receipt import parse_receipt_untrusted
from hive.trust.envelope import ENVELOPE_BYTES_MAX, Signed, parse_untrusted
from hive.trust.links import previous_id_of, signer_id_of
from hive.trust.records import (
    TRUST_RECORDS,
    FreshnessRecord,
    RevocationRecord,
    RootRecord,
)
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted, TrustRefusal
from hive.wire.codec import Array, Fields, Octets, decode_untrusted, encode
from hive.wire.ids import DIGEST_BYTES, Digest, FederationId, RecordId
from hive.wire.schema import Record

T = TypeVar("T")

MAGIC: Final = b"HIVE BUNDLE 1\n"
BUNDLE_BYTES_MAX: Final = 256 * 1_024 * 1_024
RECORD_COUNT_MAX: Final = 65_536
DELTA_COUNT_MAX: Final = 65_536
FORK_COUNT_MAX: Final = 1_024

_SHAPE: Final = Fields(
    (
        Array(Octets(1, ENVELOPE_BYTES_MAX), RECORD_COUNT_MAX),
        Array(Octets(1, DELTA_BYTES_MAX), DELTA_COUNT_MAX),
        Array(Octets(1, 2 * DELTA_BYTES_MAX + 16), FORK_COUNT_MAX),
    )
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds, decoded; nothing about it is proven yet."""

    records: tuple[Signed[Record], ...]
    deltas: tuple[Delta, ...]
    forks: tuple[ForkProof, ...]


@dataclass(frozen=True, slots=True)
class RecordReport:
    """A trust record that was refused, and why."""

    id: str
    label: str
    reason: str
    step: str


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What a bundle proves.

    `is_root_trusted`: the caller named the federation's first root and the bundle holds it; else
    all that is shown is that the bundle agrees with itself.
    """

    federation: str
    is_root_trusted: bool
    record_count: int
    refused_records: tuple[RecordReport, ...]
    fork_count: int
    deltas: tuple[DeltaReport, ...]

    @property
    def totals(self) -> dict[str, int]:
        """How many deltas came to each verdict."""
        totals: dict[str, int] = {}
        for delta in self.deltas:
            totals[delta.verdict] = totals.get(delta.verdict, 0) + 1
        return totals

    @property
    def is_valid(self) -> bool:
        """Whether every record and every delta stands (forgotten and void ones do)."""
        refused = self.totals.get("refused", 0)
        return bool(self.deltas) and not refused and not self.refused_records

    def to_json(self) -> str:
        """The whole report, keys sorted."""
        plain = {**asdict(self), "totals": self.totals, "is_valid": self.is_valid}
        return json.dumps(plain, indent=2, sort_keys=True)


def write_bundle(
    records: Sequence[bytes], deltas: Sequence[Delta], forks: Sequence[ForkProof] = ()
) -> bytes:
    """The file's bytes: records as given, deltas by chain and sequence, forks by id, each once."""
    by_id = {delta.id: delta for delta in deltas}
    ordered = sorted(by_id.values(), key=_place)
    proofs = sorted({proof.id: proof for proof in forks}.items())
    plain = (
        tuple(dict.fromkeys(records)),
        tuple(delta.to_bytes() for delta in ordered),
        tuple(proof.to_bytes() for _, proof in proofs),
    )
    _SHAPE.check(plain)
    body = encode(plain)
    return MAGIC + hashlib.sha256(body).digest() + body


def needed_records(trust: TrustState, deltas: Iterable[Delta]) -> tuple[bytes, ...]:
    """Every record that judging these deltas rests on, parents first: roots, chains, revocations.

    Of revocations all those of the orgs concerned; of identities also what they rotated from.
    """
    wanted: dict[RecordId, None] = {signed.id: None for signed in trust.records_of(RootRecord)}
    orgs: dict[bytes, None] = {}
    for delta in deltas:
        records = [RecordId(delta.header.leaf)]
        if delta.receipt:
            node_record = parse_receipt_untrusted(delta.receipt).receipt.node_record
            records.append(RecordId(node_record))
        for record in records:
            chain = trust.chain_of(record)
            if chain is not None:
                orgs[chain.org] = None
                _want(trust, record, wanted)
    for signed in trust.records_of(RevocationRecord):
        if isinstance(signed.record, RevocationRecord) and signed.record.org in orgs:
            _want(trust, signed.id, wanted)
    return tuple(
        signed.to_bytes()
        for kind in TRUST_RECORDS
        if kind is not FreshnessRecord
        for signed in trust.records_of(kind)
        if signed.id in wanted
    )


def _want(trust: TrustState, record: RecordId, wanted: dict[RecordId, None]) -> None:
    """Notes a record and everything it rests on."""
    waiting = [record]
    while waiting:
        at = waiting.pop()
        signed = trust.signed(at)
        if signed is None or at in wanted:
            continue
        wanted[at] = None
        named = (signer_id_of(signed.record), previous_id_of(signed.record))
        waiting += [found for found in named if found]


def _place(delta: Delta) -> tuple[bytes, int, bytes]:
    return delta.header.chain, delta.header.sequence, delta.id


def parse_bundle_untrusted(untrusted: bytes) -> Bundle:
    """Decodes a bundle, or raises `MalformedFrame` saying what is wrong with it."""
    if untrusted[: len(MAGIC)] != MAGIC:
        raise MalformedFrame(
            "this is not a hive bundle of version 1", hint="was it exported by `hive`?"
        )
    body = untrusted[len(MAGIC) + DIGEST_BYTES :]
    if hashlib.sha256(body).digest() != untrusted[len(MAGIC) : len(MAGIC) + DIGEST_BYTES]:
        raise MalformedFrame(
            "the bundle is truncated or damaged: its checksum does not match",
            hint="fetch or export it again",
        )
    records, deltas, forks = decode_untrusted(body, _SHAPE, bytes_max=BUNDLE_BYTES_MAX)
    bundle = Bundle(
        tuple(_parsed("record", n, parse_untrusted, raw) for n, raw in enumerate(records)),
        tuple(_parsed("delta", n, parse_delta_untrusted, raw) for n, raw in enumerate(deltas)),
        tuple(_parsed("fork proof", n, parse_fork_untrusted, raw) for n, raw in enumerate(forks)),
    )
    _require_order(bundle)
    return bundle


def _parsed(what: str, position: int, parse: Callable[[bytes], T], untrusted: bytes) -> T:
    try:
        return parse(untrusted)
    except MalformedFrame as error:
        raise MalformedFrame(f"{what} {position} of the bundle: {error}") from None


def _require_order(bundle: Bundle) -> None:
    places = [_place(delta) for delta in bundle.deltas]
    forks = [proof.id for proof in bundle.forks]
    records = [signed.id for signed in bundle.records]
    if places != sorted(dict.fromkeys(places)) or forks != sorted(dict.fromkeys(forks)):
        raise MalformedFrame("the bundle's deltas or fork proofs are out of order or repeated")
    if len(dict.fromkeys(records)) != len(records):
        raise MalformedFrame("a record of the bundle is repeated")
    if any(isinstance(signed.record, FreshnessRecord) for signed in bundle.records):
        raise MalformedFrame("a freshness statement is no evidence about a delta")


def verify_bundle(untrusted: bytes, trusted_root: Digest | None, now_ms: int) -> BundleReport:
    """Judges a bundle from its own bytes; raises `MalformedFrame` where it is none.

    `trusted_root` is the id of the federation's first root, known from elsewhere; None takes the
    one in the bundle, and the report says so.
    """
    bundle = parse_bundle_untrusted(untrusted)
    roots = [
        signed.subject
        for signed in bundle.records
        if isinstance(signed.record, RootRecord) and not signed.record.number
    ]
    federation = FederationId(trusted_root or (roots[0] if roots else b""))
    trust = TrustState(federation, TrustConfig())
    refused = _admit_all(trust, bundle.records, now_ms)
    forks = proven_forks(trust, bundle.forks, bundle.deltas)
    return BundleReport(
        federation.hex(),
        trusted_root is not None and trusted_root in roots,
        len(bundle.records) - len(refused),
        refused,
        len(forks),
        judge_deltas(trust, bundle.deltas, forks, now_ms),
    )


def _admit_all(
    trust: TrustState, records: Sequence[Signed[Record]], now_ms: int
) -> tuple[RecordReport, ...]:
    """Admits records in whatever order they stand, as long as another one can be admitted."""
    refused: list[RecordReport] = []
    waiting = list(records)
    while waiting:
        still: list[Signed[Record]] = []
        for signed in waiting:
            match trust.admit(signed.to_bytes(), now_ms):
                case Admitted():
                    pass
                case TrustRefusal(reason, _, step):
                    refused.append(_record_report(signed, reason.value, step))
                case _:
                    still.append(signed)
        if len(still) == len(waiting):
            return (*refused, *(_record_report(s, "signer_unknown", "9.3") for s in still))
        waiting = still
    return tuple(refused)


def _record_report(signed: Signed[Record], reason: str, step: str) -> RecordReport:
    return RecordReport(signed.id.hex(), signed.record.LABEL, reason, step)
