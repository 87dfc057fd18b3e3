"""Goal: no way for a stream to end reaches beyond it. Method: real TLS-less byte streams of trio,
closed by one task while another says goodbye.
"""

from __future__ import annotations

import trio
import trio.testing

from hive.transport.frames import FrameStream
from hive.transport.stream_config import StreamConfig


class ClosedMeanwhile(trio.abc.Stream):
    """A stream whose socket another task closes while its goodbye waits for room."""

    def __init__(self) -> None:
        self._near, self._far = trio.testing.memory_stream_pair()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._near.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._near.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._near.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._near.aclose()
        await self._near.send_all(b"goodbye")


def test_a_stream_aborted_while_it_says_goodbye_ends_nothing_else() -> None:
    async def main() -> None:
        stream = FrameStream(ClosedMeanwhile(), StreamConfig.for_lan(), ("10.0.0.1", 1), None)
        await stream.aclose()

    trio.run(main)
