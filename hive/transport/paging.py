"""Records that do not fit one datagram, page by page: stop and wait, both ends bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hive.errors import MalformedFrame
from hive.transport.datagram_config import PAGE_COUNT_MAX
from hive.transport.packets import CHUNK_BYTES_MAX
from hive.wire.codec import Array, Octets, decode_untrusted, encode

_RECORD_BYTES_MAX: Final = 16_384


def cut(records: Sequence[bytes]) -> tuple[bytes, ...]:
    """The pages of a chain of records, leaf first."""
    bundle = encode(tuple(records))
    return tuple(
        bundle[start : start + CHUNK_BYTES_MAX] for start in range(0, len(bundle), CHUNK_BYTES_MAX)
    )


class Fetch:
    """Collects pages in order; never holds more than `bytes_max`."""

    __slots__ = ("_buffer", "_bytes_max", "_count_max", "next_page")

    def __init__(self, bytes_max: int, count_max: int) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max
        self._count_max = count_max
        self.next_page = 0

    def take(self, number: int, count: int, untrusted: bytes) -> tuple[bytes, ...] | None:
        """Adds the next page; the records after the last one, None before, or `MalformedFrame`.

        A page that is not the next one (a late repetition) changes nothing.
        """
        if number != self.next_page:
            return None
        if len(self._buffer) + len(untrusted) > self._bytes_max or count > PAGE_COUNT_MAX:
            raise MalformedFrame("more records than one chain may have")
        self._buffer += untrusted
        self.next_page += 1
        if self.next_page < count:
            return None
        shape = Array(Octets(1, _RECORD_BYTES_MAX), self._count_max)
        records: tuple[bytes, ...] = decode_untrusted(
            bytes(self._buffer), shape, bytes_max=self._bytes_max
        )
        return records
