"""The files of a ceremony: read, shown, made once, and made again without harm."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from hive.errors import HiveError, MalformedFrame, StateError
from hive.node import clocks
from hive.node.cards import KEY_NAMES, Card, make_card, make_keys, read_card, write_card
from hive.node.ceremony import (
    combine_ceremony,
    propose_enrolment,
    propose_founding,
    read_ceremony,
    sign_ceremony,
)
from hive.node.founded import Founded, read_federation
from hive.trust.armour import ARMOUR_BYTES_MAX
from hive.trust.envelope import sign_record
from hive.trust.records import IssuerRecord, OrgRecord, RootRecord
from hive.trust.roots import Proposable, federation_of

from .files import write_once
from .inputs import read_file_bounded
from .keyrings import make, opened
from .moments import moment
from .output import outline
from .session import Session

T = TypeVar("T")

CARD_FILE: Final = "founder.card"
"""The founder's own copy of its card, beside its keys."""


def make_card_file(
    session: Session, directory: Path, output: Path, *, keepers: Sequence[Path], **wanted: Any
) -> None:
    """Keys in the folder, and the card; the same again is no change."""
    others = [_parsed(path, read_card) for path in keepers]
    is_new = not (directory / "keyring.mark").exists()
    keyring = make(session, directory) if is_new else opened(session, directory)
    if set(keyring.names()) - set(KEY_NAMES):
        raise StateError(
            f"{directory} holds the keys of a node", hint="give the founder a folder of its own"
        )
    make_keys(keyring, clocks.entropy)
    card = make_card(keyring, keepers=others, **wanted)
    write_once(directory / CARD_FILE, write_card(card))
    write_made(session, output, write_card(card), _card_shown(card))


def propose_federation(
    session: Session, cards: Sequence[Path], name: str, threshold: int, output: Path
) -> None:
    """A proposal; where the file is there already, for the same cards, it stays."""
    read = [_parsed(path, read_card) for path in cards]

    def make_at(now_ms: int) -> bytes:
        return propose_founding(read, name=name, threshold=threshold, now_ms=now_ms)

    write_made_proposal(session, output, make_at)


def propose_org(session: Session, card: Path, federation: Path, output: Path) -> None:
    """A proposal for one more organisation; namespaces that others own too are named."""
    read, founded = _parsed(card, read_card), read_founded(federation)
    for org in founded.orgs:
        shared = sorted(set(org.record.namespaces) & set(read.namespaces))
        if shared and org.record.inception != read.org:
            session.say(f"Note: {', '.join(shared)} would be shared with {org.record.name}.")
    write_made_proposal(session, output, lambda now_ms: propose_enrolment(read, founded, now_ms))


def write_made_proposal(session: Session, output: Path, make_at: Callable[[int], bytes]) -> None:
    """A proposal dated now; where the file is there already, dated as that one."""
    now_ms = present_ms()
    if output.exists():
        first = _parsed(output, read_ceremony)[0]
        now_ms = first.not_before_ms
    proposal = make_at(now_ms)
    write_made(session, output, proposal, _proposal_shown(read_ceremony(proposal)))


def sign_file(
    session: Session, proposal: Path, directory: Path, output: Path, *, is_agreed: bool
) -> None:
    """Shows what is signed, asks a person at a terminal, and signs."""
    untrusted = _content(proposal)
    records = _parsed(proposal, read_ceremony)
    keyring = opened(session, directory)
    _require_own(directory, records)
    session.say(outline(_proposal_shown(records)))
    if not is_agreed and sys.stdin.isatty():
        click.confirm("Sign all of this?", abort=True, err=True)
    write_made(session, output, sign_ceremony(untrusted, keyring), {"signed": str(proposal)})


def _require_own(directory: Path, records: Sequence[Proposable]) -> None:
    """What the proposal says of the signer's own organisation is what its card says."""
    if not (directory / CARD_FILE).exists():
        return
    own = _parsed(directory / CARD_FILE, read_card)
    wanted = (own.name, own.namespaces, own.regions)
    for org in records:
        if not isinstance(org, OrgRecord) or own.org_key not in org.keys:
            continue
        if (org.name, org.namespaces, org.regions) != wanted:
            raise StateError(
                "the proposal changes what your own card says", hint="do not sign; ask who made it"
            )


def combine_files(
    session: Session,
    proposal: Path,
    signatures: Sequence[Path],
    output: Path,
    federation: Path | None = None,
) -> None:
    """The federation's file."""
    founded = read_founded(federation) if federation else None
    names = ", ".join(f"{n}: {path}" for n, path in enumerate(signatures, 1))
    try:
        text = combine_ceremony(
            _content(proposal), [_content(path) for path in signatures], present_ms(), founded
        )
    except HiveError as error:
        raise type(error)(str(error), hint=f"{error.hint} ({names})") from None
    write_made(session, output, text, _federation_shown(read_federation(text, present_ms())))


def show_file(session: Session, path: Path) -> None:
    """Whatever of the ceremony the file is."""
    content = _content(path)
    readers: tuple[tuple[bytes, Callable[[], dict[str, Any]]], ...] = (
        (b"HIVE ORGANISATION CARD", lambda: _card_shown(_parsed(path, read_card))),
        (b"HIVE CEREMONY PROPOSAL", lambda: _proposal_shown(_parsed(path, read_ceremony))),
        (b"HIVE FEDERATION", lambda: _federation_shown(read_founded(path))),
    )
    for mark, show in readers:
        if mark in content:
            data = show()
            session.emit(data, outline(data))
            return
    raise MalformedFrame(
        f"{path} is no card, proposal or federation's file", hint="is it the right file?"
    )


# Files.


def write_made(session: Session, output: Path, content: bytes, data: dict[str, Any]) -> None:
    """A file made once, and what it says."""
    is_new = write_once(output, content)
    data = {"file": str(output), **data}
    session.emit(data, str(output))
    if not is_new:
        session.say("It was there already, unchanged.")


def _content(path: Path) -> bytes:
    return read_file_bounded(path, ARMOUR_BYTES_MAX)


def _parsed(path: Path, read: Any) -> Any:
    try:
        return read(_content(path))
    except MalformedFrame as error:
        raise MalformedFrame(f"{path}: {error}", hint=error.hint) from None


def read_founded(path: Path) -> Founded:
    """A federation's file, verified."""
    founded: Founded = _parsed(path, lambda content: read_federation(content, present_ms()))
    return founded


def present_ms() -> int:
    """The wall clock, in milliseconds."""
    return clocks.read().wall_us // 1_000


# What they say.


def _card_shown(card: Card) -> dict[str, Any]:
    return {
        "organisation": card.name,
        "namespaces": list(card.namespaces),
        "regions": list(card.regions) or ["all"],
        "assertions": list(card.assertions),
        "nodes": card.node_quota,
        "root_key": card.root_key.digest.hex()[:16],
        "org_key": card.org_key.digest.hex()[:16],
        "org_threshold": f"{card.org_threshold} of {len(card.org_keys)}",
        "issuer_key": card.issuer_key.digest.hex()[:16],
    }


def _proposal_shown(records: Sequence[Proposable]) -> dict[str, Any]:
    return {"proposal": [_record_shown(proposed) for proposed in records]}


def _record_shown(proposed: Proposable) -> dict[str, Any]:
    """A proposed record as a person reads it before signing."""
    life = f"{moment(proposed.not_before_ms)} to {moment(proposed.not_after_ms)}"
    plain: dict[str, Any] = {"record": proposed.LABEL, "life": life}
    match proposed:
        case RootRecord():
            plain |= {
                "name": proposed.name,
                "federation": federation_of(sign_record(proposed)).hex(),
                "threshold": f"{proposed.threshold} of {len(proposed.keys)}",
                "holders": {entry.holder: entry.key.digest.hex()[:16] for entry in proposed.keys},
            }
        case OrgRecord():
            plain |= {
                "name": proposed.name,
                "namespaces": list(proposed.namespaces),
                "regions": list(proposed.regions) or ["all"],
                "assertions": list(proposed.assertions),
                "nodes": proposed.node_quota,
                "threshold": f"{proposed.threshold} of {len(proposed.keys)}",
                "keys": [key.digest.hex()[:16] for key in proposed.keys],
            }
        case IssuerRecord():
            plain |= {
                "namespaces": [capability.prefix for capability in proposed.capabilities],
                "keys": [proposed.key.digest.hex()[:16]],
            }
    return plain


def _federation_shown(founded: Founded) -> dict[str, Any]:
    root = founded.root.record
    return {
        "federation": founded.state.federation.hex(),
        "name": root.name,
        "root": f"R({root.number}), {root.threshold} of {len(root.keys)}",
        "holders": [entry.holder for entry in root.keys],
        "organisations": {org.record.name: list(org.record.namespaces) for org in founded.orgs},
        "issuers": len(founded.issuers),
    }
