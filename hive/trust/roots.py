"""The history of roots: which root reigns, and when each one did."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hive.trust.envelope import Signed
from hive.trust.records import ROOT_LIFE_MS, RootKey, RootRecord
from hive.wire.codec import INTEGER_MAX
from hive.wire.ids import FederationId, RecordId


class RootHistory:
    """R(0), R(1), … one version at a time; two roots of one number: the smaller id reigns."""

    def __init__(self) -> None:
        self._first: Signed[RootRecord] | None = None
        self._following: dict[bytes, Signed[RootRecord]] = {}
        self._reign_ends_ms: dict[bytes, int] = {}
        self._newest: Signed[RootRecord] | None = None
        self._count = 0

    @property
    def count(self) -> int:
        """How many roots are known, beaten ones included."""
        return self._count

    @property
    def newest(self) -> Signed[RootRecord] | None:
        """The root in force."""
        return self._newest

    def reign_ends_ms(self, root: RecordId) -> int:
        """When the root's successor began; 0 for one that never reigned."""
        return self._reign_ends_ms.get(root, 0)

    def add(self, signed: Signed[RootRecord]) -> None:
        """Takes an admitted root."""
        self._count += 1
        if not signed.record.number:
            self._first = signed
        else:
            rival = self._following.get(signed.record.previous)
            if rival is None or signed.id < rival.id:
                self._following[signed.record.previous] = signed
        self._walk()

    def _walk(self) -> None:
        self._reign_ends_ms = {}
        self._newest = at = self._first
        while at is not None:
            self._newest, following = at, self._following.get(at.id)
            self._reign_ends_ms[at.id] = (
                INTEGER_MAX if following is None else following.record.not_before_ms
            )
            at = following


def first_root(
    *,
    name: str,
    keys: Sequence[RootKey],
    threshold: int,
    next_digests: Sequence[bytes],
    next_threshold: int,
    freshness_issuers: Sequence[bytes],
    freshness_threshold: int,
    not_before_ms: int,
    voters: Sequence[bytes] = (),
    rail_faults: int = 0,
    rail_quorum: int = 0,
    life_ms: int = ROOT_LIFE_MS,
) -> RootRecord:
    """R(0), unsigned; its id becomes the federation's."""
    return RootRecord(
        federation=b"",
        name=name,
        number=0,
        previous=b"",
        threshold=threshold,
        keys=tuple(keys),
        next_threshold=next_threshold,
        next_digests=tuple(next_digests),
        freshness_threshold=freshness_threshold,
        freshness_issuers=tuple(freshness_issuers),
        voters=tuple(voters),
        rail_faults=rail_faults,
        rail_quorum=rail_quorum,
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )


def next_root(
    old: Signed[RootRecord],
    *,
    keys: Sequence[RootKey],
    threshold: int,
    next_digests: Sequence[bytes],
    next_threshold: int,
    not_before_ms: int,
    life_ms: int = ROOT_LIFE_MS,
) -> RootRecord:
    """R(k+1), unsigned: reveals committed keys; all else stays (change it with `replace`)."""
    return dataclasses.replace(
        old.record,
        federation=federation_of(old),
        number=old.record.number + 1,
        previous=old.id,
        keys=tuple(keys),
        threshold=threshold,
        next_digests=tuple(next_digests),
        next_threshold=next_threshold,
        not_before_ms=not_before_ms,
        not_after_ms=not_before_ms + life_ms,
    )


def federation_of(root: Signed[RootRecord]) -> FederationId:
    """The federation that a root belongs to: the id of R(0)."""
    return FederationId(root.record.federation or root.id)
