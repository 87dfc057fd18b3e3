"""What the machines of dissemination say: trees on streams, views in sealed datagrams.

Ids are the first 16 bytes of delta ids. A namespace is named only to peers that may hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from hive.memory.delta import DELTA_BYTES_MAX
from hive.protocol.messages import DELTA_COUNT_MAX
from hive.trust.capability import NAMESPACE_BYTES_MAX
from hive.wire.codec import Array, Integer, Octets, Text
from hive.wire.framing import FRAME_BYTES_MAX
from hive.wire.ids import PEER_ID_BYTES
from hive.wire.schema import Record, record

ID_BYTES: Final = 16
DIGEST_COUNT_MAX: Final = 1_024
HOPS_MAX: Final = 255
GATEWAY_BYTES: Final = 8
NAMED_MAX: Final = 16
WALK_HOPS_MAX: Final = 16

CELL: Final = 0
RING: Final = 1

_Namespace = Annotated[str, Text(NAMESPACE_BYTES_MAX)]
_Ids = Annotated[bytes, Octets(0, ID_BYTES * DIGEST_COUNT_MAX)]
_Peer = Annotated[bytes, Octets(PEER_ID_BYTES, PEER_ID_BYTES)]
_Peers = Annotated[tuple[bytes, ...], Array(Octets(PEER_ID_BYTES, PEER_ID_BYTES), NAMED_MAX)]
_Layer = Annotated[int, Integer(CELL, RING)]
_Walk = Annotated[int, Integer(0, WALK_HOPS_MAX)]


@record("push", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Push(Record):
    """Delta envelopes along the edges of a tree, oldest of a chain first; untrusted one by one.

    `hops` they have come with this one; `is_aside` says that the author sends them past the
    tree, to an outlook; `gateway` is who took them into this region (empty: born here).
    """

    hops: Annotated[int, Integer(1, HOPS_MAX)]
    is_aside: Annotated[int, Integer(0, 1)]
    gateway: Annotated[bytes, Octets(0, GATEWAY_BYTES)]
    envelopes: Annotated[tuple[bytes, ...], Array(Octets(1, DELTA_BYTES_MAX), DELTA_COUNT_MAX)]


@record("ihave", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class IHave(Record):
    """A digest: ids of one namespace that the sender verified, with the hops each had come."""

    namespace: _Namespace
    ids: _Ids
    hops: Annotated[bytes, Octets(0, DIGEST_COUNT_MAX)]


@record("graft", 1, bytes_max=FRAME_BYTES_MAX)
@dataclass(frozen=True, slots=True)
class Graft(Record):
    """Makes the edge eager for a namespace, and asks for what was announced and did not come."""

    namespace: _Namespace
    ids: _Ids


@record("prune", 1, bytes_max=512)
@dataclass(frozen=True, slots=True)
class Prune(Record):
    """Makes the edge lazy for a namespace: another brings it first."""

    namespace: _Namespace


@record("view-join", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class Join(Record):
    """A newcomer without neighbours asks to be taken, and to be walked to others."""

    layer: _Layer


@record("view-walk", 1, bytes_max=128)
@dataclass(frozen=True, slots=True)
class ForwardJoin(Record):
    """A newcomer's random walk."""

    layer: _Layer
    newcomer: _Peer
    hops_left: _Walk


@record("view-neighbour", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class Neighbour(Record):
    """Asks to become neighbours. `urgency` 0: as an outlook, 1: as any, 2: the sender has none."""

    layer: _Layer
    urgency: Annotated[int, Integer(0, 2)]


@record("view-reply", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class NeighbourReply(Record):
    """Whether the sender agrees."""

    layer: _Layer
    is_accepted: Annotated[int, Integer(0, 1)]


@record("view-part", 1, bytes_max=64)
@dataclass(frozen=True, slots=True)
class Disconnect(Record):
    """The sender gives the place to another; it lives on."""

    layer: _Layer


@record("view-shuffle", 1, bytes_max=1_024)
@dataclass(frozen=True, slots=True)
class Shuffle(Record):
    """Peers the origin knows, walking; whoever it ends at answers with as many of its own."""

    layer: _Layer
    origin: _Peer
    hops_left: _Walk
    peers: _Peers


@record("view-shuffled", 1, bytes_max=1_024)
@dataclass(frozen=True, slots=True)
class ShuffleReply(Record):
    """The answer to a shuffle."""

    layer: _Layer
    peers: _Peers


TREE_LABELS: Final = (IHave.LABEL, Graft.LABEL, Prune.LABEL)
ViewMessage = Join | ForwardJoin | Neighbour | NeighbourReply | Disconnect | Shuffle | ShuffleReply
VIEW_MESSAGES: Final[dict[str, type[ViewMessage]]] = {
    cls.LABEL: cls
    for cls in (Join, ForwardJoin, Neighbour, NeighbourReply, Disconnect, Shuffle, ShuffleReply)
}


def ids_in(run: bytes) -> list[bytes]:
    """The ids of a run; an incomplete last one is dropped."""
    return [run[at : at + ID_BYTES] for at in range(0, len(run) - ID_BYTES + 1, ID_BYTES)]
