"""Accusations: fork proofs, found here or told by peers, verified, kept and passed on (P5)."""

from __future__ import annotations

from typing import Final

from hive.errors import MalformedFrame
from hive.memory.fork import ForkProof, parse_fork_untrusted
from hive.protocol.bounded import BoundedMap
from hive.protocol.core import Core, Effects
from hive.protocol.events import ForkNews, SendFrame
from hive.protocol.machine import Check, Token, Verify
from hive.protocol.messages import Forks, WantRecords
from hive.protocol.ports import PutFork, Truncate, Write
from hive.protocol.stores import Stores
from hive.wire.clock import Now
from hive.wire.ids import Inception, PeerId, RecordId

GREETING_MAX: Final = 16
"""Fork proofs told to a newly connected peer."""
CHECKS_MAX: Final = 1_024
"""Told proofs whose signatures are being checked; the oldest is dropped first."""


class Accusations:
    """The part of a peer that deals with forks."""

    def __init__(self, core: Core, stores: Stores) -> None:
        self._core = core
        self._stores = stores
        self._checks: BoundedMap[Token, tuple[ForkProof, int]] = BoundedMap(CHECKS_MAX)

    def _may(self, peer: PeerId, proof: ForkProof) -> bool:
        header = proof.first.header
        return self._core.may_hold(peer, header.namespace, header.residency)

    def greet(self, peer: PeerId) -> Effects:
        """The proofs that a newly connected peer may know of; reconciliation tells the rest."""
        proofs = [each for each in self._core.quarantine.proofs() if self._may(peer, each)]
        told = tuple(proof.to_bytes() for proof in proofs[:GREETING_MAX])
        return [SendFrame(peer, Forks(told).to_body())] if told else []

    def apply(self, proof: ForkProof, generation: int, now: Now) -> Effects:
        """A verified fork: kept, the log cut before it, everybody told."""
        header = proof.first.header
        writes: tuple[Write, ...] = (
            PutFork(proof.id, proof.chain, proof.sequence, generation, proof.to_bytes()),
            Truncate(proof.chain, proof.sequence - 1),
        )
        self._core.pending.truncate(proof.chain, proof.sequence - 1)
        token = self._core.tokens.fresh()
        effects: Effects = [self._stores.store(token, writes)]
        payload = Forks((proof.to_bytes(),)).to_body()
        effects += [
            SendFrame(peer, payload) for peer in self._core.connected if self._may(peer, proof)
        ]
        author = Inception(header.author)
        return [*effects, ForkNews(author, header.namespace, proof.sequence)]

    def told(self, message: Forks, sender: PeerId, now: Now) -> Effects:
        """Proofs from a peer: each is verified by itself before it counts."""
        effects: Effects = []
        for untrusted in message.proofs:
            try:
                proof = parse_fork_untrusted(untrusted)
            except MalformedFrame:
                self._core.budgets.blame(sender, now.monotonic_us)
                continue
            effects += self._check(proof, sender)
        return effects

    def _check(self, proof: ForkProof, sender: PeerId) -> Effects:
        if proof.first.header.federation != self._core.federation:
            return []
        checks, generations = [], []
        for delta in (proof.first, proof.second):
            leaf = self._core.trust.chain_of(RecordId(delta.header.leaf))
            subject = delta.signed_subject()
            if leaf is None:
                wanted = WantRecords((delta.header.leaf,))
                return [SendFrame(sender, wanted.to_body())]
            if subject is None or leaf.identity != delta.header.author:
                return []
            key = leaf.key
            checks.append(Check(key.algorithm, key.octets, *subject, delta.proof.signature))
            generations.append(leaf.generation)
        if generations[0] != generations[1]:
            return []
        if not self._core.quarantine.is_news(proof, generations[0]):
            return []
        token = self._core.tokens.fresh()
        self._checks.put(token, (proof, generations[0]))
        return [Verify(self._core.tokens.route("fork", token), tuple(checks))]

    def verified(self, token: Token, is_valid: bool, now: Now) -> Effects:
        """A told proof's signatures were checked."""
        checked = self._checks.pop(token)
        if checked is None or not is_valid or not self._core.quarantine.add(*checked):
            return []
        return self.apply(*checked, now)
