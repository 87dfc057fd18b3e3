"""Goal: whatever bytes arrive on a live node's ports, it counts, drops and goes on."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from node_processes import Process
from node_world import eventually, found

from hive.node import clocks
from hive.wire.randomness import Stream

DATAGRAM_COUNT = 20_000
GROWTH_BYTES_MAX = 48 << 20


def junk(count: int, largest: int) -> Iterator[bytes]:
    """Random bytes of every length; some begin as a hello or a sealed datagram does."""
    stream = Stream(bytes(32), "junk", b"")
    soup = clocks.entropy(1 << 20)
    for number in range(count):
        start, length = stream.below(len(soup) - largest), stream.below(largest + 1)
        piece = soup[start : start + length]
        yield bytes([number % 8]) + piece[1:] if number % 2 and piece else piece


def test_twenty_thousand_datagrams_of_anything_are_counted_and_dropped(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    realm = found(tmp_path, ("acme", "bell"))
    homes = [realm.member(org) for org in ("acme", "bell")]
    victim, other = (start(home) for home in homes)
    target = ("127.0.0.1", homes[0].settings().udp_port)
    with victim.client() as client, other.client() as witness:
        eventually(lambda: client.status()["freshness"]["is_fresh"], "fresh")
        before = victim.resident_bytes
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number, datagram in enumerate(junk(DATAGRAM_COUNT, 1_400)):
                sender.sendto(datagram, target)
                if number % 2_000 == 0:
                    client.status()
        drops = client.call("metrics")["datagram_drops"]
        assert sum(drops.values()) > DATAGRAM_COUNT // 4
        assert victim.resident_bytes - before < GROWTH_BYTES_MAX
        client.remember("otters hold hands", namespace="commons/notes")
        eventually(lambda: witness.recall("otters")["hits"], "the other still hears of it")
    assert "Traceback" not in victim.stderr


def anything_over_tcp(target: tuple[str, int]) -> None:
    for number, piece in enumerate(junk(300, 4_096)):
        with socket.create_connection(target, 5) as stream:
            if number % 3 == 0:
                stream.sendall(b"\x16\x03\x01" + len(piece).to_bytes(2, "big"))
            stream.sendall(piece)


def anything_over_tls(target: tuple[str, int]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["hive/1"])
    for number, piece in enumerate(junk(120, 4_096)):
        with (
            socket.create_connection(target, 5) as plain,
            context.wrap_socket(plain) as stream,
        ):
            length = len(piece) if number % 2 else 2**31
            stream.sendall(length.to_bytes(4, "big") + piece)


def test_anything_on_the_stream_port_is_counted_and_dropped(
    tmp_path: Path, start: Callable[..., Process]
) -> None:
    realm = found(tmp_path, ("acme",))
    victim = start(realm.member("acme"))
    target = ("127.0.0.1", realm.homes["acme-1"].settings().tls_port)
    with victim.client() as client:
        eventually(lambda: client.status()["freshness"]["is_fresh"], "fresh")
        before = victim.resident_bytes
        anything_over_tcp(target)
        anything_over_tls(target)
        ends = eventually(lambda: client.call("metrics")["stream_ends"], "ends are counted")
        assert sum(ends.values()) > 100
        assert victim.resident_bytes - before < GROWTH_BYTES_MAX
        assert client.remember("otters hold hands")["sequence"] == 1
    assert "Traceback" not in victim.stderr
