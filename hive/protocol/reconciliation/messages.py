"""What two reconcilers say to each other.

Every message of an exchange carries the session (the initiator's 8-byte salt). Digests and ids
of 8 bytes are keyed by the salts of both sides, so nobody can choose deltas against them; they
are hints, full ids decide. Lists of fixed-size items travel as one run of octets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from hive.errors import MalformedFrame
from hive.memory.log import State
from hive.protocol.messages import WantDeltas
from hive.trust.capability import NAMESPACE_BYTES_MAX
from hive.wire.codec import Flag, Integer, Octets, Text
from hive.wire.framing import FRAME_BYTES_MAX
from hive.wire.ids import DIGEST_BYTES
from hive.wire.schema import Many, Part, Record, part, record

SESSION_BYTES: Final = 8
SHORT_BYTES: Final = 8
NUMBER_BYTES: Final = 4
SLOT_COUNT: Final = 256
PREVIOUS_BYTES: Final = 16
ROOT_COUNT_MAX: Final = 256
HEAD_COUNT_MAX: Final = 4_096
BUCKET_COUNT_MAX: Final = 4_096
LEAF_COUNT_MAX: Final = 16_384
SHORT_ID_COUNT_MAX: Final = 32_768
OFFER_COUNT_MAX: Final = 256
RANGE_COUNT_MAX: Final = 1_024
BUCKET_BYTES: Final = NUMBER_BYTES + SHORT_BYTES

_Session = Annotated[bytes, Octets(SESSION_BYTES, SESSION_BYTES)]
_Digest = Annotated[bytes, Octets(DIGEST_BYTES, DIGEST_BYTES)]
_Short = Annotated[bytes, Octets(SHORT_BYTES, SHORT_BYTES)]
_Name = Annotated[str, Text(NAMESPACE_BYTES_MAX)]
_Flag = Annotated[bool, Flag()]
_Number = Annotated[int, Integer()]
_Position = Annotated[int, Integer(1)]


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


@record("rc-slots", 1, bytes_max=4_096)
@dataclass(frozen=True, slots=True)
class Slots(Record):
    """The heads of a namespace, 256-way by the first byte of the chain, as session digests."""

    session: _Session
    namespace: _Name
    digests: Annotated[bytes, Octets(SLOT_COUNT * SHORT_BYTES, SLOT_COUNT * SHORT_BYTES)]


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

    `is_fetching`: the sender found in the receiver's heads what it will ask for.
    """

    session: _Session
    namespace: _Name
    slots: Annotated[bytes, Octets(SLOT_COUNT // 8, SLOT_COUNT // 8)]
    is_reply: _Flag
    is_last: _Flag
    is_fetching: _Flag
    heads: Annotated[tuple[HeadEntry, ...], Many(HEAD_COUNT_MAX)]


@record("rc-buckets", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Buckets(Record):
    """Every upper time bucket of a namespace: number and session digest, 12 bytes each."""

    session: _Session
    namespace: _Name
    buckets: Annotated[bytes, Octets(0, BUCKET_COUNT_MAX * BUCKET_BYTES)]


@record("rc-leaves", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Leaves(Record):
    """All lower time buckets inside the upper ones that differ."""

    session: _Session
    namespace: _Name
    parents: Annotated[bytes, Octets(0, BUCKET_COUNT_MAX * NUMBER_BYTES)]
    leaves: Annotated[bytes, Octets(0, LEAF_COUNT_MAX * BUCKET_BYTES)]


@record("rc-ids", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class ShortIds(Record):
    """All (id, state) pairs between two stamps, both included, as session ids."""

    session: _Session
    namespace: _Name
    first: _Number
    last: _Number
    ids: Annotated[bytes, Octets(0, SHORT_ID_COUNT_MAX * SHORT_BYTES)]


@part
@dataclass(frozen=True, slots=True)
class Offer(Part):
    """A delta the sender holds in this state."""

    delta: _Digest
    state: Annotated[int, Integer(State.LIVE, State.VOID)]


_Offers = Annotated[tuple[Offer, ...], Many(OFFER_COUNT_MAX)]


@record("rc-differences", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Differences(Record):
    """Answers `ShortIds`: session ids that were not known here, and pairs held only here."""

    session: _Session
    namespace: _Name
    unknown: Annotated[bytes, Octets(0, OFFER_COUNT_MAX * SHORT_BYTES)]
    first: _Number
    last: _Number
    offers: _Offers


@record("rc-offers", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Offers(Record):
    """The full ids behind the session ids that were not known."""

    session: _Session
    namespace: _Name
    offers: _Offers


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


@record("rc-served", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class Served(Record):
    """How far an ask was answered: all before range `index`, and in it up to before `sequence`."""

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
    | Leaves
    | ShortIds
    | Differences
    | Offers
    | Done
)
Message = Probe | SessionMessage | WantChains | Served | WantDeltas

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
        Leaves,
        ShortIds,
        Differences,
        Offers,
        Done,
        WantChains,
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
