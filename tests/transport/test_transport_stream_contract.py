"""Goal: every carrier of streams keeps one contract. Method: the same suite on TLS and loopback."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from stream_nodes import Pair, echo, loopback_pair, served, tls_pair

from hive.errors import MalformedFrame, ProtocolViolation, StateError, TransportError
from hive.transport.frames import FrameStream
from hive.transport.stream_config import StreamConfig
from hive.wire.clock import MILLISECOND_US
from hive.wire.ids import Inception

SMALL = StreamConfig(
    frame_bytes_max=40_000,
    anonymous_frame_bytes_max=2_000,
    anonymous_frame_count_max=2,
    stream_count_max=3,
    stream_per_subnet_count_max=3,
    anonymous_count_max=2,
)

pytestmark = pytest.mark.parametrize("make", [tls_pair, loopback_pair])
Make = Callable[[StreamConfig], Pair]


def run(make: Make, scene, config: StreamConfig = SMALL, handler=echo) -> None:  # type: ignore[no-untyped-def]
    async def main() -> None:
        pair = make(config)
        async with trio.open_nursery() as nursery:
            address = await served(pair.server, nursery, handler, pair.listen_at)
            with trio.fail_after(20):
                await scene(pair, address)
            nursery.cancel_scope.cancel()

    trio.run(main)


async def is_over(stream: FrameStream) -> bool:
    """Whether the other side ended it, cleanly or not."""
    try:
        return await stream.receive() is None
    except TransportError:
        return True


def test_both_sides_know_who_the_other_is(make: Make) -> None:
    met: list[object] = []

    async def remember(stream: FrameStream) -> None:
        met.append(stream.peer)

    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial(address, pair.server_member.inception)
        assert await stream.receive() is None
        assert stream.peer == pair.server_member.peer
        assert met == [pair.client_member.peer]
        assert not stream.is_anonymous
        await stream.aclose()

    run(make, scene, handler=remember)


def test_frames_arrive_whole_and_in_order(make: Make) -> None:
    frames = [bytes([number % 256]) * (number * 397 % 40_000) for number in range(100)]

    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial(address, pair.server_member.inception)
        for payload in frames:
            await stream.send(payload)
            assert await stream.receive() == payload
        await stream.aclose()

    run(make, scene)


def test_a_frame_beyond_the_cap_is_not_sent(make: Make) -> None:
    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial(address, pair.server_member.inception)
        with pytest.raises(StateError):
            await stream.send(bytes(SMALL.frame_bytes_max + 1))
        await stream.send(bytes(SMALL.frame_bytes_max))
        assert await stream.receive() == bytes(SMALL.frame_bytes_max)
        await stream.aclose()

    run(make, scene)


def test_a_frame_beyond_the_cap_is_not_received(make: Make) -> None:
    seen: list[BaseException] = []

    async def hear(stream: FrameStream) -> None:
        try:
            await stream.receive()
        except MalformedFrame as error:
            seen.append(error)
            raise

    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial(address, pair.server_member.inception)
        await stream._stream.send_all((2**31).to_bytes(4, "big"))
        assert await is_over(stream)
        assert len(seen) == 1
        await stream.abort()

    run(make, scene, handler=hear)


def test_a_stream_cut_inside_a_frame_is_malformed(make: Make) -> None:
    async def cut(stream: FrameStream) -> None:
        await stream._stream.send_all(b"\x00\x00\x01\x00rest is missing")

    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial(address, pair.server_member.inception)
        with pytest.raises((MalformedFrame, TransportError)):
            await stream.receive()
        await stream.abort()

    run(make, scene, handler=cut)


def test_another_node_than_expected_is_refused(make: Make) -> None:
    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        with pytest.raises(TransportError, match="another node"):
            await pair.client.dial(address, Inception(bytes(32)))

    run(make, scene)


def test_nobody_listening_is_a_transport_error(make: Make) -> None:
    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        with pytest.raises(TransportError):
            await pair.client.dial((address[0], 1), pair.server_member.inception)

    run(make, scene)


def test_places_are_limited_and_given_back(make: Make) -> None:
    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        expected = pair.server_member.inception
        streams = [await pair.client.dial(address, expected) for _ in range(3)]
        with pytest.raises(TransportError):
            await pair.client.dial(address, expected)
        for stream in streams:
            await stream.aclose()
        while pair.server.accepted_count:  # type: ignore[attr-defined]
            await trio.lowlevel.checkpoint()
        await (await pair.client.dial(address, expected)).aclose()

    run(make, scene)


def test_an_anonymous_stream_has_no_name_and_few_frames(make: Make) -> None:
    ended: list[BaseException] = []

    async def hear(stream: FrameStream) -> None:
        assert stream.is_anonymous
        try:
            await echo(stream)
        except ProtocolViolation as error:
            ended.append(error)
            raise

    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial_unsafe_for_enrolment(address)
        assert stream.is_anonymous
        for _ in range(2):
            await stream.send(b"invite")
            assert await stream.receive() == b"invite"
        await stream.send(b"once more")
        assert await is_over(stream)
        assert len(ended) == 1
        await stream.abort()

    run(make, scene, handler=hear)


def test_anonymous_streams_have_few_places(make: Make) -> None:
    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        streams = [await pair.client.dial_unsafe_for_enrolment(address) for _ in range(2)]
        with pytest.raises(TransportError):
            await pair.client.dial_unsafe_for_enrolment(address)
        await (await pair.client.dial(address, pair.server_member.inception)).aclose()
        for stream in streams:
            await stream.aclose()

    run(make, scene)


def test_an_anonymous_stream_ends_with_its_life(make: Make) -> None:
    config = StreamConfig(anonymous_life_us=50 * MILLISECOND_US)

    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial_unsafe_for_enrolment(address)
        assert await is_over(stream)
        await stream.abort()

    run(make, scene, config)


def test_an_anonymous_frame_is_small(make: Make) -> None:
    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial_unsafe_for_enrolment(address)
        await stream.send(bytes(2_001))
        assert await is_over(stream)
        await stream.abort()

    run(make, scene)


def test_many_tasks_may_send(make: Make) -> None:
    async def scene(pair: Pair, address: tuple[str, int]) -> None:
        stream = await pair.client.dial(address, pair.server_member.inception)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(stream.send, bytes([number]) * 1_000)
        back = [await stream.receive() for _ in range(20)]
        assert sorted(frame or b"" for frame in back) == [bytes([n]) * 1_000 for n in range(20)]
        await stream.aclose()

    run(make, scene)
