"""What proven forks exclude (P5).

Every peer answers from the log strictly before the forked sequence, whichever branch came
first, and a new generation of the author ends it: an exclusion holds for generations up to that
of the leaves that signed the fork. The author's other logs stay as they are; only a node that
would admit something new for a forking author refuses.

Only a proof that moves an exclusion down is kept, and of one author so many at most: a hostile
author can sign forks without end, and they cost nobody but itself. What it loses beyond that
bound is its own word: every log it forked till then is cut.
"""

from __future__ import annotations

from typing import Final

from hive.memory.fork import ForkProof
from hive.wire.ids import Digest, Inception

PROOFS_OF_AUTHOR_MAX: Final = 1_024


class Quarantine:
    """Fork proofs by chain and by author; `version` moves with every proof that is kept."""

    def __init__(self) -> None:
        self._chains: dict[Digest, dict[int, int]] = {}
        self._authors: dict[Inception, int] = {}
        self._proofs: dict[Digest, ForkProof] = {}
        self._counts: dict[Inception, int] = {}
        self.version = 0

    def is_news(self, proof: ForkProof, generation: int) -> bool:
        """Whether the proof, once verified, would exclude more than is excluded already."""
        author = Inception(proof.first.header.author)
        if self._counts.get(author, 0) >= PROOFS_OF_AUTHOR_MAX:
            return False
        lowest = self._chains.get(proof.chain, {}).get(generation)
        return lowest is None or proof.sequence < lowest

    def add(self, proof: ForkProof, generation: int) -> bool:
        """Remembers a verified proof; False where it excludes nothing more."""
        if not self.is_news(proof, generation):
            return False
        author = Inception(proof.first.header.author)
        self._proofs[proof.id] = proof
        self._counts[author] = self._counts.get(author, 0) + 1
        self._chains.setdefault(proof.chain, {})[generation] = proof.sequence
        self._authors[author] = max(generation, self._authors.get(author, 0))
        self.version += 1
        return True

    def knows(self, proof: Digest) -> bool:
        """Whether a proof of this id is kept."""
        return proof in self._proofs

    def excludes(self, chain: Digest, sequence: int, generation: int) -> bool:
        """Whether a delta of this generation at this position lies at or behind a fork."""
        forked = self._chains.get(chain)
        if forked is None:
            return False
        return any(sequence >= at and generation <= upto for upto, at in forked.items())

    def has_author(self, author: Inception, generation: int) -> bool:
        """Whether this generation of the author, or a later one, signed a fork."""
        forked = self._authors.get(author)
        return forked is not None and generation <= forked

    def authors(self) -> tuple[Inception, ...]:
        """Every author with a proven fork, sorted."""
        return tuple(sorted(self._authors))

    def proofs(self) -> tuple[ForkProof, ...]:
        """Every kept proof, by id."""
        return tuple(self._proofs[key] for key in sorted(self._proofs))
