"""The trust state: every admitted record, and what follows from them.

Pure, deterministic and bounded. Roots, orgs, issuers and revocations are kept for ever; of nodes,
agents and sessions at most so many an org that a hostile one crowds out nobody but itself, the
oldest expired going first (they can be fetched again by their id).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from hive.errors import ConfigError, MalformedFrame
from hive.trust import links
from hive.trust.chain import STEPS, Chain, Step, judge, walk
from hive.trust.checks import begins_ms
from hive.trust.envelope import Signed, parse_untrusted
from hive.trust.keys import PublicKey, is_sound
from hive.trust.records import (
    AgentRecord,
    FreshnessRecord,
    IssuerRecord,
    NodeRecord,
    OrgRecord,
    RevocationRecord,
    RootRecord,
    SessionRecord,
)
from hive.trust.revocation import RevocationIndex
from hive.trust.roots import RootHistory
from hive.trust.shelf import Shelf
from hive.trust.verdicts import (
    GOOD,
    Admitted,
    Reason,
    Standing,
    TrustRefusal,
    Unknown,
    Verdict,
)
from hive.wire import merkle
from hive.wire.ids import Digest, FederationId, Inception, RecordId
from hive.wire.schema import Record

_LEAVES = (NodeRecord, AgentRecord, SessionRecord)

_ONLINE = (IssuerRecord, NodeRecord)
"""Signers whose stolen key may fill half of what their org may revoke, never all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustConfig:
    """Bounds of a `TrustState`; every one is a count."""

    root_count_max: int = 64
    """Versions of the root; more lets the holders of all root keys use more memory. 8 to 1,000."""

    org_count_max: int = 4_096
    """Org records, renewals included; an org needs about five a year. 16 to 100,000."""

    issuer_count_max: int = 256
    """Issuer records of one org; about a hundred last eight years. 16 to 10,000."""

    leaf_count_max: int = 20_000
    """Node, agent and session records of one org held at once, about 1 kB each. 100 to 10^6."""

    revocation_count_max: int = 10_000
    """Revocations of one org, kept for ever, about 1 kB each without seal. 100 to 10^6."""

    seal_entry_count_max: int = 200_000
    """Entries of all seals of one org, kept for ever, about 250 B each. 4,096 to 10^7."""

    chain_cache_count: int = 20_000
    """Chains kept ready; a miss costs a walk of some 10 µs. 100 to 10^6."""

    key_cache_count: int = 20_000
    """Remembered point checks; a miss costs 60 µs. 100 to 10^6."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", hint=f"raise {name}")

    @classmethod
    def for_laptop(cls) -> TrustConfig:
        """One person's federation."""
        return cls(org_count_max=256, leaf_count_max=4_096)

    @classmethod
    def for_internet(cls) -> TrustConfig:
        """A node of a federation of organisations."""
        return cls()

    @classmethod
    def for_simulation(cls) -> TrustConfig:
        """Many states in one process: small caches."""
        return cls(chain_cache_count=2_048, key_cache_count=2_048)


class TrustState:
    """What one peer knows about who may do what; see the module."""

    STEPS: ClassVar[Sequence[Step]] = STEPS

    def __init__(self, federation: FederationId, config: TrustConfig) -> None:
        self._federation = federation
        self._config = config
        self._records: dict[bytes, Signed[Record]] = {}
        self._roots = RootHistory()
        self._revocations = RevocationIndex()
        self._revocation_root: tuple[int, Digest] = (0, merkle.EMPTY_ROOT)
        self._shelves: dict[bytes, Shelf] = {}
        self._org_of_node: dict[bytes, bytes] = {}
        self._freshness: dict[bytes, Signed[FreshnessRecord]] = {}
        self._chains: OrderedDict[bytes, Chain] = OrderedDict()
        self._sound_keys: OrderedDict[PublicKey, bool] = OrderedDict()
        self._org_count = 0
        self._version = 0

    @property
    def federation(self) -> FederationId:
        """The id of R(0)."""
        return self._federation

    @property
    def version(self) -> int:
        """Moves with every root, org, issuer or revocation: cached verdicts name it."""
        return self._version

    @property
    def revocation_index(self) -> int:
        """How many revocations are known; only grows."""
        return self._revocations.count

    @property
    def root(self) -> Signed[RootRecord] | None:
        """The root in force; None before R(0) was admitted."""
        return self._roots.newest

    def newest_root(self) -> Signed[RootRecord] | None:
        """The same, as the checks ask for it."""
        return self._roots.newest

    def reign_ends_ms(self, root: RecordId) -> int:
        """When the root's successor began; 0 for one that never reigned."""
        return self._roots.reign_ends_ms(root)

    def signed(self, record_id: RecordId) -> Signed[Record] | None:
        """An admitted record by its id."""
        return self._records.get(record_id)

    def is_sound(self, key: PublicKey) -> bool:
        """The point check, remembered."""
        known = self._sound_keys.get(key)
        if known is None:
            known = self._sound_keys[key] = is_sound(key)
            if len(self._sound_keys) > self._config.key_cache_count:
                self._sound_keys.popitem(last=False)
        return known

    def node_count(self, org: Inception, apart_from: NodeRecord, enough: int) -> int:
        """How many other nodes of the org live within the record's own life."""
        shelf = self._shelves.get(org)
        return shelf.node_count(apart_from, enough) if shelf else 0

    def is_signer_revoked(self, record_id: RecordId) -> bool:
        """Whether the chain of a signing record is ended by a known revocation."""
        chain = self.chain_of(record_id)
        return chain is None or self.is_revoked(chain)

    # Admission.

    def admit(self, untrusted: bytes, now_ms: int) -> Verdict:
        """Verifies one record of any label against what is known, and keeps it."""
        try:
            signed = parse_untrusted(untrusted)
        except MalformedFrame as error:
            return TrustRefusal(Reason.MALFORMED, str(error))
        replayed = self._replayed(signed)
        if replayed is not None:
            return replayed
        case = links.case_of(signed, now_ms, self)
        refusal = judge(case, self.STEPS)
        if refusal is not None and refusal.reason is Reason.SIGNER_UNKNOWN:
            return Unknown(links.missing_of(case))
        refusal = refusal or self._keep(case)
        return refusal or Admitted(signed)

    def readmit(self, untrusted: bytes, now_ms: int) -> Verdict:
        """Verifies again a record that this peer's own store kept.

        It was admitted, so its time had come; a clock that has fallen back since does not undo
        that. Whoever forgot it would not know whose deltas a revocation ends (P9).
        """
        try:
            signed = parse_untrusted(untrusted)
        except MalformedFrame as error:
            return TrustRefusal(Reason.MALFORMED, str(error))
        return self.admit(untrusted, max(now_ms, begins_ms(signed.record)))

    def _keep(self, case: links.Case) -> TrustRefusal | None:
        signed, record = case.signed, case.record
        match record:
            case RootRecord():
                refusal = self._keep_root(cast("Signed[RootRecord]", signed))
            case FreshnessRecord():
                self._freshness[record.issuer] = cast("Signed[FreshnessRecord]", signed)
                return None
            case OrgRecord():
                refusal = self._keep_org(record)
            case _:
                refusal = self._keep_on_shelf(case)
        if refusal is not None:
            return refusal
        self._records[signed.id] = signed
        if not isinstance(record, _LEAVES):
            self._version += 1
        return None

    def _keep_root(self, signed: Signed[RootRecord]) -> TrustRefusal | None:
        if self._roots.count >= self._config.root_count_max:
            return TrustRefusal(Reason.FULL, "root_count_max is reached")
        self._roots.add(signed)
        self._chains.clear()
        return None

    def _keep_org(self, record: OrgRecord) -> TrustRefusal | None:
        if self._org_count >= self._config.org_count_max:
            return TrustRefusal(Reason.FULL, "org_count_max is reached")
        self._org_count += 1
        self._shelf(record.inception)
        return None

    def _replayed(self, signed: Signed[Record]) -> Verdict | None:
        """The verdict on what is kept already, or is an older statement; costs no signature."""
        kept = self._records.get(signed.id)
        if kept is not None:
            return Admitted(kept)
        record = signed.record
        newest = self._freshness.get(record.issuer) if isinstance(record, FreshnessRecord) else None
        if newest is None or not isinstance(record, FreshnessRecord):
            return None
        if newest.id == signed.id:
            return Admitted(cast("Signed[Record]", newest))
        if record.index <= newest.record.index or record.at_ms < newest.record.at_ms:
            return TrustRefusal(Reason.STALE, f"index {newest.record.index} is known")
        return None

    def _keep_on_shelf(self, case: links.Case) -> TrustRefusal | None:
        org = links.org_of(case.signed) or (links.org_of(case.signer) if case.signer else None)
        shelf = self._shelf(org or b"")
        if isinstance(case.record, _LEAVES):
            dropped = shelf.put_leaf(case.signed, case.now_ms, self._config.leaf_count_max)
            if dropped is None:
                return TrustRefusal(Reason.FULL, "leaf_count_max is reached for its org")
            if isinstance(case.record, NodeRecord):
                self._org_of_node[case.record.inception] = case.record.org
            for record_id in dropped:
                self._forget(record_id, shelf)
            return None
        is_online = case.signer is not None and isinstance(case.signer.record, _ONLINE)
        share = 2 if is_online else 1
        refusal = shelf.take_bounded(
            case.record,
            self._config.issuer_count_max,
            self._config.revocation_count_max // share,
            self._config.seal_entry_count_max // share,
        )
        if refusal:
            return TrustRefusal(Reason.FULL, f"{refusal} is reached for its org")
        if isinstance(case.record, RevocationRecord) and case.signer is not None:
            revocation = cast("Signed[RevocationRecord]", case.signed)
            self._revocations.add(revocation, case.signer.record)
        return None

    def _shelf(self, org: bytes) -> Shelf:
        return self._shelves.setdefault(org, Shelf())

    def _forget(self, record_id: RecordId, shelf: Shelf) -> None:
        record = self._records.pop(record_id).record
        self._chains.pop(record_id, None)
        if (
            isinstance(record, NodeRecord)
            and shelf.newest_node(Inception(record.inception)) is None
        ):
            self._org_of_node.pop(record.inception, None)

    # Questions.

    def chain_of(self, leaf: RecordId) -> Chain | None:
        """The verified chain of an admitted org, issuer, node, agent or session; cached."""
        chain = self._chains.get(leaf)
        if chain is None:
            chain = walk(leaf, self)
            if chain is None:
                return None
            self._chains[leaf] = chain
            if len(self._chains) > self._config.chain_cache_count:
                self._chains.popitem(last=False)
        return chain

    def org_of(self, leaf: RecordId) -> Inception | None:
        """The organisation of an admitted record."""
        chain = self.chain_of(leaf)
        return None if chain is None else chain.org

    def standing(
        self, chain: Chain, chain_digest: Digest, sequence: int, delta_id: bytes
    ) -> Standing:
        """Whether revocations and seals leave good what the leaf signed at this position.

        `chain_digest` names the author log (`records.chain_digest`); sequences start at 1.
        """
        if not self._revocations.count:
            return GOOD
        return self._revocations.standing(
            chain.org, chain.subjects, chain_digest, sequence, delta_id
        )

    def is_revoked(self, chain: Chain) -> bool:
        """Whether any identity of the chain is ended: for live streams and new writes."""
        return self._revocations.first_reaching(chain.org, chain.subjects) is not None

    def revocation_ids(self) -> tuple[RecordId, ...]:
        """The ids of all revocations, sorted."""
        return self._revocations.ids()

    def revocation_root(self) -> Digest:
        """The Merkle root over the sorted ids of all revocations."""
        count, root = self._revocation_root
        if count != self._revocations.count:
            root = merkle.root(self.revocation_ids())
            self._revocation_root = (self._revocations.count, root)
        return root

    def records_of(self, kind: type[Record]) -> tuple[Signed[Record], ...]:
        """All kept records of one kind, in the order of their admission."""
        if kind is FreshnessRecord:
            return tuple(cast("Signed[Record]", signed) for signed in self._freshness.values())
        return tuple(signed for signed in self._records.values() if type(signed.record) is kind)

    def node_chain(self, node: Inception) -> Chain | None:
        """The chain of a node's newest record: highest generation, then latest beginning."""
        shelf = self._shelves.get(self._org_of_node.get(node, b""))
        newest = shelf.newest_node(node) if shelf else None
        return self.chain_of(newest) if newest else None

    def export(self) -> tuple[bytes, ...]:
        """The bytes of every kept record, in an order in which `admit` takes them again."""
        kept = [signed.to_bytes() for signed in self._records.values()]
        return (*kept, *(signed.to_bytes() for signed in self._freshness.values()))
