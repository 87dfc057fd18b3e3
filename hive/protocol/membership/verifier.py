"""Signatures of statements: each root is verified once, however many statements hang on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from hive.protocol.bounded import BoundedMap
from hive.protocol.machine import Check, Token, Verify
from hive.protocol.membership.cell import Cell
from hive.protocol.membership.messages import SIGNED_LABEL, Signed
from hive.wire.ids import Digest

ROOTS_KEPT: Final = 256
"""Roots remembered as genuine, some 150 B each: the storms of one moment."""

_Proven: TypeAlias = tuple[bytes, Digest]
"""A public key and a root that it signed."""


@dataclass(frozen=True, slots=True)
class _Batch:
    statements: tuple[tuple[Signed, _Proven], ...]
    asked: tuple[_Proven, ...]


class Verifier:
    """Asks for what is not known to be genuine, and gives back what is."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._batches: dict[Token, _Batch] = {}
        self._waiting: dict[Signed, None] = {}
        self._genuine: BoundedMap[_Proven, None] = BoundedMap(ROOTS_KEPT)

    def is_waiting(self, signed: Signed) -> bool:
        """Whether this statement is being verified."""
        return signed in self._waiting

    def ask(self, fresh: tuple[Signed, ...]) -> tuple[Signed, ...]:
        """Asks to verify statements of known authors; what is genuine already comes back."""
        cell = self._cell
        found = tuple(self._with_root(fresh))
        asked = {proven: signed for signed, proven in found if proven not in self._genuine}
        if not asked:
            return tuple(signed for signed, _ in found)
        if len(self._batches) >= cell.config.verifications_max:
            cell.tally.over_capacity += 1
            return ()
        token = cell.next_token()
        self._batches[token] = _Batch(found, tuple(asked))
        self._waiting.update(dict.fromkeys(fresh))
        checks = (self._check(signed, proven) for proven, signed in asked.items())
        cell.tell(Verify(token, tuple(checks)))
        return ()

    def verified(self, token: Token, verdicts: tuple[bool, ...]) -> tuple[Signed, ...]:
        """What of a batch is genuine, in its order."""
        batch = self._batches.pop(token, None)
        if batch is None:
            return ()
        forged: dict[_Proven, None] = {}
        for proven, holds in zip(batch.asked, verdicts, strict=False):
            if holds:
                self._genuine.put(proven, None)
            else:
                forged[proven] = None
                self._cell.tally.bad_signatures += 1
        for signed, _ in batch.statements:
            self._waiting.pop(signed, None)
        return tuple(signed for signed, proven in batch.statements if proven not in forged)

    def _with_root(self, fresh: tuple[Signed, ...]) -> list[tuple[Signed, _Proven]]:
        found: list[tuple[Signed, _Proven]] = []
        for signed in fresh:
            author, root = self._cell.view.get(signed.author), signed.root(self._cell.scope)
            if author is None or root is None:
                self._cell.tally.bad_signatures += 1
            else:
                found.append((signed, (author.introduction.public_key, root)))
        return found

    def _check(self, signed: Signed, proven: _Proven) -> Check:
        author = self._cell.view.get(signed.author)
        assert author is not None
        algorithm = author.introduction.algorithm
        return Check(algorithm, proven[0], SIGNED_LABEL, proven[1], signed.signature)
