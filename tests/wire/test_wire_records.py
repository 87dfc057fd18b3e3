"""Every record type: round trips, one-byte mutations, golden bytes (P2, P13)."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import of_record, of_shape

import hive.custody
import hive.memory
import hive.trust
from hive.errors import MalformedFrame
from hive.trust.envelope import parse_untrusted, sign_record
from hive.trust.invite import EnrolmentAnswer, EnrolmentRequest, Invite, LedgerEntry
from hive.trust.keys import Ed25519Key
from hive.trust.records import TRUST_RECORDS
from hive.trust.roots import Partial, Proposal
from hive.wire.codec import (
    INTEGER_MAX,
    Array,
    Constant,
    Fields,
    Flag,
    Integer,
    Octets,
    Shape,
    Text,
    encode,
)
from hive.wire.schema import Record

PACKAGES = (hive.trust, hive.memory, hive.custody)


def all_records() -> list[type[Record]]:
    """Every record class that trust, memory and custody define: what is signed or kept."""
    for package in PACKAGES:
        for found_module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found_module.name)
    prefixes = tuple(f"{package.__name__}." for package in PACKAGES)
    found: list[type[Record]] = []
    waiting: list[type[Record]] = list(Record.__subclasses__())
    for cls in waiting:
        waiting.extend(cls.__subclasses__())
        if hasattr(cls, "BODY_SHAPE") and cls.__dict__.get("LABEL") and cls not in found:
            found.append(cls)
    return sorted(
        (cls for cls in found if cls.__module__.startswith(prefixes)),
        key=lambda cls: (cls.LABEL, cls.VERSION, cls.__name__),
    )


RECORDS = all_records()
GOLDEN = Path(__file__).with_name("golden_records.txt")
quick = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.LABEL)
@quick
@given(data=st.data())
def test_record_decodes_to_what_was_encoded(cls: type[Record], data: st.DataObject) -> None:
    drawn = data.draw(of_record(cls))
    try:
        body = drawn.to_body()
    except MalformedFrame:
        assume(False)
    assert cls.from_body_untrusted(body) == drawn
    assert cls.from_body_untrusted(body).to_body() == body


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.LABEL)
@quick
@given(data=st.data())
def test_one_changed_byte_is_refused_or_is_another_content(
    cls: type[Record], data: st.DataObject
) -> None:
    drawn = data.draw(of_record(cls))
    try:
        body = drawn.to_body()
    except MalformedFrame:
        assume(False)
    for at in range(0, len(body), max(1, len(body) // 60)):
        mutated = bytearray(body)
        mutated[at] ^= 1 << data.draw(st.integers(0, 7))
        try:
            decoded = cls.from_body_untrusted(bytes(mutated))
        except MalformedFrame:
            continue
        assert decoded != drawn
        assert decoded.to_body() == bytes(mutated)
        assert cls.id_of(bytes(mutated)) != cls.id_of(body)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.LABEL)
def test_truncated_and_padded_records_are_refused(cls: type[Record]) -> None:
    body = cls.from_plain(example(Fields(cls.SHAPE.fields))).to_body()
    for wrong in (*(body[:cut] for cut in range(len(body))), body + b"\0"):
        with pytest.raises(MalformedFrame):
            cls.from_body_untrusted(wrong)


def example(shape: Shape) -> object:
    """One fixed value of a shape, every field filled: what golden bytes are made of."""
    match shape:
        case Integer():
            return int(min(max(shape.lowest, 7), shape.highest))
        case Octets():
            return bytes(range(256))[: max(shape.bytes_min, min(shape.bytes_max, 8))]
        case Text():
            return "é-text"[: shape.bytes_max // 2]
        case Flag():
            return True
        case Constant():
            return shape.value
        case Array():
            return (example(shape.item),) * min(2, shape.count_max)
        case Fields():
            return tuple(example(field) for field in shape.fields)
    raise TypeError(shape)


def golden_of(cls: type[Record]) -> str:
    body = cls.from_plain(example(Fields(cls.SHAPE.fields))).to_body()  # type: ignore[arg-type]
    return f"{cls.LABEL}/{cls.VERSION} {cls.id_of(body).hex()} {body.hex()}"


def test_golden_bytes_of_every_record_type_have_not_moved(request: pytest.FixtureRequest) -> None:
    lines = "\n".join(golden_of(cls) for cls in RECORDS) + "\n"
    if request.config.getoption("--rewrite"):
        GOLDEN.write_text(lines, encoding="utf-8")
    assert GOLDEN.read_text(encoding="utf-8") == lines


def test_every_label_names_one_type() -> None:
    labels = [(cls.LABEL, cls.VERSION) for cls in RECORDS]
    assert len(set(labels)) == len(labels)
    for cls in (
        *TRUST_RECORDS,
        Invite,
        EnrolmentRequest,
        EnrolmentAnswer,
        LedgerEntry,
        Proposal,
        Partial,
    ):
        assert cls in RECORDS


@pytest.mark.parametrize("cls", TRUST_RECORDS, ids=lambda cls: cls.LABEL)
@quick
@given(data=st.data())
def test_envelope_round_trips_and_every_changed_byte_changes_it(
    cls: type[Record], data: st.DataObject
) -> None:
    drawn = data.draw(of_record(cls))
    try:
        signed = sign_record(drawn, Ed25519Key(b"a" * 32), Ed25519Key(b"b" * 32))
    except MalformedFrame:
        assume(False)
    untrusted = signed.to_bytes()
    assert parse_untrusted(untrusted) == signed
    at = data.draw(st.integers(0, len(untrusted) - 1))
    mutated = bytearray(untrusted)
    mutated[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        other = parse_untrusted(bytes(mutated))
    except MalformedFrame:
        return
    assert other != signed
    assert other.to_bytes() == bytes(mutated)


@pytest.mark.parametrize(
    ("label", "twin"),
    [
        ("long integer", b"\xcd\x00\x07"),
        ("signed integer", b"\xd0\x07"),
        ("float", b"\xca\x40\xe0\x00\x00"),
        ("nil", b"\xc0"),
        ("map", b"\x80"),
        ("extension", b"\xd4\x01\x07"),
        ("text", b"\xa1\x07"),
        ("boolean", b"\xc3"),
    ],
)
def test_no_second_encoding_of_an_integer_is_taken(label: str, twin: bytes) -> None:
    cls = next(cls for cls in TRUST_RECORDS if cls.LABEL == "freshness")
    record = cls.from_plain(example(Fields(cls.SHAPE.fields)))  # type: ignore[arg-type]
    body = record.to_body()
    assert body.count(b"\x07\x07\x07") == 1, label
    with pytest.raises(MalformedFrame):
        cls.from_body_untrusted(body.replace(b"\x07\x07\x07", b"\x07" + twin + b"\x07"))


@quick
@given(data=st.data())
def test_plain_values_round_trip_through_their_shape(data: st.DataObject) -> None:
    shape = Fields((Integer(-5, INTEGER_MAX), Octets(0, 9), Text(12), Flag(), Array(Text(4), 3)))
    value = data.draw(of_shape(shape))
    shape.check(value)
    assert encode(value)
