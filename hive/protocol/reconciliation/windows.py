"""The third step: which ids differ in the buckets that differ.

The initiator takes the dirty buckets oldest first in windows of bounded size. Where one side
holds little there, that side lists its session ids (8 bytes each); else the initiator sends coded
symbols (12 bytes, about 1.4 a difference, see `iblt`) until the responder has peeled them all, or
until a list would have been cheaper. Either way both sides then know what the other lacks, and
lay it out to be pulled. Session ids are hints: what is pulled is full deltas, judged by ingress.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from hive.protocol.reconciliation.config import ReconciliationConfig
from hive.protocol.reconciliation.elements import (
    Elements,
    Toll,
    Window,
    code,
    numbers_of_untrusted,
    read,
    steps_of,
)
from hive.protocol.reconciliation.fetcher import Fetcher
from hive.protocol.reconciliation.iblt import SYMBOL_BYTES, peel
from hive.protocol.reconciliation.iblt import unpack_untrusted as unpack_symbols_untrusted
from hive.protocol.reconciliation.messages import (
    BUCKET_COUNT_MAX,
    PLACE_BYTES_MAX,
    SHORT_BYTES,
    SHORT_ID_COUNT_MAX,
    CodedSymbols,
    Done,
    Found,
    Ids,
    LaidOut,
    WantIds,
    WantSymbols,
)
from hive.protocol.reconciliation.replica import Replica
from hive.protocol.reconciliation.session import Dirty, Session
from hive.protocol.reconciliation.shelves import Shelves
from hive.protocol.reconciliation.short_ids import Numbers, is_among, pack, unpack_untrusted
from hive.protocol.reconciliation.slices import Work
from hive.wire.clock import MonotonicUs

Said = Ids | WantIds | CodedSymbols | WantSymbols | Found | LaidOut | Done

SYMBOLS_FIRST: Final = 16
"""Coded symbols sent at least at first: enough for 8 differences."""

SYMBOLS_DOUBLED_MAX: Final = 128
"""Up to here they are doubled each time: one round trip costs more than some hundred bytes."""


class WindowsStep:
    """Compares the ids of dirty buckets, window by window."""

    def __init__(
        self,
        config: ReconciliationConfig,
        replica: Replica,
        fetcher: Fetcher,
        shelves: Shelves,
    ) -> None:
        self._config = config
        self._replica = replica
        self._fetcher = fetcher
        self._shelves = shelves
        self._open: list[Session] = []
        self.refused_count = 0

    # The initiator.

    def start(self, session: Session, toll: Toll) -> Work[list[Said]]:
        """Opens the next window; nothing where none is left."""
        session.window = None
        while session.dirty and self._has_room(session):
            window = self._next_window(session)
            said = yield from self._begin(session, window, toll)
            if said:
                session.window = window
                session.awaiting += 1
                return said
        session.dirty.clear()
        return []

    def hear_want_symbols(
        self, session: Session, message: WantSymbols, toll: Toll
    ) -> Work[list[Said]]:
        """More symbols, or lists where those would have been cheaper."""
        window = self._window(session, message.namespace)
        if window is None or not len(window.symbols) or message.first != len(window.symbols):
            return []
        sent = len(window.symbols)
        is_small = sent < SYMBOLS_DOUBLED_MAX
        more = sent + (sent if is_small else sent // self._config.symbols_growth)
        if more * SYMBOL_BYTES > self._list_bytes(window) or more > self._config.symbols_max:
            return self._lists(session, window)
        if not (yield from code(window, more, self._replica.digests.slice, toll)):
            return []
        return [self._coded(session, window, sent)]

    def hear_found(
        self, session: Session, message: Found, toll: Toll, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        """Lays out what the other side lacks, notes what to pull, goes on with the next window."""
        window = self._window(session, message.namespace)
        if window is None or window.elements is None:
            return []
        count = self._lay_out_named(session, window, message, now_us)
        self._note_laid_out(session, message.namespace, message.laid_out, now_us)
        if not session.is_own:
            session.window = None
            return [LaidOut(session.id, message.namespace, count)]
        said: list[Said] = [LaidOut(session.id, message.namespace, count)] if count else []
        session.awaiting -= 1
        return said + (yield from self.start(session, toll))

    def hear_laid_out(
        self, session: Session, message: LaidOut, toll: Toll, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        """Notes what to pull; on the initiator's side the window is done."""
        self._note_laid_out(session, message.namespace, message.count, now_us)
        if not session.is_own or self._window(session, message.namespace) is None:
            return []
        session.awaiting -= 1
        return (yield from self.start(session, toll))

    # Both.

    def hear_ids(
        self, session: Session, message: Ids, toll: Toll, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        """Takes a page of a list; at its end says what was found."""
        is_new = bool(message.numbers) and not session.is_own
        window = (
            self._answering(session, message)
            if is_new
            else self._window(session, message.namespace)
        )
        if window is None:
            return [Done(session.id)] if is_new else []
        window.pages.append(unpack_untrusted(message.ids))
        if sum(map(len, window.pages)) > self._config.elements_max:
            return [Done(session.id)]
        if not message.is_last:
            return []
        own = yield from self._read(session, window, toll)
        if own is None:
            return [Done(session.id)]
        return [self._found(session, window, own, window.listed, now_us, is_listed=True)]

    # The responder.

    def hear_want_ids(self, session: Session, message: WantIds, toll: Toll) -> Work[list[Said]]:
        """Lists what is held in the buckets."""
        window = self._answering(session, message)
        if window is None or (yield from self._read(session, window, toll)) is None:
            return [Done(session.id)]
        return list(self._pages(session, window))

    def hear_symbols(
        self, session: Session, message: CodedSymbols, toll: Toll, now_us: MonotonicUs
    ) -> Work[list[Said]]:
        """Peels what the symbols so far show; asks for more until nothing is left."""
        window = session.window
        if message.first == 0:
            window = self._answering(session, message)
        if window is None or window.namespace != message.namespace:
            return [Done(session.id)]
        if message.first != len(window.heard) or not message.symbols:
            return []
        window.heard.extend(unpack_symbols_untrusted(message.symbols))
        count = len(window.heard)
        if count > self._config.symbols_max or not toll(count):
            return [Done(session.id)]
        own = yield from self._read(session, window, toll)
        if own is None:
            return [Done(session.id)]
        slice = self._replica.digests.slice
        if not (yield from code(window, count, slice, toll)):
            return [Done(session.id)]
        shown, is_whole = peel(window.symbols.without(window.heard))
        slice.spend(count)
        if not is_whole:
            return [WantSymbols(session.id, message.namespace, count)]
        return [self._found(session, window, own, shown, now_us, is_listed=False)]

    # Parts.

    def _has_room(self, session: Session) -> bool:
        self._open = [each for each in self._open if each.window is not None and not each.is_over]
        if any(each is session for each in self._open):
            return True
        if len(self._open) >= self._config.windows_max:
            self.refused_count += 1
            return False
        self._open.append(session)
        return True

    def _next_window(self, session: Session) -> Window:
        namespace, level, dirty = session.dirty[0]
        taken, total = list[Dirty](), 0
        while dirty and len(taken) < BUCKET_COUNT_MAX:
            if taken and total + dirty[0].count > self._config.window_elements:
                break
            taken.append(dirty.popleft())
            total += taken[-1].count
        if not dirty:
            session.dirty.popleft()
        return Window(
            namespace,
            level,
            tuple(each.number for each in taken),
            sum(each.own_count for each in taken),
            sum(each.their_count for each in taken),
            sum(max(1, abs(each.own_count - each.their_count)) for each in taken),
        )

    def _begin(self, session: Session, window: Window, toll: Toll) -> Work[list[Said]]:
        if (yield from self._read(session, window, toll)) is None:
            return []
        first = max(SYMBOLS_FIRST, window.differences_min * 3 // 2)
        if 2 * first * SYMBOL_BYTES >= self._list_bytes(window) or first > self._config.symbols_max:
            return self._lists(session, window)
        if not (yield from code(window, first, self._replica.digests.slice, toll)):
            return []
        return [self._coded(session, window, 0)]

    def _list_bytes(self, window: Window) -> int:
        return SHORT_BYTES * min(window.own_count, window.their_count)

    def _lists(self, session: Session, window: Window) -> list[Said]:
        """From now on by lists: that of the side that holds less."""
        if window.own_count <= window.their_count:
            return list(self._pages(session, window))
        steps = steps_of(window.numbers)
        return [WantIds(session.id, window.namespace, window.level, steps)]

    def _coded(self, session: Session, window: Window, first: int) -> CodedSymbols:
        steps = () if first else steps_of(window.numbers)
        run = window.symbols.pack(first)
        return CodedSymbols(session.id, window.namespace, window.level, steps, first, run)

    def _pages(self, session: Session, window: Window) -> Iterator[Ids]:
        assert window.elements is not None
        shorts, start = window.elements.shorts, 0
        while True:
            end = start + SHORT_ID_COUNT_MAX
            yield Ids(
                session.id,
                window.namespace,
                window.level,
                () if start else steps_of(window.numbers),
                end >= len(shorts),
                pack(shorts[start:end]),
            )
            if end >= len(shorts):
                return
            start = end

    def _window(self, session: Session, namespace: str) -> Window | None:
        window = session.window
        return window if window is not None and window.namespace == namespace else None

    def _answering(self, session: Session, message: Ids | WantIds | CodedSymbols) -> Window | None:
        """The window that the initiator opens with this message."""
        session.window = None
        numbers = numbers_of_untrusted(message.numbers, message.level)
        if numbers and self._has_room(session):
            session.window = Window(message.namespace, message.level, numbers)
        return session.window

    def _read(self, session: Session, window: Window, toll: Toll) -> Work[Elements | None]:
        if window.elements is None:
            window.elements = yield from read(
                self._replica.reader,
                window,
                session.key,
                self._replica.digests.slice,
                toll,
                self._config.elements_max,
            )
        return window.elements

    def _found(
        self,
        session: Session,
        window: Window,
        own: Elements,
        shown: Numbers,
        now_us: MonotonicUs,
        *,
        is_listed: bool,
    ) -> Found:
        """What `shown` (a list of the other side, or the differences) says about both sides."""
        is_shown = is_among(own.shorts, shown)
        is_unknown = ~is_among(shown, own.shorts[is_shown])
        lacked = own.ids_at(~is_shown if is_listed else is_shown)
        count = self._lay_out(session, window.namespace, lacked, now_us)
        unknown = pack(shown[is_unknown])
        places = np.packbits(is_unknown, bitorder="little").tobytes() if is_listed else b""
        if not is_listed or len(unknown) <= len(places) or len(places) > PLACE_BYTES_MAX:
            places = b""
        else:
            unknown = b""
        if not session.is_own:
            session.window = None
        return Found(session.id, window.namespace, count, unknown, places)

    def _lay_out_named(
        self, session: Session, window: Window, message: Found, now_us: MonotonicUs
    ) -> int:
        assert window.elements is not None
        own = window.elements
        if message.places:
            packed = np.frombuffer(message.places, np.uint8)
            mask = np.zeros(len(own), np.bool_)
            named = np.unpackbits(packed, bitorder="little")[: len(own)].astype(np.bool_)
            mask[: len(named)] = named
        else:
            mask = is_among(own.shorts, unpack_untrusted(message.ids))
        return self._lay_out(session, window.namespace, own.ids_at(mask), now_us)

    def _lay_out(self, session: Session, namespace: str, ids: bytes, now_us: MonotonicUs) -> int:
        return self._shelves.lay_out(session.peer, session.id, namespace, ids, now_us)

    def _note_laid_out(
        self, session: Session, namespace: str, count: int, now_us: MonotonicUs
    ) -> None:
        if count and self._fetcher.add_parcel(session.peer, session.id, namespace, count):
            session.found += 1
