"""The verbs that users call: one home for the command line, the client and later surfaces.

A verb takes and gives plain values. What it does enters the peer by the same door as everything
else; what it only shows is read from the store and the peer. Failures are the error family.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import trio

from hive.errors import ConfigError, DeltaTooLarge, NotPermitted, StateError
from hive.memory.authoring import Draft
from hive.memory.bodies import NAME_TEXT_BYTES_MAX, TARGET_COUNT_MAX, ForgetBody
from hive.memory.delta import SALT_BYTES, Kind
from hive.memory.log import Held
from hive.memory.namespaces import GRAMMAR_HINT, is_namespace
from hive.node import agents, clocks, governance, newcomers, reports, tree, views
from hive.node.arguments import require_fitting, require_items
from hive.node.drafting import memory, refused, require_sayable, written
from hive.node.exposition import exposition
from hive.node.founded import lineage
from hive.node.metrics import ARRIVAL_COUNT_MAX
from hive.node.node import Node
from hive.node.views import View
from hive.protocol.commands import Author, Authored, Import, Recall, Recalled
from hive.store.backup import back_up
from hive.trust.capability import FORGET_ANY, FORGET_OWN, covers_namespace
from hive.trust.envelope import parse_untrusted
from hive.trust.records import AgentRecord
from hive.wire.clock import Hlc
from hive.wire.ids import DeltaId, Inception, RecordId

ITEM_COUNT_MAX: Final = 4_096
RECALL_COUNT_MAX: Final = 1_000
LOG_COUNT_MAX: Final = 10_000
PREFIX_DIGITS_MIN: Final = 6
HLC_LAST: Final = Hlc(2**64 - 1)

Verb = Callable[..., Awaitable[View]]


class Api:
    """The verbs of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.verbs: Mapping[str, Verb] = {
            "remember": self.remember,
            "remember_many": self.remember_many,
            "recall": self.recall,
            "show": self.show,
            "log": self.log,
            "forget": self.forget,
            "peers": self.peers,
            "peer_tree": self.peer_tree,
            "status": self.status,
            "metrics": self.metrics,
            "exposition": self.exposition,
            "arrivals": self.arrivals,
            "doctor": self.doctor,
            "bundle": self.bundle,
            "take_bundle": self.take_bundle,
            "backup": self.backup,
            "invite": self.invite,
            "agents": self.agents,
            "agent_issue": self.agent_issue,
            "agent_renew": self.agent_renew,
            "agent_join": self.agent_join,
            "agent_session": self.agent_session,
            "org_records": self.org_records,
            "admit_records": self.admit_records,
            "rotate": self.rotate,
            "revoke": self.revoke,
            "stop": self.stop,
        }

    async def call(self, verb: str, arguments: Mapping[str, Any]) -> View:
        """Runs a verb; raises `ConfigError` for an unknown verb or argument."""
        found = self.verbs.get(verb) if isinstance(verb, str) else None
        if found is None:
            raise ConfigError(f"unknown verb {verb!r}", hint=f"one of {', '.join(self.verbs)}")
        require_fitting(verb, found, arguments)
        return await found(**arguments)

    # Writing.

    async def remember(
        self,
        text: str,
        agent: str | None = None,
        namespace: str | None = None,
        source: str = "",
        tags: Sequence[str] = (),
        parents: Sequence[str] = (),
        valid_from_ms: int = 0,
        valid_until_ms: int = 0,
    ) -> View:
        """One memory; durable and on its way to the others when this returns."""
        body = memory(text, source, tags, valid_from_ms, valid_until_ms)
        informed = tuple(self._held(prefix).delta.id for prefix in parents)
        where = self._namespace(namespace)
        answer = await self._author(agent, where, (Draft(Kind.MEMORY, body, informed),))
        return written(answer.deltas[0])

    async def remember_many(
        self,
        items: Sequence[Mapping[str, Any]],
        agent: str | None = None,
        namespace: str | None = None,
    ) -> View:
        """Up to 4,096 memories; signed together, up to 64 under one signature."""
        if len(items) > ITEM_COUNT_MAX:
            raise DeltaTooLarge(f"{len(items)} items", hint=f"at most {ITEM_COUNT_MAX} at once")
        require_items(items)
        drafts = tuple(
            Draft(
                Kind.MEMORY,
                memory(item["text"], item.get("source", ""), item.get("tags", ()), 0, 0),
            )
            for item in items
        )
        answer = await self._author(agent, self._namespace(namespace), drafts)
        return {"ids": [delta.id.hex() for delta in answer.deltas]}

    async def forget(
        self,
        ids: Sequence[str],
        agent: str | None = None,
        reason: str = "",
        dry_run: bool = False,
    ) -> View:
        """Forgets memories by id, everywhere and for ever; a dry run names them only."""
        targets = [self._held(prefix) for prefix in ids]
        author = self._agent(agent)
        for held in targets:
            self._require_forgettable(author, held)
        by_namespace: dict[str, list[Held]] = {}
        for held in targets:
            by_namespace.setdefault(held.delta.header.namespace, []).append(held)
        made = []
        for namespace, group in by_namespace.items() if not dry_run else ():
            for first in range(0, len(group), TARGET_COUNT_MAX):
                some = tuple(held.delta.id for held in group[first : first + TARGET_COUNT_MAX])
                body = ForgetBody(clocks.entropy(SALT_BYTES), some, reason[:NAME_TEXT_BYTES_MAX])
                answer = await self._author(agent, namespace, (Draft(Kind.FORGET, body),))
                made += [written(delta) for delta in answer.deltas]
        return {
            "dry_run": dry_run,
            "targets": [views.log_view(self.node.peer.core, held) for held in targets],
            "forgets": made,
        }

    def _require_forgettable(self, author: Inception, held: Held) -> None:
        header = held.delta.header
        leaf = self.node.peer.core.trust.chain_of(self._leaf(author))
        now_ms = clocks.read().wall_us // 1_000
        region = self.node.peer.core.own.region
        is_own = header.author == author
        wanted = FORGET_OWN if is_own else FORGET_ANY
        if leaf is None or not leaf.allows(wanted, header.namespace, region, now_ms):
            name = "forget_own" if is_own else "forget_any"
            raise NotPermitted(
                f"this agent may not forget {held.delta.id.hex()[:12]}",
                hint=f"it needs `{name}` in {header.namespace}: see `hive agent issue`",
            )
        if header.kind == Kind.FORGET:
            raise NotPermitted("a forget cannot be forgotten", hint="its proof must stay")

    async def _author(
        self, agent: str | None, namespace: str, drafts: tuple[Draft, ...]
    ) -> Authored:
        if self.node.is_copy:
            raise StateError(
                "this store was restored or copied, so it must not go on with its logs",
                hint="let it reach a node that holds your organisation's issuer key: `hive up`",
            )
        for draft in drafts:
            require_sayable(draft)
        answer = await self.node.driver.ask(Author(self._agent(agent), namespace, drafts))
        if isinstance(answer, Authored):
            return answer
        raise refused(answer)

    # Reading.

    async def recall(
        self,
        text: str,
        agent: str | None = None,
        prefix: str = "",
        count: int = 10,
        exact: bool = False,
    ) -> View:
        """What the hive remembers about a text, best first."""
        if not 1 <= count <= RECALL_COUNT_MAX:
            raise ConfigError(f"count is {count}", hint=f"1 to {RECALL_COUNT_MAX}")
        command = Recall(self._agent(agent), text, prefix, count, exact)
        answer = await self.node.driver.ask(command)
        if not isinstance(answer, Recalled):
            raise refused(answer)
        core = self.node.peer.core
        return {
            "hits": [views.hit_view(core, hit.held, hit.score) for hit in answer.hits],
            "namespaces": list(answer.namespaces),
            "exact": answer.is_exact,
        }

    async def show(self, id: str) -> View:
        """Everything known of one delta; `id` is a unique hex prefix of at least 6 digits."""
        return views.held_view(self.node.peer.core, self._held(id))

    async def log(
        self, namespace: str | None = None, author: str | None = None, count: int = 50
    ) -> View:
        """The newest deltas, newest first, and every proven fork."""
        if not 1 <= count <= LOG_COUNT_MAX:
            raise ConfigError(f"count is {count}", hint=f"1 to {LOG_COUNT_MAX}")
        store, core = self.node.store, self.node.peer.core
        wanted = self._agent(author) if author else None
        found: list[Held] = []
        for name in store.namespaces():
            if namespace is not None and not covers_namespace(namespace, name):
                continue
            for head in store.heads(name):
                if wanted is not None and head.author != wanted:
                    continue
                first = max(1, head.sequence - count + 1)
                found += store.chain_slice(head.chain, first, count)
        found.sort(key=lambda held: (held.delta.header.hlc, held.delta.id), reverse=True)
        forks = core.quarantine.proofs()
        return {
            "entries": [views.log_view(core, held) for held in found[:count]],
            "forks": [reports.fork_view(core, proof) for proof in forks],
        }

    async def peers(self) -> View:
        """Everybody this node knows, and how they are."""
        return {"peers": reports.peers(self.node)}

    async def peer_tree(self) -> View:
        """Regions, clusters and cells, with their members and super-peers."""
        return tree.tree(self.node)

    async def status(self) -> View:
        """How this node is, and which implementations stand behind steps 7, 12 and 13."""
        return reports.status(self.node)

    async def metrics(self) -> View:
        """Every counter."""
        return reports.metrics(self.node)

    async def exposition(self) -> View:
        """Every counter of every machine in the text format of Prometheus."""
        return {"text": exposition(self.node)}

    async def arrivals(self, count: int = ARRIVAL_COUNT_MAX) -> View:
        """When the newest deltas were durable here (wall microseconds), newest last."""
        newest = list(self.node.metrics.arrivals)[-count:] if count > 0 else []
        return {"arrivals": [[delta.hex(), at_us] for delta, at_us in newest]}

    async def doctor(self) -> View:
        """What is wrong, why, and what to do about it."""
        return await trio.to_thread.run_sync(reports.doctor, self.node)

    # Evidence and backups.

    async def bundle(self, ids: Sequence[str] = (), namespace: str | None = None) -> View:
        """An evidence bundle of some deltas, or of a namespace, to be verified offline."""
        held = [self._held(prefix) for prefix in ids]
        if namespace is not None:
            for head in self.node.store.heads(self._namespace(namespace)):
                held += self.node.store.chain_slice(head.chain, 1, head.sequence)
        if not held:
            raise StateError("nothing to export", hint="name ids, or a namespace that holds some")
        made = governance.bundle(self.node, held)
        return {"bundle": base64.b64encode(made).decode("ascii"), "count": len(held)}

    async def take_bundle(self, bundle: str) -> View:
        """Takes a bundle's records and deltas through ingress like a peer's."""
        try:
            untrusted = base64.b64decode(bundle, validate=True)
        except ValueError:
            raise ConfigError("the bundle is not base64", hint="see `hive --help`") from None
        records, envelopes = governance.opened(untrusted)
        outcomes = await self.node.admit(records)
        before = self.node.metrics.counts["deltas_admitted_peers"]
        await self.node.driver.ask(Import(envelopes))
        admitted = self.node.metrics.counts["deltas_admitted_peers"] - before
        return {"count": len(envelopes), "admitted": admitted, "outcomes": list(outcomes)}

    async def backup(self, path: str) -> View:
        """A consistent copy of the running store, verified before this returns."""
        contents = await trio.to_thread.run_sync(back_up, self.node.store, Path(path))
        return {
            "path": path,
            "deltas": contents.delta_count,
            "chains": contents.chain_count,
            "bytes": contents.file_bytes,
            "verified": True,
        }

    # Governance.

    async def invite(
        self,
        name: str,
        kind: str = "node",
        region: str = "",
        capabilities: Sequence[Mapping[str, Any]] = (),
        hours: int = 24,
    ) -> View:
        """An invite: the only thing a new node or agent needs."""
        return await governance.invite(self.node, kind, name, region, capabilities, hours)

    async def agents(self) -> View:
        """The agents whose keys this node holds."""
        return {"agents": agents.agents(self.node)}

    async def agent_issue(
        self,
        name: str,
        capabilities: Sequence[Mapping[str, Any]] = (),
        hours: int = 24,
        ssh_keys: Sequence[str] = (),
    ) -> View:
        """A new agent with narrowed capabilities; its key in the keyring, or in an ssh-agent."""
        return await agents.issue_agent(self.node, name, capabilities, hours, ssh_keys)

    async def agent_session(self, name: str) -> View:
        """A new software key of an hour that stands in for an agent's own."""
        return await agents.open_session(self.node, name)

    async def agent_renew(self, name: str) -> View:
        """An agent's record with new dates, before it ends by itself."""
        return await agents.renew_agent(self.node, name)

    async def agent_join(self, invite: str) -> View:
        """An agent of this node, enrolled through an invite of a node that can issue."""
        made = await newcomers.join_agent(self.node, invite)
        listed = agents.agents(self.node)
        return next(each for each in listed if each["inception"] == made.inception.hex())

    async def org_records(self) -> View:
        """The roots, this organisation and its issuers: what a renewal goes on from."""
        core = self.node.peer.core
        found = lineage(core.trust, core.own.org)
        records = [base64.b64encode(envelope).decode("ascii") for envelope in found]
        return {"federation": core.federation.hex(), "records": records}

    async def admit_records(self, records: Sequence[str]) -> View:
        """Takes an operator's records, passes them on, and renews at once what they revive."""
        if len(records) > ITEM_COUNT_MAX:
            raise ConfigError(f"{len(records)} records", hint=f"at most {ITEM_COUNT_MAX} at once")
        try:
            envelopes = [base64.b64decode(record, validate=True) for record in records]
        except ValueError:
            raise ConfigError("a record is not base64", hint="see `hive --help`") from None
        trust = self.node.peer.core.trust
        fresh = sum(trust.signed(parse_untrusted(each).id) is None for each in envelopes)
        outcomes = await self.node.admit(envelopes)
        await self.node.renew_what_is_due()
        return {"outcomes": list(outcomes), "new": fresh}

    async def rotate(self, name: str, ssh_key: str = "") -> View:
        """A new generation of the node's or an agent's key; the old one is sealed."""
        return await governance.rotate(self.node, name, ssh_key)

    async def revoke(self, name: str, reason: str = "compromised") -> View:
        """Ends an identity for ever; what it signed so far stays good."""
        return await governance.revoke(self.node, name, reason)

    async def stop(self) -> View:
        """Ends the daemon, goodbyes said."""
        self.node.stop.set()
        return {}

    # Names.

    def _namespace(self, namespace: str | None) -> str:
        name = namespace or self.node.settings.namespace
        if not name:
            raise ConfigError("no namespace was given", hint="name one with --namespace")
        if not is_namespace(name):
            raise ConfigError(f"{name!r} is not a namespace", hint=GRAMMAR_HINT)
        return name

    def _agent(self, agent: str | None) -> Inception:
        """An agent of this node by name or inception; None is the home's own."""
        wanted = agent or self.node.settings.agent
        core = self.node.peer.core
        for inception, record in self.node.peer.recordkeeping.agents.items():
            signed = core.trust.signed(record)
            name = signed.record.name if signed and isinstance(signed.record, AgentRecord) else ""
            if wanted in (name, inception.hex()):
                return inception
        raise StateError(
            f"no agent {wanted!r} here" if wanted else "this node has no agent yet",
            hint="issue one: `hive agent issue NAME`; see `hive agent list`",
        )

    def _leaf(self, agent: Inception) -> RecordId:
        return self.node.peer.recordkeeping.agents[agent]

    def _held(self, prefix: str) -> Held:
        """The one delta whose id begins so."""
        if len(prefix) < PREFIX_DIGITS_MIN:
            raise ConfigError(
                f"{prefix!r} is too short", hint=f"{PREFIX_DIGITS_MIN} digits or more"
            )
        try:
            octets = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
        except ValueError:
            raise ConfigError(f"{prefix!r} is not an id", hint="ids are hexadecimal") from None
        found = self.node.store.ids_with_prefix(octets, 16)
        matching = [each for each in found if each.hex().startswith(prefix)]
        if len(matching) != 1:
            what = "no delta" if not matching else f"{len(matching)} deltas"
            raise StateError(f"{what} here with id {prefix}", hint="see `hive log` for ids")
        held = self.node.store.delta(DeltaId(matching[0]))
        assert held is not None
        return held
