"""Quotas: how much of the store each organisation takes, and what it may take more (step 13).

Theory of operation. Every delta is counted for the organisation of its author, by namespace: bytes,
logs, entities. Three bounds hold. A namespace has room for so many bytes, logs and entities of one
organisation; an organisation may begin so many namespaces; and when the store fills up, an
organisation that has its guaranteed share already is refused, so that one within its share is
served however much the others wrote. The guarantee: `reserved_permille` of the store is kept for
equal shares of all organisations; the rest goes to whoever comes first.

Counts are kept in one small value of the store, written after every so many deltas with the row up
to which it counts; what came behind that row is counted again when a peer starts. Forgets are
never refused: they give room back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from hive.errors import ConfigError, MalformedFrame
from hive.memory.delta import Delta, Header, Kind
from hive.protocol.ports import PutMeta, Row, StoreReader, Usage
from hive.wire.codec import Array, Fields, Integer, Octets, Text, decode_untrusted, encode
from hive.wire.ids import DIGEST_BYTES, Inception, RecordId

META: Final = "shares"
ROW_BYTES: Final = 200
"""What an entry takes in the indexes, beside its own bytes; an estimate."""
FULL: Final = 1_000
_PAGE: Final = 256
_NUMBER: Final = Integer(0, 2**63)
_KEPT: Final = Fields(
    (
        _NUMBER,
        Array(
            Fields((Octets(DIGEST_BYTES, DIGEST_BYTES), Text(255), _NUMBER, _NUMBER, _NUMBER)),
            2**20,
        ),
    )
)
_KEPT_BYTES_MAX: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaConfig:
    """How much one organisation may take of this node's store."""

    namespace_bytes_max: int = 1 << 40
    """Bytes of one organisation in one namespace. Less bounds one topic. Sane: 1 MiB–1 TiB."""
    namespace_logs_max: int = 65_536
    """Logs (author and node) of one organisation in one namespace. Sane: 16–2^20."""
    namespace_entities_max: int = 1 << 20
    """Entities that one organisation names in one namespace. Sane: 1,024–2^24."""
    org_namespaces_max: int = 4_096
    """Namespaces that one organisation writes to; each costs some 200 B of memory."""
    reserved_permille: int = 250
    """The part of the store that is kept for equal shares of all organisations. More guarantees
    more to each, less leaves more to whoever comes first. Sane: 100–750."""
    snapshot_every_count: int = 1_024
    """Deltas between two notes of the counts; more costs a longer start. Sane: 256–65,536."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive")
        if self.reserved_permille >= FULL:
            raise ConfigError("reserved_permille must lie in 1..999")


@dataclass(slots=True)
class Count:
    """What an organisation has in a namespace, or altogether."""

    bytes_count: int = 0
    logs: int = 0
    entities: int = 0

    def add(self, bytes_count: int, logs: int, entities: int) -> None:
        """More, or less where negative; never under nothing."""
        self.bytes_count = max(0, self.bytes_count + bytes_count)
        self.logs = max(0, self.logs + logs)
        self.entities = max(0, self.entities + entities)


class _OrgOf(Protocol):
    def __call__(self, leaf: RecordId, /) -> Inception | None: ...


class Shares:
    """Who takes how much of one store."""

    def __init__(self, config: QuotaConfig, org_of: _OrgOf) -> None:
        self._config = config
        self._org_of = org_of
        self._counts: dict[Inception, dict[str, Count]] = {}
        self._totals: dict[Inception, Count] = {}
        self._usage = Usage(0, 1)
        self._org_count = 1
        self._since_usage = 0
        self._unsaved_count = 0

    # What is asked.

    def lack(self, org: Inception, header: Header, size: int) -> str:
        """What this delta would exceed, "" where there is room."""
        if header.kind == Kind.FORGET:
            return ""
        config = self._config
        spaces = self._counts.get(org, {})
        count = spaces.get(header.namespace)
        if count is None:
            if len(spaces) >= config.org_namespaces_max:
                return f"{config.org_namespaces_max} namespaces"
            count = Count()
        if count.bytes_count + size > config.namespace_bytes_max:
            return f"{config.namespace_bytes_max} bytes in {header.namespace}"
        if header.sequence == 1 and count.logs >= config.namespace_logs_max:
            return f"{config.namespace_logs_max} logs in {header.namespace}"
        if header.kind == Kind.ENTITY and count.entities >= config.namespace_entities_max:
            return f"{config.namespace_entities_max} entities in {header.namespace}"
        return self._lacks_share(org, size)

    def _lacks_share(self, org: Inception, size: int) -> str:
        """Fairness: where the open part is taken, only who is within its share goes on."""
        if self._org_count < 2 or self._usage.is_full:  # alone; or full: the store says so itself
            return ""
        most = self._usage.bytes_max
        used = self._usage.bytes_used + self._since_usage
        if used * FULL <= most * (FULL - self._config.reserved_permille):
            return ""
        total = self._totals.get(org)
        share = self.guaranteed_bytes
        if total is None or total.bytes_count + size <= share:
            return ""
        return f"the share of {share} bytes that a filling store leaves to each organisation"

    @property
    def guaranteed_bytes(self) -> int:
        """What every organisation may take whatever the others took."""
        if self._org_count < 2:
            return self._usage.bytes_max
        reserved = self._usage.bytes_max * self._config.reserved_permille // FULL
        return reserved // self._org_count

    def totals(self) -> list[tuple[Inception, Count]]:
        """What each organisation takes altogether, sorted by its name."""
        return sorted(self._totals.items())

    def by_namespace(self, org: Inception) -> list[tuple[str, Count]]:
        """What an organisation takes in each namespace, sorted."""
        return sorted(self._counts.get(org, {}).items())

    # What happened.

    def observe(self, usage: Usage, org_count: int) -> None:
        """How full the store is now, and how many organisations share it."""
        self._usage, self._org_count, self._since_usage = usage, max(1, org_count), 0

    def charge(self, org: Inception, delta: Delta) -> None:
        """A delta was admitted."""
        header, size = delta.header, size_of(delta)
        self._add(
            org,
            header.namespace,
            size,
            int(header.sequence == 1),
            int(header.kind == Kind.ENTITY),
        )
        self._since_usage += size
        self._unsaved_count += 1

    def release(self, delta: Delta, bytes_count: int, *, is_cut: bool) -> None:
        """A body was erased, or with `is_cut` the whole delta was taken out of its log."""
        org = self._org_of(RecordId(delta.header.leaf))
        if org is None:
            return
        header = delta.header
        logs = -1 if is_cut and header.sequence == 1 else 0
        entities = -1 if is_cut and header.kind == Kind.ENTITY else 0
        self._add(org, header.namespace, -bytes_count, logs, entities)
        self._unsaved_count += 1

    def _add(self, org: Inception, namespace: str, size: int, logs: int, entities: int) -> None:
        self._counts.setdefault(org, {}).setdefault(namespace, Count()).add(size, logs, entities)
        self._totals.setdefault(org, Count()).add(size, logs, entities)

    # What is kept.

    def recover(self, reader: StoreReader) -> None:
        """Counts as kept, and what arrived since; so too after a write failed."""
        self._counts, self._totals = {}, {}
        row = self._restore(reader.meta(META))
        while page := reader.rows_after(Row(row), _PAGE):
            for held in page:
                org = self._org_of(RecordId(held.delta.header.leaf))
                if org is not None:
                    self.charge(org, held.delta)
                row = held.row
        self._since_usage = 0

    def _restore(self, kept: bytes | None) -> int:
        if kept is None:
            return 0
        try:
            row, counts = decode_untrusted(kept, _KEPT, bytes_max=_KEPT_BYTES_MAX)
        except MalformedFrame:
            return 0
        for org, namespace, *numbers in counts:
            self._add(Inception(org), namespace, *numbers)
        return int(row)

    def snapshot(self, reader: StoreReader) -> PutMeta | None:
        """The counts to be kept, where enough happened since the last time.

        Only what is durable may be counted up to the row that is named: the caller asks when
        nothing is on its way to the disk.
        """
        if self._unsaved_count < self._config.snapshot_every_count:
            return None
        self._unsaved_count = 0
        counts = tuple(
            (bytes(org), namespace, count.bytes_count, count.logs, count.entities)
            for org, spaces in sorted(self._counts.items())
            for namespace, count in sorted(spaces.items())
        )
        return PutMeta(META, encode((int(reader.last_row()), counts)))


def size_of(delta: Delta) -> int:
    """What a delta is counted for, in bytes."""
    return len(delta.header_bytes) + len(delta.body) + len(delta.receipt) + ROW_BYTES
