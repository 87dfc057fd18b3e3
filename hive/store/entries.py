"""How one delta is kept: state, header and proof in its row, shared parts by reference.

A receipt's signed body and signature are the same for up to 64 deltas and are kept once; audit
paths go into groves. A path that fits no grove, or a receipt that is not one of ours, is kept
in the row as it came: what is read is to the bit what was written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hive.errors import MalformedFrame, StoreError
from hive.memory.delta import Delta, Header, Proof
from hive.memory.log import Held, State
from hive.memory.receipt import Receipt
from hive.store.faults import DAMAGED_HINT
from hive.store.layout import Counters, Tables, Transaction, number_key, number_of, position_key
from hive.store.paths import pick, plant
from hive.wire.codec import decode_typed, encode
from hive.wire.ids import DeltaId, Digest

STATE_BYTES: Final = 1
_IN_ROW, _IN_PROOF_GROVE, _IN_RECEIPT_GROVE, _OPAQUE = 0, 1, 2, 3


class _Ours:
    """The shape of what this store wrote itself."""

    def check(self, value: object) -> None:
        """Nothing to check: these bytes never came from outside."""


_OURS: Final = _Ours()


def decode_own(value: bytes) -> Any:
    """Decodes what `encode` gave; `StoreError` where the disk returns something else."""
    try:
        return decode_typed(value, _OURS, bytes_max=len(value))
    except MalformedFrame as error:
        raise StoreError(f"an entry does not decode: {error}", hint=DAMAGED_HINT) from None


class _Receipt(NamedTuple):
    """A travelling receipt in its shared and its own part."""

    shared: bytes
    leaf: int
    path: tuple[bytes, ...]


def _split(receipt: bytes) -> _Receipt | None:
    """The parts of a receipt, where they make exactly these bytes again."""
    if not receipt:
        return None
    try:
        plain = decode_typed(receipt, _OURS, bytes_max=len(receipt))
    except MalformedFrame:
        return None
    if not isinstance(plain, tuple) or len(plain) != 4 or encode(plain) != receipt:
        return None
    body, signature, index, path = plain
    if type(index) is not int or type(path) is not tuple or set(map(type, path)) - {bytes}:
        return None
    return _Receipt(encode((body, signature)), index, path)


def _delta_count(shared: bytes) -> int:
    """How many deltas a receipt covers; 0 where its body is not that of a receipt."""
    try:
        return Receipt.from_body_untrusted(decode_own(shared)[0]).count
    except (MalformedFrame, TypeError):
        return 0


class EntryWriter:
    """Packs deltas in one transaction; `flush` writes the groves that grew."""

    def __init__(self, txn: Transaction, tables: Tables, counters: Counters) -> None:
        self._txn = txn
        self._tables = tables
        self._counters = counters
        self._groves: dict[bytes, bytearray] = {}
        self._receipts: dict[bytes, tuple[int, int]] = {}

    def pack(self, delta: Delta, state: State, chain: int) -> bytes:
        """The value of a delta's row; `chain` is the number of its chain."""
        proof = delta.proof
        index = delta.header.sequence - proof.first_sequence
        key = _proof_grove(chain, proof.first_sequence, proof.count)
        place = self._plant(key, index, proof.count, proof.path, _IN_PROOF_GROVE)
        row = (
            delta.header_bytes,
            proof.signature,
            proof.first_sequence,
            proof.count,
            place,
            () if place else proof.path,
            *self._pack_receipt(delta, index if place else -1),
        )
        return bytes((state,)) + encode(row)

    def flush(self) -> None:
        """Writes the groves that grew since the last flush."""
        for key, grove in self._groves.items():
            self._txn.put(key, bytes(grove), db=self._tables.groves)
        self._groves.clear()

    def _pack_receipt(self, delta: Delta, proof_index: int) -> tuple[Any, ...]:
        shared = _split(delta.receipt)
        found = None if shared is None else self._receipt_number(shared.shared)
        if shared is None or found is None:
            return (0, 0, 0, _OPAQUE, (delta.receipt,) if delta.receipt else ())
        number, count = found
        index, path = shared.leaf, shared.path
        is_same_tree = (proof_index, delta.proof.count) == (index, count)
        if is_same_tree and path == delta.proof.path:
            return (number, index, count, _IN_PROOF_GROVE, ())
        place = self._plant(_receipt_grove(number), index, count, path, _IN_RECEIPT_GROVE)
        return (number, index, count, place, () if place else path)

    def _receipt_number(self, shared: bytes) -> tuple[int, int] | None:
        """Number and delta count of a receipt; None where it is not worth sharing or not ours."""
        known = self._receipts.get(shared)
        if known is not None:
            return known
        id = hashlib.sha256(shared).digest()
        value = self._txn.get(id, db=self._tables.receipt_ids)
        if value is None:
            count = _delta_count(shared)
            if count < 2:
                return None
            self._counters.receipt += 1
            key = number_key(self._counters.receipt)
            self._txn.put(key, shared, db=self._tables.receipts, append=True)
            value = key + bytes((count,))
            self._txn.put(id, value, db=self._tables.receipt_ids)
        self._receipts[shared] = number_of(value[:-1]), value[-1]
        return self._receipts[shared]

    def _plant(self, key: bytes, index: int, count: int, path: Any, place: int) -> int:
        if not path:
            return _IN_ROW
        grove = self._groves.get(key)
        if grove is None:
            grove = bytearray(self._txn.get(key, db=self._tables.groves) or b"")
        if not plant(grove, index, count, path):
            return _IN_ROW
        self._groves[key] = grove
        return place


@dataclass(frozen=True, slots=True)
class EntryReader:
    """Unpacks rows in one transaction."""

    txn: Transaction
    tables: Tables

    def held(self, row: bytes, id: DeltaId | None = None) -> Held | None:
        """The delta in a row; its id is computed where the caller does not know it."""
        value = self.txn.get(row, db=self.tables.log)
        return None if value is None else self.unpack(row, value, id)

    def unpack(self, row: bytes, value: bytes, id: DeltaId | None = None) -> Held:
        """The delta whose row has this value."""
        (header_bytes, signature, first, count, place, path, *receipt) = decode_own(
            value[STATE_BYTES:]
        )
        header = header_of(header_bytes)
        if place == _IN_PROOF_GROVE:
            path = self._pick(self._proof_key(header, first, count), header.sequence - first, count)
        delta = Delta(
            id or DeltaId(Header.id_of(header_bytes)),
            header,
            header_bytes,
            Proof(signature, first, count, path),
            self.txn.get(row, db=self.tables.bodies) or b"",
            self._receipt(path, *receipt),
        )
        return Held(number_of(row), delta, State(value[0]))

    def _receipt(self, proof_path: Any, number: int, index: int, count: int, *rest: Any) -> bytes:
        place, path = rest
        if place == _OPAQUE:
            return path[0] if path else b""
        if place == _IN_PROOF_GROVE:
            path = proof_path
        elif place == _IN_RECEIPT_GROVE:
            path = self._pick(_receipt_grove(number), index, count)
        shared = self._require(number_key(number), self.tables.receipts)
        return encode((*decode_own(shared), index, path))

    def _proof_key(self, header: Header, first: int, count: int) -> bytes:
        chain: Digest = header.chain
        return _proof_grove(
            int.from_bytes(self._require(chain, self.tables.chains)[:4]), first, count
        )

    def _pick(self, key: bytes, index: int, count: int) -> tuple[bytes, ...]:
        return pick(self._require(key, self.tables.groves), index, count)

    def _require(self, key: bytes, table: Any) -> bytes:
        value: bytes | None = self.txn.get(key, db=table)
        if value is None:
            raise StoreError("an entry refers to something absent", hint=DAMAGED_HINT)
        return value


def header_of(header_bytes: bytes) -> Header:
    """The header of bytes that were checked when they came in."""
    return Header(*decode_own(header_bytes)[2:])


def identity_in(value: bytes) -> tuple[DeltaId, Header]:
    """Id and header in the value of a row."""
    header_bytes = decode_own(value[STATE_BYTES:])[0]
    return DeltaId(Header.id_of(header_bytes)), header_of(header_bytes)


def _proof_grove(chain: int, first_sequence: int, count: int) -> bytes:
    return b"p" + position_key(chain, first_sequence) + bytes((count,))


def _receipt_grove(number: int) -> bytes:
    return b"r" + number_key(number)
