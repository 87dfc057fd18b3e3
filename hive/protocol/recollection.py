"""Recall: what the asker may read is settled before anything is ranked (P12)."""

from __future__ import annotations

from hive.memory.log import State
from hive.protocol import refusals
from hive.protocol.bounded import BoundedMap
from hive.protocol.commands import Declined, Hit, Recall, Recalled
from hive.protocol.core import Core, Effects
from hive.protocol.events import Reply, RequestId, Search, Searched
from hive.protocol.refusals import Refusal
from hive.trust.capability import RECALL, covers_namespace
from hive.trust.chain import Chain
from hive.wire.clock import MILLISECOND_US, Now
from hive.wire.ids import Inception, RecordId

PENDING_COUNT_MAX = 1_024


class Recollection:
    """The part of a peer that answers questions."""

    def __init__(self, core: Core, agents: dict[Inception, RecordId]) -> None:
        self._core = core
        self._agents = agents
        self._asked: BoundedMap[RequestId, tuple[Recall, tuple[str, ...]]] = BoundedMap(
            PENDING_COUNT_MAX
        )

    def ask(self, request: RequestId, command: Recall, now: Now) -> Effects:
        """Restricts the question to what the agent may read, then searches."""
        record = self._agents.get(command.agent)
        leaf = self._core.live_chain(record, now) if record else None
        if leaf is None:
            detail = "no valid record of this agent with its key in this node's custody"
            return [Reply(request, Declined(Refusal(refusals.LEAF_NOT_VALID, detail)))]
        namespaces = self._readable(leaf, command.prefix, now)
        if not namespaces or not command.text.strip():
            return [Reply(request, Recalled((), namespaces, command.is_exact))]
        self._asked.put(request, (command, namespaces))
        return [Search(request, command.text, namespaces, command.count, command.is_exact)]

    def _readable(self, leaf: Chain, prefix: str, now: Now) -> tuple[str, ...]:
        wall_ms, region = now.wall_us // MILLISECOND_US, self._core.own.region
        own = self._core.own_org_namespaces()
        is_fresh = self._core.freshness.age_us(now) <= self._core.freshness.config.recall_age_us_max
        return tuple(
            namespace
            for namespace in self._core.reader.namespaces()
            if covers_namespace(prefix, namespace)
            and leaf.allows(RECALL, namespace, region, wall_ms)
            and (is_fresh or any(covers_namespace(owned, namespace) for owned in own))
        )

    def searched(self, event: Searched) -> Effects:
        """Turns ids into hits; what was forgotten since the search began is gone."""
        asked = self._asked.pop(event.request)
        if asked is None:
            return []
        command, namespaces = asked
        hits = []
        for identifier, score in event.hits:
            held = self._core.reader.delta(identifier)
            if held is None or held.state is not State.LIVE or not held.delta.body:
                continue
            if held.delta.header.namespace in namespaces:
                hits.append(Hit(held, score))
        answer = Recalled(tuple(hits[: command.count]), namespaces, event.is_exact)
        return [Reply(event.request, answer)]
