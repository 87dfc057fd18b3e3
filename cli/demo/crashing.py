"""Act 5: a node is killed in mid-write; the others notice, go on, and it catches up."""

from __future__ import annotations

import threading
import time
from typing import Final

from hive.errors import HiveError

from .federation import COMMONS, Federation
from .joining import live_count
from .member import Member
from .stage import Stage, require

VICTIM: Final = "bell-1"
WRITER_COUNT: Final = 4
HAMMER_S: Final = 1.5
MISSED_COUNT: Final = 256
NOTICE_S: Final = 40.0
CATCH_UP_S: Final = 40.0


class Hammer(threading.Thread):
    """Writes one memory after the other until the node is gone; keeps what was acknowledged."""

    def __init__(self, member: Member, number: int) -> None:
        super().__init__(daemon=True)
        self._client = member.connect()
        self._number = number
        self.acknowledged: list[str] = []
        self.is_in_flight = False

    def run(self) -> None:
        """Ends with the node."""
        count = 0
        try:
            while True:
                count += 1
                self.is_in_flight = True
                made = self._client.remember(
                    f"writer {self._number} noted line {count} before the lights went out",
                    namespace=f"{COMMONS}/crash",
                )
                self.acknowledged.append(made["id"])
                self.is_in_flight = False
        except HiveError:
            self._client.close()


def play(stage: Stage, federation: Federation, forgotten: str) -> None:
    """Kills, waits for the others' verdict, writes and forgets meanwhile, restarts, compares."""
    stage.act(5, "crashing", f"{VICTIM} is killed with SIGKILL in mid-write")
    victim = federation[VICTIM]
    peer = victim.call("status")["node"]["peer"]
    acknowledged = _kill_in_mid_write(stage, victim)
    survivors = federation.others(victim)
    with stage.busy("the others notice"):
        noticed = federation.wait(
            lambda member: _state_of(member, peer) == "dead", survivors, "to notice", NOTICE_S
        )
    first, last = min(noticed.values()), max(noticed.values())
    stage.figure("death noticed by the first / last survivor", f"{first:.2f} / {last:.2f}", "s")
    stage.good(f"SWIM: the first of five noticed after {first:.2f} s, the last after {last:.2f} s")
    writer = federation["acme-1"]
    lines = [f"line {number} was written while bell was away" for number in range(MISSED_COUNT)]
    items = [{"text": line} for line in lines]
    missed = writer.call("remember_many", items=items, namespace=f"{COMMONS}/crash")["ids"]
    writer.call("forget", ids=[forgotten], reason="asked for while a node was down")
    stage.say(
        f"meanwhile {len(missed)} memories are written, and one that {VICTIM} holds is forgotten"
    )
    _come_back(stage, federation, victim)
    _nothing_lost(stage, federation, victim, [*acknowledged, *missed])
    held = victim.held(forgotten)
    require(held is not None and held["state"] == "forgotten", f"{VICTIM} kept what was forgotten")
    stage.good(f"what was forgotten in its absence is forgotten on {VICTIM} too")


def _kill_in_mid_write(stage: Stage, victim: Member) -> list[str]:
    hammers = [Hammer(victim, number) for number in range(WRITER_COUNT)]
    for hammer in hammers:
        hammer.start()
    with stage.busy("four writers hammer it"):
        time.sleep(HAMMER_S)
    in_flight = sum(hammer.is_in_flight for hammer in hammers)
    victim.kill()
    for hammer in hammers:
        hammer.join(10)
    acknowledged = [delta for hammer in hammers for delta in hammer.acknowledged]
    require(len(acknowledged) > 0, "nothing was acknowledged before the kill")
    stage.figure("acknowledged by the node before it was killed", len(acknowledged), "memories")
    stage.good(f"killed with {in_flight} writes in flight, {len(acknowledged)} acknowledged before")
    return acknowledged


def _state_of(member: Member, peer: str) -> str:
    listed = member.call("peers")["peers"]
    return next((str(each["state"]) for each in listed if each["peer"] == peer), "gone")


def _come_back(stage: Stage, federation: Federation, victim: Member) -> None:
    began = time.perf_counter()
    with stage.busy(f"{VICTIM} starts again"):
        victim.start()
        victim.await_ready()
        up_s = time.perf_counter() - began
        federation.wait(
            lambda member: live_count(member) == len(federation.members) - 1,
            federation.members,
            "to see everybody again",
            CATCH_UP_S,
        )
        federation.wait_equal(f"{VICTIM} did not catch up", CATCH_UP_S)
    caught_up_s = time.perf_counter() - began
    stage.figure("restarted, without repair", up_s, "s")
    stage.figure("caught up: six identical digests", caught_up_s, "s")
    stage.good(
        f"up {up_s:.2f} s after its restart, no repair; six identical replica digests "
        f"after {caught_up_s:.2f} s"
    )


def _nothing_lost(stage: Stage, federation: Federation, victim: Member, ids: list[str]) -> None:
    for member in (victim, federation["corp-2"]):
        lost = [delta for delta in ids if member.held(delta) is None]
        require(not lost, f"{member.name} lost {len(lost)} of {len(ids)} acknowledged memories")
    stage.figure("acknowledged and lost", 0, f"of {len(ids)}", 0)
    stage.good(f"every one of {len(ids)} acknowledged memories is on {VICTIM} and on corp-2")
