"""Own authors: commands become drafts, drafts become signed deltas, deltas go through ingress.

One job a chain: its next flight starts when the one before was decided, so that sequences are
used once; what was asked meanwhile shares one signature, up to 64 deltas. An answer waits for
the disk: `Stored` releases it, `StoreFailed` turns it into a refusal.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hive.errors import ConfigError
from hive.memory.authoring import Draft, Pen, Unsigned, attach, compose
from hive.memory.delta import BATCH_COUNT_MAX, Delta
from hive.memory.log import Head
from hive.memory.namespaces import is_namespace
from hive.protocol import refusals
from hive.protocol.commands import Author, Authored, Declined
from hive.protocol.core import Core, Effects
from hive.protocol.events import Reply, RequestId, SignAs
from hive.protocol.intake import Intake
from hive.protocol.machine import Token
from hive.protocol.outcomes import Output, OwnConcluded
from hive.protocol.refusals import Refusal
from hive.trust.chain import Chain
from hive.trust.records import chain_digest
from hive.wire.clock import Hlc, Now
from hive.wire.ids import Inception, RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorshipConfig:
    """Bounds of own writing."""

    queued_draft_count_max: int = 16_384
    """Drafts that wait for a flight, over all chains; beyond it writers are told to wait."""

    def __post_init__(self) -> None:
        if self.queued_draft_count_max < BATCH_COUNT_MAX:
            raise ConfigError(f"queued_draft_count_max must be at least {BATCH_COUNT_MAX}")


@dataclass(slots=True, eq=False)
class _Request:
    id: RequestId
    drafts: deque[Draft]
    written: list[Delta] = field(default_factory=list)
    durable_count: int = 0
    is_declined: bool = False


@dataclass(slots=True)
class _Job:
    """One chain's writing: waiting requests, and the flight under way."""

    author: Inception
    namespace: str
    requests: deque[_Request] = field(default_factory=deque)
    unsigned: Unsigned | None = None
    is_flying: bool = False


class Authorship:
    """The part of a peer that writes for its own agents."""

    def __init__(
        self,
        core: Core,
        config: AuthorshipConfig,
        intake: Intake,
        agents: dict[Inception, RecordId],
        sessions: dict[Inception, RecordId],
    ) -> None:
        self._core = core
        self._config = config
        self._intake = intake
        self._leaves = (sessions, agents)
        self._jobs: dict[tuple[Inception, str], _Job] = {}
        self._signing: dict[Token, _Job] = {}
        self._flying: dict[Token, _Job] = {}
        self._unsettled: dict[Token, list[tuple[_Request, int]]] = {}
        self._queued = 0

    def ask(self, request: RequestId, command: Author, now: Now) -> Effects:
        """Queues a command's drafts; refuses at once what can never be written."""
        if not is_namespace(command.namespace):
            return [_declined(request, Refusal(refusals.BAD_NAMESPACE, command.namespace[:64]))]
        if self._leaf(command.agent, now) is None:
            detail = "no valid record of this agent with its key in this node's custody"
            return [_declined(request, Refusal(refusals.LEAF_NOT_VALID, detail))]
        if self._queued + len(command.drafts) > self._config.queued_draft_count_max:
            return [_declined(request, Refusal(refusals.OVER_BUDGET, "too many drafts wait"))]
        if not command.drafts:
            return [Reply(request, Authored(()))]
        key = (command.agent, command.namespace)
        job = self._jobs.setdefault(key, _Job(command.agent, command.namespace))
        job.requests.append(_Request(request, deque(command.drafts)))
        self._queued += len(command.drafts)
        return self._fly(job, now)

    def _leaf(self, agent: Inception, now: Now) -> Chain | None:
        """A session of the agent where one lives, else its own record."""
        for leaves in self._leaves:
            record = leaves.get(agent)
            chain = self._core.live_chain(record, now) if record else None
            if chain is not None:
                return chain
        return None

    def _fly(self, job: _Job, now: Now) -> Effects:
        """Starts the next flight of a chain, where none is under way."""
        if job.unsigned is not None or job.is_flying:
            return []
        if not job.requests:
            self._jobs.pop((job.author, job.namespace), None)
            return []
        leaf = self._leaf(job.author, now)
        if leaf is None:
            return self._fail(job, Refusal(refusals.LEAF_NOT_VALID))
        drafts = [draft for request in job.requests for draft in request.drafts][:BATCH_COUNT_MAX]
        newest, wall_us = self._time(now, drafts)
        job.unsigned = compose(self._pen(job, leaf), drafts, self._head(job), newest, wall_us)
        token = self._core.tokens.fresh()
        self._signing[token] = job
        outer = self._core.tokens.route("draft", token)
        return [SignAs(outer, leaf.key.digest, job.unsigned.label, job.unsigned.subject)]

    def _pen(self, job: _Job, leaf: Chain) -> Pen:
        return Pen(
            federation=self._core.federation,
            namespace=job.namespace,
            author=job.author,
            writer=self._core.own.inception,
            leaf=leaf.leaf,
            epochs=self._core.epochs.epochs(),
            lease=0,
            residency=self._core.law.regions(job.namespace),
        )

    def _head(self, job: _Job) -> Head | None:
        chain = chain_digest(job.author, self._core.own.inception, job.namespace)
        return self._core.pending.head(chain)

    def _time(self, now: Now, drafts: list[Draft]) -> tuple[Hlc, int]:
        """The highest stamp to exceed (everything held, every parent), and the wall clock."""
        newest = int(self._core.reader.newest_hlc())
        for draft in drafts:
            for parent in draft.parents:
                held = self._core.pending.delta(parent)
                newest = max(newest, held.header.hlc if held else 0)
        return Hlc(newest), now.wall_us

    def signed(self, token: Token, signature: bytes, now: Now) -> list[Output]:
        """The author's signature came: the flight goes through ingress.

        An empty one says that the key would not sign; the flight ends there.
        """
        job = self._signing.pop(token, None)
        if job is None or job.unsigned is None:
            return []
        if not signature:
            job.unsigned, job.is_flying = None, True
            flight = self._core.tokens.fresh()
            self._flying[flight] = job
            refusal = Refusal(refusals.LEAF_NOT_VALID, "the agent's key did not sign")
            return [OwnConcluded(flight, (), (refusal,))]
        deltas = attach(job.unsigned, signature)
        job.unsigned, job.is_flying = None, True
        flight = self._core.tokens.fresh()
        self._flying[flight] = job
        return self._intake.arrive_own(deltas, flight, now)

    def concluded(self, outcome: OwnConcluded, now: Now) -> Effects:
        """A flight was decided; answers wait for the disk, the next flight starts."""
        job = self._flying.pop(outcome.token, None)
        if job is None:
            return []
        job.is_flying = False
        effects = self._share(job, outcome.admitted, outcome.token)
        if outcome.refused:
            effects += self._fail(job, outcome.refused[0])
        return [*effects, *self._fly(job, now)]

    def _share(self, job: _Job, admitted: tuple[Delta, ...], token: Token) -> Effects:
        """Gives each waiting request its deltas; those complete are answered behind the store."""
        replies: Effects = []
        touched: dict[RequestId, tuple[_Request, int]] = {}
        for delta in admitted:
            request = job.requests[0]
            request.drafts.popleft()
            request.written.append(delta)
            self._queued -= 1
            touched[request.id] = (request, len(request.written))
            if not request.drafts:
                job.requests.popleft()
                replies.append(Reply(request.id, Authored(tuple(request.written))))
        if admitted:
            self._unsettled[token] = list(touched.values())
        return replies

    def _fail(self, job: _Job, refusal: Refusal) -> Effects:
        """Declines everything that waits on a chain."""
        effects: Effects = []
        while job.requests:
            effects += self._decline(job.requests.popleft(), refusal)
        return effects

    def _decline(self, request: _Request, refusal: Refusal) -> Effects:
        """Answers a request once, naming what of it is durable."""
        self._queued -= len(request.drafts)
        request.drafts.clear()
        if request.is_declined:
            return []
        request.is_declined = True
        already = tuple(delta.id for delta in request.written[: request.durable_count])
        return [Reply(request.id, Declined(refusal, already))]

    def stored(self, token: Token) -> None:
        """The flight's writes are durable; its answers went out behind them."""
        for request, count in self._unsettled.pop(token, ()):
            request.durable_count = count

    def store_failed(self, token: Token, refusal: Refusal) -> Effects:
        """The flight's writes were not taken; requests that lost a part of theirs are declined."""
        effects: Effects = []
        for request, _ in self._unsettled.pop(token, ()):
            for job in self._jobs.values():
                if request in job.requests:
                    job.requests.remove(request)
            effects += self._decline(request, refusal)
        return effects


def _declined(request: RequestId, refusal: Refusal) -> Reply:
    return Reply(request, Declined(refusal))
