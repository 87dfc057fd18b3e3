"""What members say to each other, and the statements they sign.

The hop authenticates sender and receiver, so no message names where an answer goes; only
statements are signed, because only they are repeated by others. A statement counts on its
own: alive and left are signed by their subject, suspect and dead by their accuser. What an author
says within one tick hangs on one signed Merkle root; each statement carries its path.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final, TypeAlias

from hive.errors import MalformedFrame
from hive.wire import merkle
from hive.wire.codec import Array, Integer, Octets, decode_typed, is_canonical
from hive.wire.ids import DIGEST_BYTES, PEER_ID_BYTES, Digest, PeerId
from hive.wire.schema import Many, Part, Record, part, record

PAYLOAD_BYTES_MAX: Final = 1_094
"""What a sealed datagram carries at most."""
STATEMENTS_MAX: Final = 7
"""Signed statements in one message."""
STATEMENTS_BYTES_MAX: Final = 980
"""Bytes of the signed statements of one message: fewer of them fit where paths are long."""
BATCH_MAX: Final = 8
"""Statements under one signature."""
PATH_MAX: Final = 3
"""Hashes from a statement to the root of such a batch."""
SIGNED_LABEL: Final = "statements"
"""The label under which roots of statements are signed."""
ENTRIES_MAX: Final = 30
"""Entries in one page of a summary."""
SUBJECTS_MAX: Final = 40
"""Subjects of one pull."""
BUCKETS: Final = 32
BUCKET_DIGEST_BYTES: Final = 16
INCARNATION_MAX: Final = 2**64 - 1

_PEER = Octets(PEER_ID_BYTES, PEER_ID_BYTES)
_COUNTER = Integer()


class Standing(IntEnum):
    """Where a member stands; the first four are also what a statement says."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3
    INTRODUCED = 4
    """Known by its record only: it has not signed an incarnation yet."""


_SAID = Integer(Standing.ALIVE, Standing.LEFT)


@record("statement", 2, bytes_max=160)
@dataclass(frozen=True, slots=True)
class Statement(Record):
    """`author` says that `subject` is in `standing` at `incarnation` within the group `scope`.

    The scope does not travel: whoever hears a statement puts its own group in, so that nothing
    said in one group can be repeated in another.
    """

    scope: Annotated[Digest, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    author: Annotated[PeerId, _PEER]
    subject: Annotated[PeerId, _PEER]
    standing: Annotated[int, _SAID]
    incarnation: Annotated[int, Integer(1, INCARNATION_MAX)]

    @classmethod
    def of(
        cls,
        scope: Digest,
        author: PeerId,
        subject: PeerId,
        standing: Standing,
        incarnation: int,
    ) -> Statement:
        """The statement, its standing as the plain integer that the wire knows."""
        return cls(scope, author, subject, int(standing), incarnation)


@part
@dataclass(frozen=True, slots=True)
class Signed(Part):
    """A statement as it travels: with its author's signature of a root, and the path to it."""

    author: Annotated[PeerId, _PEER]
    subject: Annotated[PeerId, _PEER]
    standing: Annotated[int, _SAID]
    incarnation: Annotated[int, Integer(1, INCARNATION_MAX)]
    signature: Annotated[bytes, Octets(64, 72)]
    index: Annotated[int, Integer(0, BATCH_MAX - 1)] = 0
    count: Annotated[int, Integer(1, BATCH_MAX)] = 1
    path: Annotated[tuple[Digest, ...], Array(Octets(DIGEST_BYTES, DIGEST_BYTES), PATH_MAX)] = ()

    @classmethod
    def of(
        cls,
        statement: Statement,
        signature: bytes,
        index: int = 0,
        count: int = 1,
        path: tuple[Digest, ...] = (),
    ) -> Signed:
        """The statement, number `index` of `count` under one signature."""
        said = (statement.author, statement.subject, statement.standing, statement.incarnation)
        return cls(*said, signature, index, count, path)

    def root(self, scope: Digest) -> Digest | None:
        """What its author signed, had it been said in this scope; None where the path is none."""
        said = Statement(scope, self.author, self.subject, self.standing, self.incarnation)
        return merkle.root_from_proof(said.to_body(), self.index, self.count, self.path)

    @property
    def size(self) -> int:
        """Its bytes on the wire, at most."""
        return 140 + 34 * len(self.path)

    @property
    def is_accusation(self) -> bool:
        return self.standing in (Standing.SUSPECT, Standing.DEAD)


@part
@dataclass(frozen=True, slots=True)
class Entry(Part):
    """One line of a view: the newest incarnation its holder can prove, and the standing there."""

    peer: Annotated[PeerId, _PEER]
    incarnation: Annotated[int, _COUNTER]
    standing: Annotated[int, _SAID]


@record("ping", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Ping(Record):
    """Are you there? `incarnation_known` is what the sender holds of the receiver."""

    sequence: Annotated[int, _COUNTER]
    incarnation_known: Annotated[int, _COUNTER]
    statements: Annotated[tuple[Signed, ...], Many(STATEMENTS_MAX)]


@record("ping_request", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class PingRequest(Record):
    """Ping `subject` for me; the answer comes to me, the sender, and to nobody else."""

    sequence: Annotated[int, _COUNTER]
    subject: Annotated[PeerId, _PEER]


@record("ack", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Ack(Record):
    """`subject` (the sender, or whom it pinged for us) answered."""

    sequence: Annotated[int, _COUNTER]
    subject: Annotated[PeerId, _PEER]
    incarnation_known: Annotated[int, _COUNTER]
    statements: Annotated[tuple[Signed, ...], Many(STATEMENTS_MAX)]


@record("nack", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Nack(Record):
    """`subject` did not answer the helper, who may sign its own suspicion of it."""

    sequence: Annotated[int, _COUNTER]
    subject: Annotated[PeerId, _PEER]
    statements: Annotated[tuple[Signed, ...], Many(1)]


@record("gossip", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Gossip(Record):
    """Statements and nothing else."""

    statements: Annotated[tuple[Signed, ...], Many(STATEMENTS_MAX)]


@record("digest_offer", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class DigestOffer(Record):
    """The digest of the sender's view; silence means that ours is equal."""

    root: Annotated[Digest, Octets(DIGEST_BYTES, DIGEST_BYTES)]


@record("buckets", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Buckets(Record):
    """The view differs: `BUCKETS` short digests by the first five bits of the peer id."""

    digests: Annotated[bytes, Octets(BUCKETS * BUCKET_DIGEST_BYTES, BUCKETS * BUCKET_DIGEST_BYTES)]


@record("summary", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Summary(Record):
    """All that the sender holds of the peers from `low` to `high`, both included."""

    low: Annotated[PeerId, _PEER]
    high: Annotated[PeerId, _PEER]
    entries: Annotated[tuple[Entry, ...], Many(ENTRIES_MAX)]


@record("pull", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Pull(Record):
    """Send me what you hold of these peers."""

    subjects: Annotated[tuple[PeerId, ...], Array(_PEER, SUBJECTS_MAX)]


Message: TypeAlias = (
    Ping | PingRequest | Ack | Nack | Gossip | DigestOffer | Buckets | Summary | Pull
)

_BY_LABEL: dict[str, type[Message]] = {
    kind.LABEL: kind
    for kind in (Ping, PingRequest, Ack, Nack, Gossip, DigestOffer, Buckets, Summary, Pull)
}


class _Labelled:
    """Any array that starts with the label of a message; its own shape is checked then."""

    def check(self, value: object) -> None:
        if type(value) is not tuple or not value or type(value[0]) is not str:
            raise MalformedFrame("a labelled array was expected")
        if value[0] not in _BY_LABEL:
            raise MalformedFrame("an unknown message")
        _BY_LABEL[value[0]].BODY_SHAPE.check(value)


_LABELLED = _Labelled()


def message_from_untrusted(untrusted: bytes) -> Message:
    """The message of canonical bytes; raises `MalformedFrame` and nothing else."""
    plain = decode_typed(untrusted, _LABELLED, bytes_max=PAYLOAD_BYTES_MAX)
    if not is_canonical(untrusted, plain):
        raise MalformedFrame("a message is not canonically encoded")
    return _BY_LABEL[plain[0]].from_plain(plain[2:])
