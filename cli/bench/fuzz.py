"""A live node under fuzzed datagrams and frames: it answers, raises nothing, stays in its bounds.

The victim is a process of its own on real sockets. The attacker is an enrolled node of another
organisation, so that what it makes passes the seal and the TLS handshake and reaches the machines
behind them. What it sends is real traffic of the two, recorded before and then damaged: bytes
flipped, cut, repeated and spliced on the wire, and values changed inside messages that are encoded
well and sealed again. Some datagrams come from strangers' sockets, and some are nothing but noise.

The victim is told to shun nobody (else its door would close after the first score of faults);
every other bound is the product's. It is asked for its state all the while, which also keeps the
attacker from only filling the kernel's buffer: what the kernel drops does not count as sent.
"""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from hive.client.client import Client, connect
from hive.errors import HiveError, MalformedFrame
from hive.node import clocks
from hive.node.home import Home
from hive.node.logs import Log
from hive.node.node import Node, running
from hive.protocol import events as ev
from hive.transport.datagram import DatagramMachine
from hive.transport.events import Outgoing, Transmit
from hive.wire.codec import decode_typed, encode
from hive.wire.ids import PeerId
from hive.wire.randomness import Stream

from .homes import found_homes

DATAGRAM_GOAL: Final = 1_000_000
FRAME_GOAL: Final = 100_000
GROWTH_BYTES_MAX: Final = 64 << 20
ASK_EVERY: Final = 192
"""Datagrams between two questions to the victim; fewer than its socket's buffer holds."""
RECORD_S: Final = 6.0
SEEDS_MAX: Final = 512
FRAME_BYTES_MAX: Final = 64 * 1024
_SOUP_BYTES: Final = 64 * 1024
READY_S: Final = 30.0
_VICTIM: Final = """
import sys, pathlib, trio
from hive.node import control
from hive.node.home import Home
from hive.node.node import up
from hive.protocol.budget import BudgetConfig, Budgets
home = Home(pathlib.Path(sys.argv[1]))
def ready(node):
    patient = Budgets(BudgetConfig(health_permille_min=1_000))
    node.peer.core.budgets = node.peer.view.budgets = patient
    print("ready", flush=True)
async def main():
    await up(home, home.settings(), None, control=control.serve, ready=ready)
trio.run(main)
"""


@dataclass(frozen=True, slots=True)
class FuzzReport:
    """What was thrown, and what the victim looked like before and after."""

    seed: int
    datagrams_sent: int
    datagrams_lost_in_kernel: int
    frames_sent: int
    seconds: float
    resident_before_bytes: int
    resident_most_bytes: int
    escapes: int
    """Tracebacks and errors in what the victim wrote."""
    answers: bool
    """Whether it took a write and answered from it afterwards."""
    drops: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def goal_met(self) -> bool:
        """Nothing escaped, memory stayed, it answers; whatever number was asked for."""
        grown = self.resident_most_bytes - self.resident_before_bytes
        return not self.escapes and self.answers and grown <= GROWTH_BYTES_MAX

    def as_dict(self) -> dict[str, object]:
        """Plain values, the goals beside them."""
        return {
            **asdict(self),
            "datagrams_goal": DATAGRAM_GOAL,
            "frames_goal": FRAME_GOAL,
            "growth_bytes_max": GROWTH_BYTES_MAX,
            "goal_met": self.goal_met,
        }

    def text(self) -> str:
        """For people."""
        mib = 1 << 20
        return "\n".join(
            (
                f"fuzzed a live node, seed {self.seed}, {self.seconds:.0f} s",
                f"datagrams  {self.datagrams_sent:>10,}   goal {DATAGRAM_GOAL:,} "
                f"(beside them {self.datagrams_lost_in_kernel:,} lost in the kernel)",
                f"frames     {self.frames_sent:>10,}   goal {FRAME_GOAL:,}",
                f"resident   {self.resident_before_bytes / mib:.1f} MiB before, "
                f"at most {self.resident_most_bytes / mib:.1f}   "
                f"goal: {GROWTH_BYTES_MAX // mib} MiB more",
                f"escapes    {self.escapes:>10}   goal 0",
                f"answers    {self.answers!s:>10}",
                f"dropped    {self.drops}",
                f"refused    {self.refused}",
            )
        )


def measure(
    datagrams_count: int = DATAGRAM_GOAL, frames_count: int = FRAME_GOAL, seed: int = 1
) -> FuzzReport:
    """Throws them all; some minutes with the defaults."""
    with tempfile.TemporaryDirectory(prefix="hive-fuzz-") as folder:
        victim, attacker = found_homes(Path(folder), ("acme", "bell"))
        errors = Path(folder) / "victim.log"
        with errors.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _VICTIM, str(victim.path)],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with connect(victim.path) as client:
                plan = _Plan(datagrams_count, frames_count, seed)
                return trio.run(_attack, attacker, _Victim(victim, process, client, errors), plan)
        finally:
            process.terminate()
            process.wait(READY_S)
            if process.stdout is not None:
                process.stdout.close()


@dataclass(frozen=True, slots=True)
class _Plan:
    datagrams_count: int
    frames_count: int
    seed: int


@dataclass(slots=True)
class _Victim:
    home: Home
    process: subprocess.Popen[bytes]
    client: Client
    errors: Path
    most_bytes: int = 0

    @property
    def address(self) -> tuple[str, int]:
        settings = self.home.settings()
        return settings.listen, settings.udp_port

    async def ask(self) -> dict[str, Any]:
        """Its counters; it has then taken what was sent before, but for what the kernel holds."""
        found: dict[str, Any] = await trio.to_thread.run_sync(self.client.call, "metrics")
        self.most_bytes = max(self.most_bytes, self.resident_bytes)
        return found

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1_024

    @property
    def lost_count(self) -> int:
        """Datagrams that the kernel dropped at its socket."""
        port = f":{self.address[1]:04X}"
        for line in Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(port):
                return int(fields[-1])
        return 0

    @property
    def escapes(self) -> int:
        text = self.errors.read_text(encoding="utf-8", errors="replace")
        return text.count("Traceback") + text.count('"level": "error"')

    def write(self, text: str) -> None:
        """Has it remember something."""
        self.client.remember(text, namespace="commons/notes")

    @property
    def is_fresh(self) -> bool:
        """Whether it may write: it heard the issuers."""
        return bool(self.client.status()["freshness"]["is_fresh"])

    async def answers(self) -> bool:
        """Whether it takes a write and gives it back."""

        def write_and_read() -> bool:
            self.write("the fuzzed otter floats")
            return bool(self.client.recall("fuzzed otter")["hits"])

        try:
            return self.process.poll() is None and await trio.to_thread.run_sync(write_and_read)
        except HiveError:
            return False


class Damage:
    """Makes bad bytes of good ones, repeatably."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        words = (stream.bits(256).to_bytes(32, "big") for _ in range(_SOUP_BYTES // 32))
        self._soup = b"".join(words)

    def below(self, bound: int) -> int:
        """A number below the bound."""
        return self._stream.below(bound)

    def pick(self, seeds: Sequence[bytes]) -> bytes:
        """One of them."""
        return seeds[self._stream.below(len(seeds))]

    def noise(self, bytes_max: int) -> bytes:
        """Random bytes of a random length."""
        at, size = self._stream.below(_SOUP_BYTES - bytes_max), self._stream.below(bytes_max + 1)
        return self._soup[at : at + size]

    def raw(self, good: bytes, other: bytes) -> bytes:
        """Flipped, cut, repeated or spliced."""
        if not good:
            return self.noise(64)
        at = self._stream.below(len(good))
        match self._stream.below(6):
            case 0:
                return good[:at]
            case 1:
                return good[:at] + good[at : at + 40] * 3 + good[at:]
            case 2:
                return good[:at] + other[at:]
            case _:
                bad = bytearray(good)
                for _ in range(1 + self._stream.below(4)):
                    bad[self._stream.below(len(bad))] = self._stream.below(256)
                return bytes(bad)

    def inside(self, good: bytes, other: bytes) -> bytes:
        """Well encoded, with values that no honest peer would say; else `raw`."""
        try:
            tree = decode_typed(good, _ANYTHING, bytes_max=len(good))
            return encode(self._twisted(tree, 0))
        except (MalformedFrame, ValueError, TypeError, OverflowError):
            return self.raw(good, other)

    def _twisted(self, value: Any, depth: int) -> Any:
        if isinstance(value, tuple) and value and depth < 8:
            at = self._stream.below(len(value))
            kept = list(value)
            match self._stream.below(8):
                case 0:
                    del kept[at]
                case 1:
                    kept.insert(at, kept[at])
                case _:
                    kept[at] = self._twisted(kept[at], depth + 1)
            return tuple(kept)
        match value:
            case bool():
                return not value
            case int():
                odd = (0, 1, 2**16, 2**32, 2**63, 2**64 - 1, value + 1, max(0, value - 1))
                return odd[self._stream.below(len(odd))]
            case bytes() if len(value) > 64 and self._stream.below(2):
                return self.inside(value, value)
            case bytes():
                return self.raw(value, value)
            case str():
                return value[: self._stream.below(len(value) + 1)] + "\u202e/" * (len(value) % 3)
            case _:
                return (value,)


class _Anything:
    """The shape of whatever the codec can read."""

    def check(self, value: object) -> None:
        """Nothing: it is damaged anyway."""


_ANYTHING: Final = _Anything()


@dataclass(slots=True)
class _Tape:
    """Real traffic of the attacker with its victim."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)

    def on(self, node: Node) -> None:
        """Listens to everything the node sends from now on."""
        datagrams, links = node.driver.datagrams, node.driver.links
        assert datagrams is not None
        assert links is not None
        perform, send, handle = datagrams.perform, links.send, datagrams.machine.handle

        def performed(effect: ev.Effect) -> bool:
            if isinstance(effect, ev.SendDatagram):
                _keep(self.messages, (effect.kind, effect.payload))
            return perform(effect)

        def sent(receiver: PeerId, payload: bytes) -> None:
            if len(payload) <= FRAME_BYTES_MAX:
                _keep(self.frames, payload)
            send(receiver, payload)

        def handled(*arguments: Any) -> Any:
            effects = handle(*arguments)
            for effect in effects:
                if isinstance(effect, Transmit):
                    _keep(self.datagrams, effect.datagram)
            return effects

        for owner, name, tap in (
            (datagrams, "perform", performed),
            (links, "send", sent),
            (datagrams.machine, "handle", handled),
        ):
            setattr(owner, name, tap)


def _keep(tape: list[Any], item: Any) -> None:
    if len(tape) < SEEDS_MAX:
        tape.append(item)


async def _attack(attacker: Home, victim: _Victim, plan: _Plan) -> FuzzReport:
    log = Log(io.StringIO(), "error")
    async with running(attacker, attacker.settings(), None, is_online=True, log=log) as node:
        tape = _Tape()
        tape.on(node)
        await _converse(node, victim, tape)
        before, lost = victim.resident_bytes, victim.lost_count
        began = clocks.read().monotonic_us
        damage = Damage(Stream(plan.seed.to_bytes(32, "big"), "fuzz", b""))
        datagrams = await _throw_datagrams(node, victim, tape, damage, plan.datagrams_count)
        frames = await _throw_frames(node, victim, tape, damage, plan.frames_count)
        counters = await victim.ask()
        refused = {code: n for code, n in counters["refused_by_reason"].items() if n}
        lost = victim.lost_count - lost
        return FuzzReport(
            seed=plan.seed,
            datagrams_sent=datagrams - lost,
            datagrams_lost_in_kernel=lost,
            frames_sent=frames,
            seconds=(clocks.read().monotonic_us - began) / 1e6,
            resident_before_bytes=before,
            resident_most_bytes=victim.most_bytes,
            answers=await victim.answers(),
            escapes=victim.escapes,
            drops=dict(counters["datagram_drops"]),
            refused=refused,
        )


async def _converse(node: Node, victim: _Victim, tape: _Tape) -> None:
    """Real traffic of every kind, to be damaged afterwards."""
    with trio.fail_after(READY_S):
        await _until(lambda: node.driver.links is not None and bool(node.driver.links.peers))
        while not await trio.to_thread.run_sync(lambda: victim.is_fresh):
            pass
    for number in range(8):
        await trio.to_thread.run_sync(victim.write, f"memory {number} of the fuzzed otter")
    with trio.move_on_after(RECORD_S):
        await trio.sleep_forever()
    assert tape.messages
    assert tape.datagrams
    assert tape.frames


async def _until(check: Callable[[], bool]) -> None:
    while not check():
        with trio.move_on_after(0.001):
            await trio.sleep_forever()


async def _throw_datagrams(
    node: Node, victim: _Victim, tape: _Tape, damage: Damage, count: int
) -> int:
    target, peer = victim.address, _victim_id(node)
    datagrams = node.driver.datagrams
    assert datagrams is not None
    machine, wire = datagrams.machine, tape.datagrams
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for number in range(count):
            match damage.below(8):
                case 0:
                    stranger.sendto(damage.noise(300), target)
                case 1:
                    stranger.sendto(_bounded(damage.raw(damage.pick(wire), wire[-1])), target)
                case 2 | 3:
                    bad = _bounded(damage.raw(damage.pick(wire), damage.pick(wire)))
                    datagrams._interfaces.transmit(target, bad)
                case _:
                    for sealed in _sealed(machine, peer, tape, damage):
                        datagrams._interfaces.transmit(target, sealed.datagram)
            if number % ASK_EVERY == 0:
                await victim.ask()
    await victim.ask()
    return count


def _bounded(datagram: bytes) -> bytes:
    return datagram[:1_400]


def _sealed(
    machine: DatagramMachine, peer: PeerId, tape: _Tape, damage: Damage
) -> Sequence[Transmit]:
    """A damaged message in an honest box."""
    kind, good = tape.messages[damage.below(len(tape.messages))]
    other = tape.messages[damage.below(len(tape.messages))][1]
    bad = (damage.inside if damage.below(2) else damage.raw)(good, other)
    if not damage.below(16):
        kind = damage.below(256)
    effects = machine.handle(Outgoing(peer, kind, bad[:1_094]), clocks.read())
    return [effect for effect in effects if isinstance(effect, Transmit)]


async def _throw_frames(
    node: Node, victim: _Victim, tape: _Tape, damage: Damage, count: int
) -> int:
    peer, links = _victim_id(node), node.driver.links
    assert links is not None
    sent = 0
    while sent < count:
        with trio.fail_after(READY_S):
            await _until(lambda: peer in links.peers and not links.waiting_bytes(peer))
        for _ in range(min(ASK_EVERY, count - sent)):
            good, other = damage.pick(tape.frames), damage.pick(tape.frames)
            bad = (damage.inside if damage.below(3) else damage.raw)(good, other)
            links.send(peer, bad or b"-")
            sent += 1
        await victim.ask()
    return sent


def _victim_id(node: Node) -> PeerId:
    known = [peer for peer, each in node.peer.introductions.known.items() if each.is_reached]
    return known[0]
