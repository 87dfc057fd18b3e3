"""Events that wait for the peer: what is our own first, then what peers sent, one after the other.

A peer that floods waits behind itself. Answers of disk, keys and users and timers go first, though
never more than so many in a row; of what came from outside each peer's oldest goes in turn, however
many it sent. What one peer's stream says stays in order, its opening and closing included;
datagrams have lanes of their own, so that no large frame holds up membership.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, TypeAlias

from hive.protocol.events import (
    DatagramOpened,
    Event,
    FrameReceived,
    StreamClosed,
    StreamOpened,
)
from hive.wire.ids import PeerId

OWN_IN_A_ROW: Final = 16
"""Own events before one from outside has its turn; more delays peers while users write much."""
DATAGRAMS_OF_PEER_MAX: Final = 1_024
"""Opened datagrams of one peer that wait; beyond it the oldest is dropped, as a network would."""

_Lane: TypeAlias = tuple[bool, PeerId]


class Inbox:
    """One queue of our own, one lane a peer and kind; `bytes_count` is what waiting frames hold."""

    def __init__(self) -> None:
        self._own: deque[Event] = deque()
        self._own_in_a_row = 0
        self._lanes: OrderedDict[_Lane, deque[Event]] = OrderedDict()
        self._lane_count = 0
        self.bytes_count = 0
        self.dropped_count = 0

    def __len__(self) -> int:
        return len(self._own) + self._lane_count

    def put(self, event: Event) -> None:
        """At the end of its queue."""
        lane = _lane_of(event)
        if lane is None:
            self._own.append(event)
            return
        events = self._lanes.setdefault(lane, deque())
        if lane[0] and len(events) >= DATAGRAMS_OF_PEER_MAX:
            events.popleft()
            self._lane_count -= 1
            self.dropped_count += 1
        events.append(event)
        self._lane_count += 1
        self.bytes_count += _frame_bytes(event)

    def take(self) -> Event | None:
        """The next event; None where nothing waits."""
        is_own_turn = self._own_in_a_row < OWN_IN_A_ROW or not self._lanes
        if self._own and is_own_turn:
            self._own_in_a_row += 1
            return self._own.popleft()
        self._own_in_a_row = 0
        return self._from_outside() if self._lanes else None

    def _from_outside(self) -> Event:
        lane, events = self._lanes.popitem(last=False)
        event = events.popleft()
        if events:
            self._lanes[lane] = events
        self._lane_count -= 1
        self.bytes_count -= _frame_bytes(event)
        return event


def _lane_of(event: Event) -> _Lane | None:
    match event:
        case FrameReceived() | DatagramOpened():
            return isinstance(event, DatagramOpened), event.sender
        case StreamOpened() | StreamClosed():
            return False, event.peer
        case _:
            return None


def _frame_bytes(event: Event) -> int:
    return len(event.untrusted_payload) if isinstance(event, FrameReceived) else 0
