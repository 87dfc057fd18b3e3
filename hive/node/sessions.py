"""Sessions: software keys of at most an hour that stand in for an agent's slow key.

A key in an ssh-agent takes a round trip, or a person's consent, for every signature. So it signs
one session record, and the session's key, sealed in the keyring, signs deltas: they are the
agent's all the same. A session is renewed at half its life; where the custodian does not answer,
the last one serves to its end, and from then on the custodian is asked for each delta.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import trio

from hive.custody.file import FileKeyring
from hive.custody.signer import CustodyUnavailable, MissingKey
from hive.node import clocks
from hive.node.home import AGENT_PREFIX, SESSION_PREFIX
from hive.node.logs import Log
from hive.node.signers import Signers
from hive.protocol.core import Core
from hive.protocol.recordkeeping import Recordkeeping
from hive.trust.envelope import Signed
from hive.trust.issuing import issue_session
from hive.trust.keys import SEED_BYTES, Ed25519Key
from hive.trust.records import AgentRecord, SessionRecord
from hive.wire.ids import Inception


class Sessions:
    """The session keys of a node's agents."""

    def __init__(
        self, core: Core, kept: Recordkeeping, signers: Signers, keyring: FileKeyring, log: Log
    ) -> None:
        self._core = core
        self._kept = kept
        self._signers = signers
        self._keyring = keyring
        self._log = log

    async def open(self, name: str, agent: Signed[AgentRecord]) -> Signed[SessionRecord]:
        """A new session, its key kept before its record is; that one is still to be admitted."""
        seed, parent = clocks.entropy(SEED_BYTES), self._signers.named(AGENT_PREFIX + name)
        make = partial(
            issue_session,
            agent,
            parent,
            key=Ed25519Key(seed).public,
            not_before_ms=clocks.read().wall_us // 1_000,
        )
        made = await trio.to_thread.run_sync(make)
        key_name, following = SESSION_PREFIX + name, clocks.entropy(SEED_BYTES)
        if key_name in self._keyring.names():
            self._keyring.supplant(key_name, seed, following)
        else:
            self._keyring.create(key_name, seed, following)
        self._signers.refresh()
        return made

    async def renewed(self, agents: Mapping[str, Signed[AgentRecord]]) -> list[bytes]:
        """New sessions' records, for agents with keys outside whose last one is half over."""
        made = []
        for name, agent in agents.items():
            if AGENT_PREFIX + name not in self._signers.outside.names() or not self._is_due(agent):
                continue
            try:
                made.append((await self.open(name, agent)).to_bytes())
            except (CustodyUnavailable, MissingKey) as error:
                self._log.write("warning", "session_not_renewed", agent=name, reason=str(error))
        return made

    def _is_due(self, agent: Signed[AgentRecord]) -> bool:
        now = clocks.read()
        if self._core.live_chain(agent.id, now) is None:
            return False
        last = self._kept.sessions.get(Inception(agent.record.inception))
        chain = self._core.live_chain(last, now) if last else None
        return chain is None or now.wall_us // 1_000 * 2 >= chain.not_before_ms + chain.not_after_ms
