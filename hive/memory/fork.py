"""Forks: two signed deltas at one position of one chain, as a portable proof (P5).

The proof carries both headers with their proofs and no bodies, smaller id first, so that one
fork has one encoding. Anybody who can resolve the leaves verifies it offline.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hive.errors import MalformedFrame
from hive.memory.delta import DELTA_BYTES_MAX, Delta, parse_delta_untrusted
from hive.wire.codec import Fields, Octets, decode_untrusted, encode
from hive.wire.ids import Digest, digest

_SHAPE: Final = Fields((Octets(1, DELTA_BYTES_MAX), Octets(1, DELTA_BYTES_MAX)))


@dataclass(frozen=True, slots=True)
class ForkProof:
    """Two different deltas of one chain at one sequence; signatures not yet verified."""

    first: Delta
    second: Delta

    @property
    def id(self) -> Digest:
        """What peers call this proof."""
        return digest("fork", self.to_bytes())

    @property
    def chain(self) -> Digest:
        """The forked chain."""
        return self.first.header.chain

    @property
    def sequence(self) -> int:
        """The forked position."""
        return self.first.header.sequence

    def to_bytes(self) -> bytes:
        """The canonical form: both envelopes without bodies and receipts."""
        return encode((self.first.to_bytes(), self.second.to_bytes()))


def fork_proof(one: Delta, other: Delta) -> ForkProof:
    """The proof that these two make; they must share chain and sequence and differ in id."""
    first, second = sorted((one, other), key=lambda delta: delta.id)
    proof = ForkProof(_bare(first), _bare(second))
    _require_fork(proof)
    return proof


def parse_fork_untrusted(untrusted: bytes) -> ForkProof:
    """Decodes a proof whose signatures the caller still has to verify; `MalformedFrame`."""
    one, other = decode_untrusted(untrusted, _SHAPE, bytes_max=2 * DELTA_BYTES_MAX + 16)
    proof = ForkProof(parse_delta_untrusted(one), parse_delta_untrusted(other))
    if _bare(proof.first) != proof.first or _bare(proof.second) != proof.second:
        raise MalformedFrame("a fork proof carries no bodies and no receipts")
    _require_fork(proof)
    return proof


def _bare(delta: Delta) -> Delta:
    return replace(delta, body=b"", receipt=b"")


def _require_fork(proof: ForkProof) -> None:
    one, other = proof.first.header, proof.second.header
    if proof.first.id >= proof.second.id:
        raise MalformedFrame("the deltas of a fork proof are the same or out of order")
    if one.chain != other.chain or one.sequence != other.sequence:
        raise MalformedFrame("the deltas of a fork proof do not share chain and sequence")
    if one.federation != other.federation:
        raise MalformedFrame("the deltas of a fork proof belong to two federations")
