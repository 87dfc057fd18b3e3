"""The hostile peer: a node that an organisation enrolled, run by somebody who obeys no rule.

It joined by invite like any other, so it has a true identity, a real mutual-TLS stream to its
victim and a valid key to sign receipts with. What it sends is made by hand and goes out past its
own ingress.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from hive.law.epochs import FIRST_EPOCH, NO_LEASE
from hive.memory.authoring import Draft, Pen, attach, compose
from hive.memory.bodies import MemoryBody
from hive.memory.delta import SALT_BYTES, Delta, Kind
from hive.memory.log import Head, head_after
from hive.memory.receipt import Receipt, receipt_proofs
from hive.node import clocks, config
from hive.node.home import NODE, Home
from hive.node.logs import Log
from hive.node.node import Node, running
from hive.protocol.messages import Deltas, Records
from hive.trust.capability import ALL_ACTIONS, FOREVER_MS, Capability
from hive.trust.envelope import Signed
from hive.trust.issuing import issue_agent
from hive.trust.keys import SEED_BYTES, Ed25519Key, SigningKey
from hive.trust.records import AgentRecord, IssuerRecord
from hive.wire import merkle
from hive.wire.clock import Hlc
from hive.wire.ids import FederationId, Inception, PeerId, RecordId

from .stage import DemoFailed

CONNECT_S: Final = 20.0
POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Puppet:
    """An agent whose key the intruder has."""

    key: Ed25519Key
    record: Signed[AgentRecord]

    @property
    def inception(self) -> Inception:
        """Who it is."""
        return Inception(self.record.record.inception)


class Intruder:
    """Sends what it likes to one victim."""

    def __init__(self, node: Node, victim: PeerId) -> None:
        self.node = node
        self.victim = victim

    @property
    def federation(self) -> FederationId:
        """Where it was enrolled."""
        return self.node.peer.core.federation

    async def connect(self) -> None:
        """Waits for the stream to the victim."""
        with trio.move_on_after(CONNECT_S):
            await until(self._is_connected)
            return
        raise DemoFailed(f"the intruder found no stream to its victim within {CONNECT_S:.0f} s")

    async def _is_connected(self) -> bool:
        links = self.node.driver.links
        return links is not None and self.victim in links.peers

    def send(self, *deltas: Delta) -> None:
        """One frame of deltas, past every check of this node."""
        assert self.node.driver.links is not None
        body = Deltas(tuple(delta.to_bytes() for delta in deltas)).to_body()
        self.node.driver.links.send(self.victim, body)

    def show_records(self, *records: Signed[AgentRecord]) -> None:
        """Hands the victim the records that its deltas will rest on."""
        assert self.node.driver.links is not None
        body = Records(tuple(record.to_bytes() for record in records)).to_body()
        self.node.driver.links.send(self.victim, body)

    def write(
        self,
        author: Inception,
        leaf: RecordId,
        key: SigningKey,
        namespace: str,
        text: str,
        *,
        head: Head | None = None,
        federation: FederationId | None = None,
    ) -> Delta:
        """A delta in the author's name, signed with `key` and vouched for by this node."""
        pen = Pen(
            federation=federation or self.federation,
            namespace=namespace,
            author=author,
            writer=self.node.peer.core.own.inception,
            leaf=leaf,
            epochs=(FIRST_EPOCH,),
            lease=NO_LEASE,
            residency=(),
        )
        body = MemoryBody(clocks.entropy(SALT_BYTES), text, "intruder", (), 0, 0)
        unsigned = compose(pen, [Draft(Kind.MEMORY, body)], head, Hlc(0), clocks.read().wall_us)
        (delta,) = attach(unsigned, key.sign(unsigned.label, unsigned.subject))
        return self._vouched(delta, pen.federation)

    def _vouched(self, delta: Delta, federation: FederationId) -> Delta:
        own = self.node.peer.core.own
        receipt = Receipt(
            federation=federation,
            node=own.inception,
            node_record=own.record,
            admitted_at_ms=clocks.read().wall_us // 1_000,
            epochs=delta.header.epochs,
            lease=delta.header.lease,
            freshness_index=1,
            count=1,
            root=merkle.root([delta.id]),
        )
        key = self.node.keyring.signer(NODE)
        signature = key.sign(Receipt.LABEL, Receipt.id_of(receipt.to_body()))
        (proof,) = receipt_proofs(receipt, signature, [delta.id])
        return replace(delta, receipt=proof.to_bytes())


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again; the caller bounds it."""
    while True:
        if await is_so():
            return
        await trio.sleep(POLL_S)


def puppet(
    issuer: Signed[IssuerRecord], signer: SigningKey, name: str, prefix: str, life_ms: int
) -> Puppet:
    """An agent that the intruder's organisation issued truly, for so long."""
    key = Ed25519Key(clocks.entropy(SEED_BYTES))
    record = issue_agent(
        issuer,
        signer,
        name=name,
        key=key.public,
        next_key_digest=Ed25519Key(clocks.entropy(SEED_BYTES)).public.digest,
        custody_class="memory",
        capabilities=(Capability(prefix, ALL_ACTIONS, (), (), FOREVER_MS),),
        not_before_ms=clocks.read().wall_us // 1_000,
        life_ms=life_ms,
    )
    return Puppet(key, record)


def after(delta: Delta) -> Head:
    """Where the next delta of the same log stands."""
    return head_after(delta)


@asynccontextmanager
async def intruding(path: Path, victim: PeerId, log: Path) -> AsyncIterator[Intruder]:
    """Runs the enrolled node of this home, in this process, for the intruder."""
    home = Home(path)
    settings = config.load(home.config_file, environment={})
    with log.open("a", encoding="utf-8") as stream:
        async with running(
            home, settings, None, is_online=True, log=Log(stream, settings.log_level)
        ) as node:
            intruder = Intruder(node, victim)
            await intruder.connect()
            yield intruder
