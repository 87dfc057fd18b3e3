"""Renewals by hand: an issuer at a node or in a file, and files admitted at a node."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hive.errors import StateError
from hive.node import clocks
from hive.node.cards import make_succession_card, read_card, write_card
from hive.node.founded import Founded, founded_of, write_federation
from hive.node.renewal import (
    propose_issuers,
    propose_renewal,
    propose_succession,
    renewed_issuer,
)
from hive.trust.armour import ARMOUR_BYTES_MAX
from hive.trust.envelope import Signed
from hive.trust.records import IssuerRecord
from hive.wire.ids import FederationId

from .ceremonies import CARD_FILE, present_ms, read_founded, write_made, write_made_proposal
from .inputs import read_file_bounded
from .keyrings import opened
from .moments import moment
from .session import Session

if TYPE_CHECKING:
    from hive.client.client import Client


def renew_at_node(session: Session, directory: Path, descriptor: int | None) -> None:
    """A new issuer record, made from what the node knows, admitted there."""
    keyring = opened(session, directory, descriptor)
    with session.client() as client:
        known = client.call("org_records")
        envelopes = [base64.b64decode(record) for record in known["records"]]
        federation = FederationId(bytes.fromhex(known["federation"]))
        issuer = renewed_issuer(
            founded_of(federation, envelopes, present_ms()), keyring, present_ms()
        )
        _admit(client, [issuer.to_bytes()])
    data = _issuer_shown(issuer)
    session.emit(data, f"renewed until {data['until']}")


def renew_in_file(
    session: Session, directory: Path, descriptor: int | None, federation: Path, output: Path
) -> None:
    """The federation's file with a new issuer record, to be admitted at a node."""
    keyring, founded = opened(session, directory, descriptor), read_founded(federation)
    if output.exists() and _holds_renewed(output, founded):
        session.emit({"file": str(output)}, str(output))
        session.say("It was there already, unchanged.")
        return
    issuer = renewed_issuer(founded, keyring, present_ms())
    write_made(
        session,
        output,
        write_federation(founded, [issuer.to_bytes()], present_ms()),
        _issuer_shown(issuer),
    )


def _holds_renewed(output: Path, founded: Founded) -> bool:
    made = read_founded(output)
    known = [issuer.id for issuer in founded.issuers]
    return made.state.federation == founded.state.federation and any(
        issuer.id not in known for issuer in made.issuers
    )


def propose_renewed(
    session: Session,
    names: Sequence[str],
    federation: Path,
    output: Path,
    *,
    issuers_only: bool,
) -> None:
    """A proposal of organisations and their issuers, or of issuers alone, under new dates."""
    founded = read_founded(federation)
    make = propose_issuers if issuers_only else propose_renewal
    write_made_proposal(session, output, lambda at_ms: make(founded, names, at_ms))


def make_succession_file(session: Session, directory: Path, federation: Path, output: Path) -> None:
    """A holder's card for the root's successor; the same again is no change."""
    keyring, founded = opened(session, directory), read_founded(federation)
    own = read_card(read_file_bounded(directory / CARD_FILE, ARMOUR_BYTES_MAX))
    card = make_succession_card(keyring, own, founded.root.record, clocks.entropy)
    shown = {"organisation": card.name, "root_key": card.root_key.digest.hex()[:16]}
    write_made(session, output, write_card(card), shown)


def propose_successor(
    session: Session, cards: Sequence[Path], federation: Path, output: Path
) -> None:
    """A proposal of the root's successor."""
    founded = read_founded(federation)
    read = [read_card(read_file_bounded(path, ARMOUR_BYTES_MAX)) for path in cards]
    write_made_proposal(session, output, lambda at_ms: propose_succession(read, founded, at_ms))


def admit_file(session: Session, path: Path) -> None:
    """Gives a federation's file to the node; what it knew already is no change."""
    founded = read_founded(path)
    with session.client() as client:
        fresh = _admit(client, founded.envelopes)
    count = len(founded.envelopes)
    data = {"file": str(path), "records": count, "new": fresh}
    session.emit(data, f"{fresh} of {count} records were new")


def _admit(client: Client, envelopes: Sequence[bytes]) -> int:
    """How many records were new there; `StateError` where one was refused."""
    records = [base64.b64encode(envelope).decode("ascii") for envelope in envelopes]
    answer = client.call("admit_records", records=records)
    refused = [outcome for outcome in answer["outcomes"] if outcome != "admitted"]
    if refused:
        raise StateError(f"the node refused a record: {refused[0]}", hint="see `hive doctor`")
    return int(answer["new"])


def _issuer_shown(issuer: Signed[IssuerRecord]) -> dict[str, Any]:
    record = issuer.record
    return {
        "issuer": record.inception.hex(),
        "record": issuer.id.hex(),
        "until": moment(record.not_after_ms),
    }
