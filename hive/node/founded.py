"""A federation's file: its root, organisations and issuers, verified whenever it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, cast

from hive.custody.signer import Keyring
from hive.errors import MalformedFrame, StateError
from hive.node.cards import ISSUER_KEY, ORG_KEY
from hive.trust.armour import unarmour
from hive.trust.capability import ALL_ACTIONS, FOREVER_MS, Capability
from hive.trust.envelope import ENVELOPE_BYTES_MAX, Signed, parse_untrusted
from hive.trust.issuing import make_issuer
from hive.trust.keys import PublicKey, SigningKey
from hive.trust.records import IssuerRecord, OrgRecord, RootRecord
from hive.trust.roots import federation_of
from hive.trust.state import TrustConfig, TrustState
from hive.trust.verdicts import Admitted, TrustRefusal
from hive.wire.codec import Array, Octets
from hive.wire.ids import Digest, FederationId
from hive.wire.schema import Record, record

FEDERATION: Final = "HIVE FEDERATION"
RECORD_COUNT_MAX: Final = 64
FILE_BYTES_MAX: Final = 47 * 1_024
"""What fits a file of text armour."""
ODD: Final = "ask who made it; do not use it"


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


def read_federation(untrusted: bytes, now_ms: int) -> Founded:
    """A federation's file, every record judged as a node would; raises `MalformedFrame`."""
    envelopes = FederationFile.from_body_untrusted(unarmour(FEDERATION, untrusted)).envelopes
    if not envelopes:
        raise MalformedFrame("the federation's file is empty", hint=ODD)
    state = TrustState(FederationId(_first_id(envelopes[0])), TrustConfig())
    for envelope in envelopes:
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
    return Founded(state, envelopes)


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
    successor = keyring.next_signer(ISSUER_KEY).public.digest
    return issuer_of(org, (keyring.signer(ORG_KEY),), own, successor, now_ms)
