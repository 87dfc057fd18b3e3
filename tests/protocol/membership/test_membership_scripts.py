"""Histories of small cells as readable text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from membership_network import SECOND, Identity, Network

from hive.protocol.machine import Received
from hive.protocol.membership.config import SwimConfig
from hive.protocol.membership.events import (
    MemberAlive,
    MemberDied,
    MemberLeft,
    MemberReaped,
    MemberSuspected,
    News,
    PeerUnknown,
    Retired,
    SelfRefuted,
)
from hive.protocol.membership.messages import Gossip, Standing

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


class Interpreter:
    """One command a line; the output of `run` is the news of all nodes, in order."""

    def __init__(self) -> None:
        self.network = Network(SwimConfig.for_lan())
        self._told: dict[str, int] = {}

    def __call__(self, line: str) -> str:
        command, *words = line.split()
        handler: Callable[..., str | None] = getattr(self, f"do_{command}")
        return handler(*words) or "ok"

    def do_cell(self, count: str) -> None:
        self.network.add_converged(int(count))

    def do_add(self, name: str) -> None:
        self.network.add(name)

    def do_introduce(self, one: str, other: str) -> None:
        self.network.introduce(one, other)
        self.network.introduce(other, one)

    def do_kill(self, name: str) -> None:
        self.network.kill(name)

    def do_restart(self, name: str, incarnation: str) -> None:
        self.network.restart(name, int(incarnation))
        self._told[name] = 0

    def do_leave(self, name: str) -> None:
        self.network.leave(name)

    def do_retire(self, name: str, at: str) -> None:
        self.network.feed(at, Retired(self.network.nodes[name].identity.peer))

    def do_partition(self, left: str, right: str) -> None:
        self.network.partition(left.split(","), right.split(","))

    def do_heal(self) -> None:
        self.network.heal()

    def do_accuse(self, accuser: str, subject: str, incarnation: str, to: str) -> None:
        """The accuser lies: it signs a suspicion and tells it to one node."""
        liar = Identity.named(accuser)
        peer = self.network.nodes[subject].identity.peer
        lie = liar.says(peer, Standing.SUSPECT, int(incarnation))
        self.network.feed(to, Received(liar.peer, Gossip((lie,)).to_body()))

    def do_run(self, seconds: str) -> str:
        self.network.run(int(float(seconds) * SECOND))
        lines = []
        for name, node in self.network.nodes.items():
            fresh = node.news[self._told.get(name, 0) :]
            self._told[name] = len(node.news)
            lines += [(at, f"{at / SECOND:.3f} {name}: {self._text(news)}") for at, news in fresh]
        return "\n".join(text for _, text in sorted(lines)) or "quiet"

    def do_view(self, at: str) -> str:
        view = self.network.nodes[at].swim.view
        lines = [
            f"{self.network.names[member.peer]} {member.standing.name.lower()} {member.incarnation}"
            for member in view
        ]
        return "\n".join(sorted(lines))

    def _text(self, news: News) -> str:
        names = self.network.names
        match news:
            case MemberAlive(peer, incarnation):
                return f"{names[peer]} alive {incarnation}"
            case MemberSuspected(peer, incarnation, accuser):
                return f"{names[peer]} suspected {incarnation} by {names[accuser]}"
            case MemberDied(peer, incarnation):
                return f"{names[peer]} died {incarnation}"
            case MemberLeft(peer, incarnation):
                return f"{names[peer]} left {incarnation}"
            case MemberReaped(peer):
                return f"{names[peer]} reaped"
            case SelfRefuted(incarnation):
                return f"refuted with {incarnation}"
            case PeerUnknown(peer, told_by):
                return f"{names[peer]} unknown, told by {names[told_by]}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_histories_read_as_written(path: Path, script) -> None:  # type: ignore[no-untyped-def]
    script(path, Interpreter())
