"""Tolls: what each frame and each answer costs the peer that caused it (step 0).

Deltas pay one by one in ingress, because each is judged by itself; everything else pays here, as
a whole and before it is looked at. What was decoded in vain is its sender's fault. Whoever sank
below the floor loses its stream and is let in again when its time is over.
"""

from __future__ import annotations

from collections.abc import Sequence

from hive.protocol import refusals
from hive.protocol.core import Core, Effects
from hive.protocol.dissemination.messages import Push
from hive.protocol.events import CloseStream, Effect, RefusedNews, SendFrame
from hive.protocol.judgement import LACKS
from hive.protocol.messages import (
    IDS_PER_CHECK,
    Deltas,
    Forks,
    Records,
    RevocationList,
    WantRecords,
    WantRevocations,
)
from hive.protocol.refusals import Refusal
from hive.wire.clock import Now
from hive.wire.ids import PeerId
from hive.wire.schema import Record


class Tolls:
    """The till at the door of streams."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def ask(self, sender: PeerId, size: int, now: Now) -> Effects:
        """A step of reconciliation or an ask for deltas; empty where it is paid."""
        return self._pay(sender, size, 1, 1, "asks", now)

    def message(self, message: Record, sender: PeerId, size: int, now: Now) -> Effects:
        """Any other message, by what it makes this node do; empty where it is paid."""
        checks, requests = 1, 0
        match message:
            case Deltas() | Push():
                return []
            case Records():
                checks = len(message.envelopes)
            case Forks():
                checks = 2 * len(message.proofs)
            case WantRecords():
                checks, requests = 1 + len(message.ids) // IDS_PER_CHECK, 1
            case RevocationList():
                checks = 1 + len(message.ids) // IDS_PER_CHECK
            case WantRevocations():
                checks, requests = 1 + self._core.trust.revocation_index // IDS_PER_CHECK, 1
            case _:
                pass
        return self._pay(sender, size, checks, requests, message.LABEL, now)

    def _pay(
        self, sender: PeerId, size: int, checks: int, requests: int, what: str, now: Now
    ) -> Effects:
        lack = self._core.budgets.pay(sender, size, checks, now.monotonic_us, requests=requests)
        if lack is None:
            return []
        return [RefusedNews(Refusal(LACKS[lack], what), sender, b"")]

    def answered(self, sender: PeerId, effects: Sequence[Effect], now: Now) -> Effects:
        """Charges a peer for the bytes of what goes to it in answer; gives the effects back."""
        size = sum(
            len(effect.payload)
            for effect in effects
            if isinstance(effect, SendFrame) and effect.receiver == sender
        )
        self._core.budgets.served(sender, size, now.monotonic_us)
        return list(effects)

    def malformed(self, sender: PeerId, what: str, now: Now) -> Effects:
        """What does not decode is its sender's fault."""
        self._core.budgets.blame(sender, now.monotonic_us)
        return [RefusedNews(Refusal(refusals.MALFORMED, what), sender, b"")]

    def is_shunned(self, peer: PeerId, now: Now) -> bool:
        """Whether nothing of a peer is served now."""
        return self._core.budgets.is_shunned(peer, now.monotonic_us)

    def shut_out(self) -> Effects:
        """Closes the streams of those who sank below the floor since the last call."""
        effects: Effects = []
        for peer in self._core.budgets.newly_shunned():
            effects += [RefusedNews(Refusal(refusals.SHUNNED), peer, b""), CloseStream(peer)]
        return effects
