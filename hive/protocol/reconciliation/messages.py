"""What two reconcilers say to each other.

Every message of an exchange carries the session (the initiator's 8-byte salt). Digests and ids
of 8 bytes are keyed by the salts of both sides, so nobody can choose deltas against them; they
are hints, full ids decide. Lists of fixed-size items travel as one run of octets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from hive.errors import MalformedFrame
from hive.protocol.messages import WantDeltas
from hive.protocol.reconciliation.iblt import SYMBOL_BYTES
from hive.trust.capability import NAMESPACE_BYTES_MAX
from hive.wire.codec import Array, Flag, Integer, Octets, Text
from hive.wire.framing import FRAME_BYTES_MAX
from hive.wire.ids import DIGEST_BYTES
from hive.wire.schema import Many, Part, Record, part, record

SESSION_BYTES: Final = 8
SHORT_BYTES: Final = 8
SLOT_COUNT: Final = 256
SLOT_BYTES: Final = 4
PREVIOUS_BYTES: Final = 16
ROOT_COUNT_MAX: Final = 256
HEAD_COUNT_MAX: Final = 4_096
BUCKET_COUNT_MAX: Final = 4_096
BUCKET_DIGEST_BYTES: Final = 4
LEVEL_LAST: Final = 3
SHORT_ID_COUNT_MAX: Final = 65_536
SYMBOL_COUNT_MAX: Final = 65_536
PLACE_BYTES_MAX: Final = 1 << 17
RANGE_COUNT_MAX: Final = 1_024

_Session = Annotated[bytes, Octets(SESSION_BYTES, SESSION_BYTES)]
_Digest = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Short = Annotated[bytes, Octets(SHORT_BYTES, SHORT_BYTES)]
_Name = Annotated[str, Text(NAMESPACE_BYTES_MAX)]
_Flag = Annotated[bool, Flag()]
_Number = Annotated[int, Integer()]
_Position = Annotated[int, Integer(1)]
_Level = Annotated[int, Integer(0, LEVEL_LAST)]
_Steps = Annotated[tuple[int, ...], Array(Integer(), BUCKET_COUNT_MAX)]


@record("rc-probe", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class Probe(Record):
    """Opens a session: the digest of everything the sender holds that the receiver may."""

    session: _Session
    root: _Digest


@record("rc-same", 1, bytes_max=32)
@dataclass(frozen=True, slots=True)
class Same(Record):
    """The answer where there is nothing to exchange; ends the session."""

    session: _Session
    is_equal: _Flag


@part
@dataclass(frozen=True, slots=True)
class Root(Part):
    """One namespace: its heads and its (id, state) pairs, as session digests."""

    namespace: _Name
    heads: _Short
    states: _Short


@record("rc-roots", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Roots(Record):
    """The responder's salt, and its namespaces behind `after`, sorted, in pages."""

    session: _Session
    salt: _Session
    after: _Name
    is_last: _Flag
    roots: Annotated[tuple[Root, ...], Many(ROOT_COUNT_MAX)]


@record("rc-want-roots", 1, bytes_max=512)
@dataclass(frozen=True, slots=True)
class WantRoots(Record):
    """Asks for the next page."""

    session: _Session
    after: _Name


@record("rc-slots", 1, bytes_max=2_048)
@dataclass(frozen=True, slots=True)
class Slots(Record):
    """The heads of a namespace, 256-way by the first byte of the chain, as session digests."""

    session: _Session
    namespace: _Name
    digests: Annotated[bytes, Octets(SLOT_COUNT * SLOT_BYTES, SLOT_COUNT * SLOT_BYTES)]


@part
@dataclass(frozen=True, slots=True)
class HeadEntry(Part):
    """The end of one chain."""

    chain: _Digest
    sequence: _Position
    delta: _Digest


@record("rc-heads", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Heads(Record):
    """All heads in the slots of a bitmap, or (a reply) those the receiver seems to lack.

    `is_fetching`: the sender found in the receiver's heads what it will ask for. `is_declined`: too
    many heads differ for a list, time buckets are cheaper.
    """

    session: _Session
    namespace: _Name
    slots: Annotated[bytes, Octets(SLOT_COUNT // 8, SLOT_COUNT // 8)]
    is_reply: _Flag
    is_last: _Flag
    is_fetching: _Flag
    is_declined: _Flag
    heads: Annotated[tuple[HeadEntry, ...], Many(HEAD_COUNT_MAX)]


@record("rc-buckets", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Buckets(Record):
    """The sender's time buckets of one level: all at the top, below it those inside `parents`.

    In an answer also: those of the level asked about that differ, `parents` then empty. Numbers
    ascend, each given by its distance from the one before it; a digest is 4 bytes, keyed.
    """

    session: _Session
    namespace: _Name
    level: _Level
    parents: _Steps
    numbers: _Steps
    counts: Annotated[tuple[int, ...], Array(Integer(), BUCKET_COUNT_MAX)]
    digests: Annotated[bytes, Octets(0, BUCKET_COUNT_MAX * BUCKET_DIGEST_BYTES)]


@record("rc-ids", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Ids(Record):
    """The session ids of everything the sender holds in some buckets, in pages.

    The first page names the buckets; places in the list count over all pages.
    """

    session: _Session
    namespace: _Name
    level: _Level
    numbers: _Steps
    is_last: _Flag
    ids: Annotated[bytes, Octets(0, SHORT_ID_COUNT_MAX * SHORT_BYTES)]


@record("rc-want-ids", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class WantIds(Record):
    """Asks for such a list, because the receiver holds fewer there."""

    session: _Session
    namespace: _Name
    level: _Level
    numbers: _Steps


@record("rc-symbols", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class CodedSymbols(Record):
    """Coded symbols over what the sender holds in some buckets, from number `first` on.

    `numbers` is empty but in the first message.
    """

    session: _Session
    namespace: _Name
    level: _Level
    numbers: _Steps
    first: _Number
    symbols: Annotated[bytes, Octets(0, SYMBOL_COUNT_MAX * SYMBOL_BYTES)]


@record("rc-want-symbols", 1, bytes_max=512)
@dataclass(frozen=True, slots=True)
class WantSymbols(Record):
    """Asks for the symbols that follow: those so far do not show every difference."""

    session: _Session
    namespace: _Name
    first: _Number


@record("rc-found", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Found(Record):
    """Ends a comparison of ids: what the sender lacks, and how much it laid out for the receiver.

    What it lacks is named by session id, or by the places in the list it was sent (a bitmap).
    """

    session: _Session
    namespace: _Name
    laid_out: _Number
    ids: Annotated[bytes, Octets(0, SYMBOL_COUNT_MAX * SHORT_BYTES)]
    places: Annotated[bytes, Octets(0, PLACE_BYTES_MAX)]


@record("rc-laid-out", 1, bytes_max=512)
@dataclass(frozen=True, slots=True)
class LaidOut(Record):
    """Answers `Found`: how much is laid out here for the receiver by now."""

    session: _Session
    namespace: _Name
    count: _Number


@record("rc-done", 1, bytes_max=32)
@dataclass(frozen=True, slots=True)
class Done(Record):
    """The initiator has compared everything."""

    session: _Session


@part
@dataclass(frozen=True, slots=True)
class ChainRange(Part):
    """Positions of one chain; `previous` begins the id held before `first` (empty: unsaid)."""

    chain: _Digest
    first: _Position
    last: _Position
    previous: Annotated[bytes, Octets(0, PREVIOUS_BYTES)]


@record("rc-want-chains", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class WantChains(Record):
    """Asks for pieces of chains; answered by `Deltas`, then `Served` unless `ask` is 0."""

    ask: _Number
    ranges: Annotated[tuple[ChainRange, ...], Many(RANGE_COUNT_MAX)]


@record("rc-pull", 1, bytes_max=512)
@dataclass(frozen=True, slots=True)
class Pull(Record):
    """Asks for what was laid out in a session, from a place on; answered like `WantChains`."""

    ask: _Number
    session: _Session
    namespace: _Name
    first: _Number
    count: _Position


@record("rc-served", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class Served(Record):
    """How far an ask was answered.

    Of chains: all before range `index`, and in it up to before `sequence`. Of what was laid out:
    everything before place `index`, in `sequence` deltas.
    """

    ask: _Number
    index: _Number
    sequence: _Number


SessionMessage = (
    Same
    | Roots
    | WantRoots
    | Slots
    | Heads
    | Buckets
    | Ids
    | WantIds
    | CodedSymbols
    | WantSymbols
    | Found
    | LaidOut
    | Done
)
Message = Probe | SessionMessage | WantChains | Pull | Served | WantDeltas

_BY_LABEL: Final[dict[str, type[Message]]] = {
    cls.LABEL: cls
    for cls in (
        Probe,
        Same,
        Roots,
        WantRoots,
        Slots,
        Heads,
        Buckets,
        Ids,
        WantIds,
        CodedSymbols,
        WantSymbols,
        Found,
        LaidOut,
        Done,
        WantChains,
        Pull,
        Served,
        WantDeltas,
    )
}
LABELS: Final = tuple(_BY_LABEL)
"""What the composer routes here; `want-deltas` is answered here too."""


def parse_untrusted(untrusted: bytes) -> Message:
    """Decodes a message for the reconciler, or raises `MalformedFrame`."""
    length = untrusted[1] & 0x1F if len(untrusted) > 1 and untrusted[1] >> 5 == 0b101 else 0
    cls = _BY_LABEL.get(untrusted[2 : 2 + length].decode("ascii", "replace"))
    if cls is None:
        raise MalformedFrame("not a message of reconciliation")
    return cls.from_body_untrusted(untrusted)
