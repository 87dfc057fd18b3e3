"""A federation's file: its root, organisations and issuers, verified whenever it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar, cast

from hive.custody.signer import Keyring
from hive.errors import MalformedFrame, NotPermitted, StateError
from hive.node.cards import ISSUER_KEY, ORG_KEY
from hive.trust.armour import armour, unarmour
from hive.trust.capability import ALL_ACTIONS, FOREVER_MS, Capability
from hive.trust.envelope import ENVELOPE_BYTES_MAX, Signed, parse_untrusted
from hive.trust.issuing import make_issuer
from hive.trust.keys import PublicKey, SigningKey
from hive.trust.links import previous_id_of, signer_id_of
from hive.trust.records import IssuerRecord, OrgRecord, RootRecord
from hive.trust.roots import federation_of
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted, TrustRefusal
from hive.wire.codec import Array, Octets
from hive.wire.ids import Digest, FederationId, RecordId
from hive.wire.schema import Record, record

FEDERATION: Final = "HIVE FEDERATION"
RECORD_COUNT_MAX: Final = 64
FILE_BYTES_MAX: Final = 47 * 1_024
"""What fits a file of text armour."""
ODD: Final = "ask who made it; do not use it"

T = TypeVar("T", IssuerRecord, OrgRecord)


@record("federation", 1, bytes_max=FILE_BYTES_MAX)
@dataclass(frozen=True, slots=True, kw_only=True)
class FederationFile(Record):
    """Envelopes in an order in which they are admitted, R(0) first."""

    envelopes: Annotated[tuple[bytes, ...], Array(Octets(1, ENVELOPE_BYTES_MAX), RECORD_COUNT_MAX)]


@dataclass(frozen=True, slots=True)
class Founded:
    """A federation's file, verified: what it holds and the state that admitted it."""

    state: TrustState
    envelopes: tuple[bytes, ...]

    @property
    def root(self) -> Signed[RootRecord]:
        """The root in force."""
        root = self.state.root
        assert root is not None
        return root

    @property
    def orgs(self) -> tuple[Signed[OrgRecord], ...]:
        """The organisations, in the order of the file."""
        return cast("tuple[Signed[OrgRecord], ...]", self.state.records_of(OrgRecord))

    @property
    def issuers(self) -> tuple[Signed[IssuerRecord], ...]:
        """The issuers, in the order of the file."""
        return cast("tuple[Signed[IssuerRecord], ...]", self.state.records_of(IssuerRecord))

    def org_of(self, keyring: Keyring) -> Signed[OrgRecord]:
        """The organisation whose key the keyring holds; `StateError` where there is none."""
        own = keyring.signer(ORG_KEY).public
        found = [org for org in self.orgs if own in org.record.keys]
        if not found:
            raise StateError(
                "no organisation of this federation has the keyring's org key",
                hint="combine the file that enrols it, or name the keyring of another organisation",
            )
        return found[-1]


def newest(records: Iterable[Signed[T]]) -> tuple[Signed[T], ...]:
    """The newest record of each identity: highest generation, then latest beginning."""
    found: dict[bytes, Signed[T]] = {}
    for signed in records:
        before = found.get(signed.record.inception)
        if before is None or _age_key(signed.record) >= _age_key(before.record):
            found[signed.record.inception] = signed
    return tuple(found.values())


def _age_key(record: IssuerRecord | OrgRecord) -> tuple[int, int]:
    return record.generation, record.not_before_ms


def orgs_of(trust: TrustState) -> tuple[Signed[OrgRecord], ...]:
    """Every org record."""
    return cast("tuple[Signed[OrgRecord], ...]", trust.records_of(OrgRecord))


def issuers_of(trust: TrustState) -> tuple[Signed[IssuerRecord], ...]:
    """Every issuer record."""
    return cast("tuple[Signed[IssuerRecord], ...]", trust.records_of(IssuerRecord))


def lineage(trust: TrustState, only: bytes | None = None) -> tuple[bytes, ...]:
    """Every root, the newest orgs and issuers and what these rest on, in order of admission.

    `only` names one org; None is all of them.
    """
    orgs, issuers = newest(orgs_of(trust)), newest(issuers_of(trust))
    waiting = [signed.id for signed in trust.records_of(RootRecord)]
    waiting += [org.id for org in orgs if only in (None, org.record.inception)]
    waiting += [issuer.id for issuer in issuers if only in (None, issuer.record.org)]
    kept: dict[RecordId, None] = {}
    while waiting:
        record_id = waiting.pop()
        signed = trust.signed(record_id)
        if signed is None or record_id in kept:
            continue
        kept[record_id] = None
        named = (signer_id_of(signed.record), previous_id_of(signed.record))
        waiting += [each for each in named if each]
    return tuple(
        signed.to_bytes()
        for kind in (RootRecord, OrgRecord, IssuerRecord)
        for signed in trust.records_of(kind)
        if signed.id in kept
    )


def founded_of(federation: FederationId, untrusted: Sequence[bytes], now_ms: int) -> Founded:
    """What envelopes say, in their order, every record judged; raises `MalformedFrame`."""
    state = TrustState(federation, TrustConfig())
    for envelope in untrusted:
        verdict = state.admit(envelope, now_ms)
        if isinstance(verdict, Admitted):
            continue
        why = f"{verdict.reason}: {verdict.detail}" if isinstance(verdict, TrustRefusal) else ""
        hint = "compare both machines' clocks" if "not_yet_valid" in why else ODD
        raise MalformedFrame(
            f"the federation's file does not verify ({why or 'a record it rests on is absent'})",
            hint=hint,
        )
    if state.root is None:
        raise MalformedFrame("the federation's file holds no root", hint=ODD)
    return Founded(state, tuple(untrusted))


def write_federation(founded: Founded, fresh: Sequence[bytes], now_ms: int) -> bytes:
    """The file with fresh records and without what newer ones have replaced, all verified."""
    federation = founded.state.federation
    whole = founded_of(federation, (*founded.envelopes, *fresh), now_ms)
    envelopes = lineage(whole.state)
    if len(envelopes) > RECORD_COUNT_MAX:
        raise StateError(
            f"a federation's file holds {RECORD_COUNT_MAX} records at most",
            hint="combine under the founders' file; other organisations are learned from peers",
        )
    return armour(FEDERATION, FederationFile(envelopes=envelopes).to_body())


def read_federation(untrusted: bytes, now_ms: int) -> Founded:
    """A federation's file, every record judged as a node would; raises `MalformedFrame`."""
    envelopes = FederationFile.from_body_untrusted(unarmour(FEDERATION, untrusted)).envelopes
    if not envelopes:
        raise MalformedFrame("the federation's file is empty", hint=ODD)
    return founded_of(FederationId(_first_id(envelopes[0])), envelopes, now_ms)


def _first_id(envelope: bytes) -> bytes:
    first = parse_untrusted(envelope)
    if not isinstance(first.record, RootRecord):
        raise MalformedFrame("the federation's file does not begin with a root", hint=ODD)
    return federation_of(cast("Signed[RootRecord]", first))


def issuer_of(
    org: Signed[OrgRecord],
    signers: Sequence[SigningKey],
    key: PublicKey,
    next_digest: bytes,
    now_ms: int,
) -> Signed[IssuerRecord]:
    """An issuer that may issue all that its org owns."""
    return make_issuer(
        org,
        signers,
        key=key,
        next_key_digest=Digest(next_digest),
        capabilities=tuple(
            Capability(prefix, ALL_ACTIONS, org.record.regions, org.record.assertions, FOREVER_MS)
            for prefix in org.record.namespaces
        ),
        not_before_ms=now_ms,
    )


def issuer_for(founded: Founded, keyring: Keyring, now_ms: int) -> Signed[IssuerRecord]:
    """The issuer of the keyring's org: from the file where it is there and lives, else new."""
    org, own = founded.org_of(keyring), keyring.signer(ISSUER_KEY).public
    for issuer in reversed(founded.issuers):
        if issuer.record.key == own and now_ms <= issuer.record.not_after_ms:
            return issuer
    if org.record.threshold > 1:
        raise NotPermitted(
            f"{org.record.threshold} keys of {org.record.name} sign its issuers together",
            hint="its keepers do so in a ceremony: `hive org propose --renew NAME --issuers-only`",
        )
    successor = keyring.next_signer(ISSUER_KEY).public.digest
    return issuer_of(org, (keyring.signer(ORG_KEY),), own, successor, now_ms)
