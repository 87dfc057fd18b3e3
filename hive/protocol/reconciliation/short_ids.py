"""Session ids: eight bytes that stand for one (id, state) pair inside one session.

SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012) over the 33 bytes of a pair, computed for a
whole page of the time index at once. The key comes from the salts of both sides, so whoever
chooses deltas cannot choose their session ids; a clash by accident is gone in the next session.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hive.protocol.ports import LINE_BYTES

Numbers = NDArray[np.uint64]

KEY_BYTES: Final = 16
_STAMP_BYTES: Final = 8
_ID_WORDS: Final = 4
_START: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_LENGTH: Final = np.uint64(33 << 56)
_SHIFTS: Final = {bits: np.uint64(bits) for bits in (13, 16, 17, 21, 32, 43, 47, 48, 51)}


def rows_of(lines: bytes) -> NDArray[np.uint8]:
    """A page of the time index as rows: stamp, id, state."""
    return np.frombuffer(lines, np.uint8).reshape(-1, LINE_BYTES)


def session_ids(key: bytes, rows: NDArray[np.uint8]) -> Numbers:
    """The session id of every row, in their order."""
    ids = np.ascontiguousarray(rows[:, _STAMP_BYTES:-1]).view("<u8").astype(np.uint64)
    words = [ids[:, word] for word in range(_ID_WORDS)]
    words.append(rows[:, -1].astype(np.uint64) | _LENGTH)
    keys = (int.from_bytes(key[:8], "little"), int.from_bytes(key[8:KEY_BYTES], "little"))
    state = [
        np.full(len(rows), start ^ keys[place & 1], np.uint64) for place, start in enumerate(_START)
    ]
    for word in words:
        state[3] ^= word
        _round(state)
        _round(state)
        state[0] ^= word
    state[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(state)
    found: Numbers = state[0] ^ state[1] ^ state[2] ^ state[3]
    return found


def _round(state: list[Numbers]) -> None:
    a, b, c, d = state
    a += b
    b = _turn(b, 13, 51) ^ a
    a = _turn(a, 32, 32)
    c += d
    d = _turn(d, 16, 48) ^ c
    a += d
    d = _turn(d, 21, 43) ^ a
    c += b
    b = _turn(b, 17, 47) ^ c
    state[:] = a, b, _turn(c, 32, 32), d


def _turn(word: Numbers, left: int, right: int) -> Numbers:
    return (word << _SHIFTS[left]) | (word >> _SHIFTS[right])


def pack(ids: Numbers) -> bytes:
    """Session ids as they travel, eight bytes each."""
    return ids.astype("<u8").tobytes()


def unpack_untrusted(untrusted_run: bytes) -> Numbers:
    """A run of session ids; an incomplete last one is dropped."""
    whole = untrusted_run[: len(untrusted_run) // 8 * 8]
    return np.frombuffer(whole, "<u8").astype(np.uint64)


def is_among(items: Numbers, some: Numbers) -> NDArray[np.bool_]:
    """Which of many items are among some others; sorts the others only."""
    if not len(some):
        return np.zeros(len(items), np.bool_)
    ordered = np.sort(some)
    places = np.minimum(np.searchsorted(ordered, items), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[places] == items
    return found
