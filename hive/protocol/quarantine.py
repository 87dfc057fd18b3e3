"""What proven forks exclude (P5).

Every peer answers from the log strictly before the forked sequence, whichever branch came
first, and a new generation of the author ends it: an exclusion holds for generations up to that
of the leaves that signed the fork. The author's other logs stay as they are; only a node that
would admit something new for a forking author refuses.
"""

from __future__ import annotations

from hive.memory.fork import ForkProof
from hive.wire.ids import Digest, Inception


class Quarantine:
    """Fork proofs by chain and by author."""

    def __init__(self) -> None:
        self._chains: dict[Digest, dict[int, int]] = {}
        self._authors: dict[Inception, int] = {}
        self._proofs: dict[Digest, ForkProof] = {}

    def add(self, proof: ForkProof, generation: int) -> bool:
        """Remembers a verified proof; False where it was known."""
        if proof.id in self._proofs:
            return False
        self._proofs[proof.id] = proof
        forked = self._chains.setdefault(proof.chain, {})
        lowest = forked.get(generation)
        if lowest is None or proof.sequence < lowest:
            forked[generation] = proof.sequence
        author = Inception(proof.first.header.author)
        self._authors[author] = max(generation, self._authors.get(author, 0))
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
