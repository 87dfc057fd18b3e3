"""The link: one process that carries packets between TUN devices, through seeded bad weather.

It is started with the open descriptors of all devices and a JSON description of the hosts; each
line on its standard input changes the weather or asks for counts, each is answered by one line.
Every packet on a directed pair of hosts draws from that pair's own stream, so the fate of the
n-th packet of a pair depends on the seed, the pair and n only. Packets of a pair keep their
order unless they are drawn to be reordered. A host behind a NAT has its packets translated here.
"""

from __future__ import annotations

import heapq
import ipaddress
import json
import os
import select
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from network_nat import Nat

from hive.wire.randomness import Stream

PACKET_BYTES_MAX = 2_048
PACKETS_PER_WAKE = 128
WAITING_COUNT_MAX = 100_000
CONTROL = 0
UDP = 17


@dataclass(slots=True)
class Weather:
    """What happens to packets: delays by pair of regions, chances in thousandths."""

    delay_us: dict[str, int] = field(default_factory=dict)
    jitter_us: int = 0
    loss_permille: int = 0
    duplicate_permille: int = 0
    reorder_permille: int = 0
    cuts: list[list[int]] = field(default_factory=list)
    """Directed pairs of hosts between which nothing arrives."""


@dataclass(slots=True)
class Pair:
    """One direction between two hosts."""

    stream: Stream
    delay_us: int
    is_cut: bool
    last_due_us: int = 0


class Link:
    """Reads every device, delays, drops, doubles, and writes."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._seed = plan["seed"].encode()
        self._fds: list[int] = plan["fds"]
        self._regions: list[str] = plan["regions"]
        self._hosts: dict[bytes, int] = {}
        self._nats: dict[int, Nat] = {}
        self._public: dict[str, str] = dict(plan["nats"])
        for host, (private, *_) in enumerate(plan["addresses"]):
            if private in self._public:
                public = packed(self._public[private])
                self._nats[host] = Nat(packed(private), public, plan["nat_life_us"])
        self._move(plan["addresses"])
        self._weather = Weather()
        self._pairs: dict[tuple[int, int], Pair] = {}
        self._waiting: list[tuple[int, int, int, bytes]] = []
        self._count = 0
        self._buffer = b""
        self.counts: Counter[str] = Counter()

    def _move(self, addresses: list[list[str]]) -> None:
        """Which addresses lead to which host, from now on."""
        for host, texts in enumerate(addresses):
            for gone in [known for known, of in self._hosts.items() if of == host]:
                del self._hosts[gone]
            self._hosts.update((packed(self._public.get(text, text)), host) for text in texts)

    # -- the loop

    def run(self) -> None:
        """Until standard input closes."""
        poll = select.epoll()
        poll.register(CONTROL, select.EPOLLIN)
        hosts = {fd: host for host, fd in enumerate(self._fds)}
        for fd in self._fds:
            os.set_blocking(fd, False)
            poll.register(fd, select.EPOLLIN)
        say({"ok": True})
        while True:
            for fd, _ in poll.poll(self._patience_s()):
                if fd != CONTROL:
                    self._drain(fd, hosts[fd])
                elif not self._obey():
                    return
            self._deliver()

    def _patience_s(self) -> float | None:
        if not self._waiting:
            return None
        return max(0, self._waiting[0][0] - now_us()) / 1e6

    def _drain(self, fd: int, source: int) -> None:
        for _ in range(PACKETS_PER_WAKE):
            try:
                packet = os.read(fd, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            self._take(source, packet)

    def _deliver(self) -> None:
        now = now_us()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._waiting)
            try:
                os.write(self._fds[target], packet)
                self.counts["delivered"] += 1
            except OSError:
                self.counts["device_refused"] += 1

    # -- packets

    def _take(self, source: int, packet: bytes) -> None:
        if source in self._nats:
            packet = self._nats[source].outward(packet, now_us())
        target = self._hosts.get(target_of(packet))
        if target is None or target == source:
            self.counts["nowhere"] += 1
            return
        self._measure(packet)
        if target in self._nats:
            packet = self._nats[target].inward(packet, now_us())
            if not packet:
                self.counts["not_let_in"] += 1
                return
        self._send(self._pair(source, target), target, packet)

    def _measure(self, packet: bytes) -> None:
        """The largest datagram, and fragments: nothing of ours should ever need them."""
        is_v4 = packet[0] >> 4 == 4
        protocol = packet[9] if is_v4 else packet[6]
        if protocol == UDP:
            length = len(packet) - (28 if is_v4 else 48)
            self.counts["udp_bytes_max"] = max(self.counts["udp_bytes_max"], length)
            self.counts["udp"] += 1
        is_part = is_v4 and int.from_bytes(packet[6:8], "big") & 0x3FFF
        if is_part or (not is_v4 and protocol == 44):
            self.counts["fragments"] += 1

    def _send(self, pair: Pair, target: int, packet: bytes) -> None:
        weather, drawn = self._weather, pair.stream.bits(64)
        loss, twice, late, jitter = (drawn >> shift & 0xFFFF for shift in (0, 16, 32, 48))
        if pair.is_cut:
            self.counts["cut"] += 1
            return
        if loss * 1_000 >> 16 < weather.loss_permille:
            self.counts["lost"] += 1
            return
        due_us = now_us() + pair.delay_us + (jitter * weather.jitter_us >> 16)
        if late * 1_000 >> 16 < weather.reorder_permille:
            self.counts["reordered"] += 1
            due_us += pair.delay_us + 5_000
        else:
            due_us = pair.last_due_us = max(due_us, pair.last_due_us)
        self._queue(due_us, target, packet)
        if twice * 1_000 >> 16 < weather.duplicate_permille:
            self.counts["doubled"] += 1
            self._queue(due_us, target, packet)

    def _queue(self, due_us: int, target: int, packet: bytes) -> None:
        if len(self._waiting) >= WAITING_COUNT_MAX:
            self.counts["overflow"] += 1
            return
        self._count += 1
        heapq.heappush(self._waiting, (due_us, self._count, target, packet))

    def _pair(self, source: int, target: int) -> Pair:
        pair = self._pairs.get((source, target))
        if pair is None:
            entity = bytes((source, target))
            pair = self._pairs[source, target] = Pair(Stream(self._seed, "pair", entity), 0, False)
            self._apply(source, target, pair)
        return pair

    def _apply(self, source: int, target: int, pair: Pair) -> None:
        between = "|".join(sorted((self._regions[source], self._regions[target])))
        pair.delay_us = self._weather.delay_us.get(between, 0)
        pair.is_cut = [source, target] in self._weather.cuts

    # -- control

    def _obey(self) -> bool:
        chunk = os.read(CONTROL, 65_536)
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            wanted = json.loads(line)
            if "weather" in wanted:
                self._weather = Weather(**wanted["weather"])
                for (source, target), pair in self._pairs.items():
                    self._apply(source, target, pair)
            if "addresses" in wanted:
                self._move(wanted["addresses"])
            say(dict(self.counts))
        return bool(chunk)


def packed(text: str) -> bytes:
    """An address as it stands in a packet."""
    return ipaddress.ip_address(text).packed


def target_of(packet: bytes) -> bytes:
    """The destination of an IPv4 or IPv6 packet."""
    return packet[16:20] if packet[:1] and packet[0] >> 4 == 4 else packet[24:40]


def now_us() -> int:
    return time.perf_counter_ns() // 1_000


def say(plain: dict[str, Any]) -> None:
    os.write(1, json.dumps(plain).encode() + b"\n")


if __name__ == "__main__":
    Link(json.loads(sys.argv[1])).run()
