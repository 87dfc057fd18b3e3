"""What super-peers say to each other beside SWIM: who speaks for a group, and its outline.

All of it travels on the authenticated hop and says only what its sender may speak of, so nothing
here is signed or passed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from hive.errors import MalformedFrame
from hive.protocol.membership.messages import PAYLOAD_BYTES_MAX
from hive.protocol.membership.place import Level
from hive.wire.codec import Array, Integer, Octets
from hive.wire.ids import DIGEST_BYTES, PEER_ID_BYTES, Digest, PeerId
from hive.wire.schema import Record, label_of_untrusted, record

SPEAKERS_MAX: Final = 3
TOKENS_MAX: Final = 32
"""Interest tokens of one outline; a group that wants more says that it wants everything."""
TOKEN_BYTES: Final = 16

_LEVEL = Integer(Level.CLUSTER, Level.REGION)
_PEERS = Array(Octets(PEER_ID_BYTES, PEER_ID_BYTES), SPEAKERS_MAX)
_TOKENS = Array(Octets(TOKEN_BYTES, TOKEN_BYTES), TOKENS_MAX)


@record("speakers_wanted", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class SpeakersWanted(Record):
    """Who speaks for your cell in the ring of its cluster, or for your cluster above it?"""

    level: Annotated[int, _LEVEL]


@record("speakers", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Speakers(Record):
    """The sender's own group as it sees it; a hint, for everybody introduces himself."""

    level: Annotated[int, _LEVEL]
    peers: Annotated[tuple[PeerId, ...], _PEERS]


@record("outline", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Outline(Record):
    """The sender's cell, told in its cluster, or its cluster, told in the ring above.

    `root` is the digest of the view (of a cluster: of what it holds of all its cells);
    `wants_all` says that its members want more than the `tokens` name.
    """

    level: Annotated[int, _LEVEL]
    live_count: Annotated[int, Integer()]
    cell_count: Annotated[int, Integer()]
    root: Annotated[Digest, Octets(DIGEST_BYTES, DIGEST_BYTES)]
    wants_all: Annotated[int, Integer(0, 1)]
    tokens: Annotated[tuple[bytes, ...], _TOKENS]


@record("interest_told", 1, bytes_max=PAYLOAD_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class InterestTold(Record):
    """What a member wants, told to the super-peers of its cell only."""

    wants_all: Annotated[int, Integer(0, 1)]
    tokens: Annotated[tuple[bytes, ...], _TOKENS]


RingMessage: TypeAlias = SpeakersWanted | Speakers | Outline | InterestTold

_BY_LABEL: dict[str, type[RingMessage]] = {
    kind.LABEL: kind for kind in (SpeakersWanted, Speakers, Outline, InterestTold)
}


def ring_message_from_untrusted(untrusted: bytes) -> RingMessage:
    """The message of canonical bytes; raises `MalformedFrame` and nothing else."""
    kind = _BY_LABEL.get(label_of_untrusted(untrusted))
    if kind is None:
        raise MalformedFrame("an unknown message")
    return kind.from_body_untrusted(untrusted)
