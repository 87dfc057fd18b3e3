"""One probe an interval (SWIM sections 3.1 and 4.3): shuffled round robin, direct pings with
retries, then helpers, then a verdict at the end of the interval, stretched by local health."""

from __future__ import annotations

from dataclasses import dataclass, field

from hive.protocol.membership.author import Author
from hive.protocol.membership.cell import Cell
from hive.protocol.membership.judge import Judge
from hive.protocol.membership.messages import Ack, Nack, Ping, PingRequest, Signed, Standing
from hive.wire.clock import MonotonicUs
from hive.wire.ids import Inception, PeerId

_HELPERS_DRAWN = 4
"""Members looked at for each helper wanted, so that different orgs are found."""
_QUIET_INTERVALS = 4
"""After so many without a word from anybody a member may be the last one."""
_PROBED = (Standing.ALIVE, Standing.SUSPECT, Standing.INTRODUCED)


@dataclass(slots=True)
class _Probe:
    sequence: int
    subject: PeerId
    started_at: int
    ends_at: int
    verdict_at: int
    pings: int = 0
    helpers: tuple[PeerId, ...] | None = None
    nacks: dict[PeerId, tuple[Signed, ...]] = field(default_factory=dict)
    is_acked: bool = False


class Prober:
    """The order of probes and the one under way."""

    def __init__(self, cell: Cell, judge: Judge, author: Author) -> None:
        self._cell = cell
        self._judge = judge
        self._author = author
        self._order: list[PeerId] = []
        self._next = 0
        self._probe: _Probe | None = None
        self._starts_at: int | None = None

    @property
    def deadline(self) -> MonotonicUs | None:
        """When the probe under way takes its next step, or the next one starts."""
        if (probe := self._probe) is None:
            return None if self._starts_at is None else MonotonicUs(self._starts_at)
        config = self._cell.config
        if probe.is_acked or probe.helpers is not None:
            return MonotonicUs(probe.verdict_at)
        if probe.pings < config.ping_attempts:
            return MonotonicUs(probe.started_at + probe.pings * config.ping_retry_us)
        return MonotonicUs(probe.started_at + config.ping_timeout_us)

    def insert(self, peer: PeerId) -> None:
        """Adds a member at a random place; the first one starts the rounds at a random phase."""
        if peer in self._order:
            return
        at = self._cell.stream.below(len(self._order) + 1)
        self._order.insert(at, peer)
        if at < self._next:
            self._next += 1
        if self._starts_at is None and self._probe is None:
            phase = self._cell.stream.below(self._cell.config.probe_interval_us)
            self._starts_at = self._cell.now_us + phase

    def delay(self, by_us: int) -> None:
        """Moves the probe under way: we were not listening for that long."""
        if self._starts_at is not None:
            self._starts_at += by_us
        if self._probe is not None:
            self._probe.started_at += by_us
            self._probe.verdict_at += by_us
            self._probe.ends_at += by_us

    def acked(self, sender: PeerId, ack: Ack) -> None:
        """Takes an answer, from the subject or from a helper that we asked."""
        probe = self._probe
        if probe is None or probe.is_acked or ack.sequence != probe.sequence:
            return
        is_helper = probe.helpers is not None and sender in probe.helpers
        if ack.subject == probe.subject and (sender == probe.subject or is_helper):
            probe.is_acked = True
            self._cell.health.improve()

    def nacked(self, sender: PeerId, nack: Nack) -> None:
        """Takes a helper's word that it is well and the subject silent; kept until the verdict."""
        probe = self._probe
        if probe is None or probe.helpers is None or nack.sequence != probe.sequence:
            return
        if sender in probe.helpers and nack.subject == probe.subject:
            if len(probe.nacks) + 1 == len(probe.helpers):
                probe.verdict_at = min(probe.verdict_at, self._cell.now_us)
            probe.nacks[sender] = tuple(
                signed
                for signed in nack.statements
                if signed.author == sender and signed.subject == probe.subject
            )

    def tick(self) -> None:
        """Takes every step that is due."""
        while (due := self.deadline) is not None and due <= self._cell.now_us:
            if self._probe is None:
                self._begin()
            else:
                self._step(self._probe)

    def _step(self, probe: _Probe) -> None:
        if probe.is_acked or probe.helpers is not None:
            self._end(probe)
        elif probe.pings < self._cell.config.ping_attempts:
            self._ping(probe)
        else:
            self._ask_helpers(probe)

    def _begin(self) -> None:
        cell, now = self._cell, self._cell.now_us
        self._starts_at = None
        if (subject := self._pick()) is None:
            return
        interval = cell.health.scaled(cell.config.probe_interval_us)
        self._probe = _Probe(cell.next_token(), subject, now, now + interval, now + interval)

    def _ping(self, probe: _Probe) -> None:
        cell, member = self._cell, self._cell.view.get(probe.subject)
        probe.pings += 1
        if member is not None:
            statements = cell.statements_for(member)
            cell.send(probe.subject, Ping(probe.sequence, member.incarnation, statements))

    def _ask_helpers(self, probe: _Probe) -> None:
        cell = self._cell
        probe.helpers = self._pick_helpers(probe.subject)
        for helper in probe.helpers:
            cell.send(helper, PingRequest(probe.sequence, probe.subject))

    def _pick_helpers(self, subject: PeerId) -> tuple[PeerId, ...]:
        """Helpers of different orgs first: their nacks confirm each other."""
        cell, count = self._cell, self._cell.config.helpers
        orgs: dict[Inception, None] = {cell.own.org: None}
        first: list[PeerId] = []
        others: list[PeerId] = []
        for peer in cell.view.pick_live(cell.stream, _HELPERS_DRAWN * count, (subject,)):
            member = cell.view.get(peer)
            if member is None or cell.damping.is_suppressed(peer):
                continue
            (others if member.introduction.org in orgs else first).append(peer)
            orgs[member.introduction.org] = None
        return tuple([*first, *others][:count])

    def _end(self, probe: _Probe) -> None:
        """The verdict; the next probe starts at the end of the interval.

        Who heard neither ack nor nack, but others, probably loses what it sends, and accuses
        nobody; who hears nobody at all accuses, for it may be the last one.
        """
        self._probe = None
        self._starts_at = max(self._cell.now_us, probe.ends_at)
        member = self._cell.view.get(probe.subject)
        if probe.is_acked or member is None or not member.is_live:
            return
        helpers = probe.helpers or ()
        missing = len(helpers) - len(probe.nacks)
        self._cell.health.worsen(missing if helpers else 1)
        since = probe.started_at - _QUIET_INTERVALS * self._cell.config.probe_interval_us
        if helpers and not probe.nacks and self._cell.heard_at >= since:
            return
        self._author.accuse(probe.subject)
        for helper in helpers:
            self._judge.receive(helper, probe.nacks.get(helper, ()))

    def _pick(self) -> PeerId | None:
        """The next member of the round; at its end the order is cleaned and shuffled anew."""
        if self._next >= len(self._order):
            self._order = [peer for peer in self._order if self._is_probed(peer)]
            self._cell.stream.shuffle(self._order)
            self._next = 0
        while self._next < len(self._order):
            peer = self._order[self._next]
            self._next += 1
            if self._is_probed(peer):
                return peer
        if any(self._is_probed(peer) for peer in self._order):
            return self._pick()
        self._order = []
        return None

    def _is_probed(self, peer: PeerId) -> bool:
        member = self._cell.view.get(peer)
        return member is not None and member.standing in _PROBED
