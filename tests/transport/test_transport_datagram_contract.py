"""Goal: every carrier of datagrams keeps one contract. Method: one suite on UDP and loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
import trio
import trio.testing

from hive.errors import ConfigError, TransportError
from hive.transport.addresses import Address, format_address, parse_address, subnet_of
from hive.transport.loopback import LoopbackCarrier, LoopbackNetwork
from hive.transport.packets import DATAGRAM_BYTES_MAX
from hive.transport.ports import DatagramCarrier
from hive.transport.udp import Loss, UdpCarrier, UdpConfig

Make = Callable[[], tuple[DatagramCarrier, DatagramCarrier]]


def udp4() -> tuple[DatagramCarrier, DatagramCarrier]:
    return UdpCarrier(("127.0.0.1", 0)), UdpCarrier(("127.0.0.1", 0))


def udp6() -> tuple[DatagramCarrier, DatagramCarrier]:
    try:
        return UdpCarrier(("::1", 0)), UdpCarrier(("::1", 0))
    except (TransportError, OSError):
        pytest.skip("no IPv6 here")


def loopback() -> tuple[DatagramCarrier, DatagramCarrier]:
    network = LoopbackNetwork()
    return LoopbackCarrier(network, ("a", 0)), LoopbackCarrier(network, ("b", 0))


every_carrier = pytest.mark.parametrize("make", [udp4, udp6, loopback])


def run(make: Make, scene) -> None:  # type: ignore[no-untyped-def]
    async def main() -> None:
        one, two = make()
        try:
            with trio.fail_after(10):
                await scene(one, two)
        finally:
            one.close()
            two.close()

    trio.run(main)


async def collect(carrier: DatagramCarrier, count: int) -> list[tuple[Address, bytes]]:
    found: list[tuple[Address, bytes]] = []
    while len(found) < count:
        found += await carrier.receive()
    return found


@every_carrier
def test_a_datagram_arrives_with_its_source(make: Make) -> None:
    async def scene(one: DatagramCarrier, two: DatagramCarrier) -> None:
        one.transmit(two.address, b"hello")
        assert await two.receive() == [(one.address, b"hello")]
        two.transmit(one.address, b"")
        assert await one.receive() == [(two.address, b"")]

    run(make, scene)


@every_carrier
def test_a_burst_is_drained_in_few_wakes(make: Make) -> None:
    async def scene(one: DatagramCarrier, two: DatagramCarrier) -> None:
        for number in range(100):
            one.transmit(two.address, bytes([number]))
        found = await collect(two, 100)
        assert [payload for _, payload in found] == [bytes([number]) for number in range(100)]

    run(make, scene)


@every_carrier
def test_the_largest_datagram_passes_and_a_larger_one_does_not(make: Make) -> None:
    async def scene(one: DatagramCarrier, two: DatagramCarrier) -> None:
        one.transmit(two.address, bytes(DATAGRAM_BYTES_MAX + 1))
        one.transmit(two.address, bytes(DATAGRAM_BYTES_MAX))
        assert await two.receive() == [(one.address, bytes(DATAGRAM_BYTES_MAX))]

    run(make, scene)


@every_carrier
def test_sending_to_nobody_harms_nobody(make: Make) -> None:
    async def scene(one: DatagramCarrier, two: DatagramCarrier) -> None:
        gone = (two.address[0], 1)
        for _ in range(20):
            one.transmit(gone, b"anybody?")
            one.transmit(("no such host", 70_000_000), b"anybody?")
        two.transmit(one.address, b"still here")
        assert await one.receive() == [(two.address, b"still here")]

    run(make, scene)


@every_carrier
def test_a_closed_carrier_ends_whoever_waits(make: Make) -> None:
    async def scene(one: DatagramCarrier, _: DatagramCarrier) -> None:
        async def wait() -> None:
            with pytest.raises(TransportError):
                await one.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            one.close()

    run(make, scene)


@every_carrier
def test_a_taken_address_is_a_transport_error(make: Make) -> None:
    async def scene(one: DatagramCarrier, _: DatagramCarrier) -> None:
        def take_again() -> None:
            if isinstance(one, LoopbackCarrier):
                LoopbackCarrier(one._network, one.address)
            else:
                UdpCarrier(one.address)

        with pytest.raises(TransportError):
            take_again()

    run(make, scene)


def test_a_foreign_oversized_datagram_is_counted() -> None:
    async def scene(one: UdpCarrier, two: UdpCarrier) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            raw.sendto(bytes(9_000), one.address)
        two.transmit(one.address, b"fits")
        assert [payload for _, payload in await one.receive()] == [b"fits"]
        assert one.losses[Loss.TOO_LARGE] == 1

    run(udp4, scene)


def test_a_full_kernel_buffer_fills_the_outbox_then_drops_and_flush_empties_it() -> None:
    async def scene(one: UdpCarrier, two: UdpCarrier) -> None:
        taken: list[bytes] = []
        is_full = True

        def take(address: Address, datagram: bytes) -> bool:
            if not is_full:
                taken.append(datagram)
            return not is_full

        one._config = UdpConfig(outbox_count=3)
        one._try = take  # type: ignore[method-assign]
        for number in range(5):
            one.transmit(two.address, bytes([number]))
        assert one.losses[Loss.OUTBOX_FULL] == 2
        is_full = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.flush)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert taken == [b"\0", b"\1", b"\2"]

    run(udp4, scene)


@pytest.mark.parametrize("text", ["192.0.2.1:7000", "[2001:db8::1]:7000", "127.0.0.1:0"])
def test_an_address_reads_as_it_is_written(text: str) -> None:
    assert format_address(parse_address(text)) == text


@pytest.mark.parametrize("text", ["", "host", "example.org:1", "1.2.3.4:", "1.2.3.4:70000", ":1"])
def test_what_is_no_address_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_address(text)
    assert refused.value.hint


def test_subnets_are_24_and_48_bits() -> None:
    assert subnet_of(("192.0.2.1", 1)) == subnet_of(("192.0.2.255", 2))
    assert subnet_of(("192.0.2.1", 1)) != subnet_of(("192.0.3.1", 1))
    assert subnet_of(("2001:db8:1::1", 1)) == subnet_of(("2001:db8:1:ffff::1", 1))
    assert subnet_of(("2001:db8:1::1", 1)) != subnet_of(("2001:db8:2::1", 1))
    assert subnet_of(("::ffff:192.0.2.9", 1)) == subnet_of(("192.0.2.1", 1))
    assert subnet_of(("fe80::1%eth0", 1)) == subnet_of(("fe80::2", 1))
