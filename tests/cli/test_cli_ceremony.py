"""Goal: three organisations found a federation by mail, and a later one joins it the same way.

Method: keyrings in temporary folders and the files as bytes; every damage is named.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hive.custody.file import FileKeyring, create_keyring
from hive.custody.passphrase import Passphrase
from hive.errors import ConfigError, MalformedFrame, StateError
from hive.node.cards import Card, make_card, make_keys, read_card, write_card
from hive.node.ceremony import (
    combine_ceremony,
    propose_enrolment,
    propose_founding,
    read_ceremony,
    sign_ceremony,
)
from hive.node.founded import issuer_for, read_federation
from hive.trust.records import IssuerRecord, OrgRecord, RootRecord
from hive.trust.secrets_at_rest import RANDOM_PASSPHRASE
from hive.trust.verdicts import Admitted
from hive.wire.randomness import Stream

NOW_MS = 1_800_000_000_000
NAMES = ("acme", "bell", "corp")


def keyring(folder: Path, name: str) -> FileKeyring:
    stream = Stream(b"ceremony", name)

    def entropy(count: int) -> bytes:
        return stream.bits(8 * count).to_bytes(count, "big")

    made = create_keyring(folder / name, Passphrase(b"x" * 32), entropy, RANDOM_PASSPHRASE)
    make_keys(made, entropy)
    return made


@pytest.fixture
def keyrings(tmp_path: Path) -> dict[str, FileKeyring]:
    return {name: keyring(tmp_path, name) for name in (*NAMES, "dora")}


def card_of(keyrings: dict[str, FileKeyring], name: str) -> Card:
    return make_card(keyrings[name], name=name, namespaces=(name, "commons"))


def founding(keyrings: dict[str, FileKeyring]) -> bytes:
    cards = [card_of(keyrings, name) for name in NAMES]
    return propose_founding(cards, name="world", threshold=2, now_ms=NOW_MS)


def founded(keyrings: dict[str, FileKeyring], *signers: str) -> bytes:
    proposal = founding(keyrings)
    signatures = [sign_ceremony(proposal, keyrings[name]) for name in signers]
    return combine_ceremony(proposal, signatures, NOW_MS)


def test_two_of_three_found_root_orgs_and_their_own_issuers(
    keyrings: dict[str, FileKeyring],
) -> None:
    federation = read_federation(founded(keyrings, "acme", "corp"), NOW_MS)
    assert federation.root.record.threshold == 2
    assert [org.record.name for org in federation.orgs] == list(NAMES)
    assert len(federation.issuers) == 2


def test_an_organisation_that_did_not_sign_makes_its_issuer_later(
    keyrings: dict[str, FileKeyring],
) -> None:
    federation = read_federation(founded(keyrings, "acme", "corp"), NOW_MS)
    issuer = issuer_for(federation, keyrings["bell"], NOW_MS + 1)
    assert isinstance(federation.state.admit(issuer.to_bytes(), NOW_MS + 1), Admitted)
    assert issuer.record.inception in federation.root.record.freshness_issuers


def test_the_issuer_of_the_file_is_used_while_it_lives(keyrings: dict[str, FileKeyring]) -> None:
    federation = read_federation(founded(keyrings, "acme", "corp"), NOW_MS)
    assert issuer_for(federation, keyrings["acme"], NOW_MS) in federation.issuers


def test_one_of_three_is_not_enough_and_says_who_must_still_sign(
    keyrings: dict[str, FileKeyring],
) -> None:
    with pytest.raises(StateError, match="1 of 2 needed signatures") as caught:
        founded(keyrings, "acme")
    assert "bell, corp" in caught.value.hint


def test_a_later_organisation_is_enrolled_by_the_same_files(
    keyrings: dict[str, FileKeyring],
) -> None:
    federation = read_federation(founded(keyrings, *NAMES), NOW_MS)
    proposal = propose_enrolment(card_of(keyrings, "dora"), federation, NOW_MS + 5)
    signatures = [sign_ceremony(proposal, keyrings[name]) for name in ("bell", "acme", "dora")]
    text = combine_ceremony(proposal, signatures, NOW_MS + 5, federation)
    enrolled = read_federation(text, NOW_MS + 5)
    assert enrolled.org_of(keyrings["dora"]).record.namespaces == ("dora", "commons")
    assert enrolled.state.federation == federation.state.federation


def test_a_newcomer_cannot_enrol_itself(keyrings: dict[str, FileKeyring]) -> None:
    federation = read_federation(founded(keyrings, *NAMES), NOW_MS)
    proposal = propose_enrolment(card_of(keyrings, "dora"), federation, NOW_MS)
    own = sign_ceremony(proposal, keyrings["dora"])
    with pytest.raises(StateError, match="0 of 2 needed signatures of the root"):
        combine_ceremony(proposal, [own], NOW_MS, federation)


def test_the_same_steps_give_the_same_bytes(keyrings: dict[str, FileKeyring]) -> None:
    assert founding(keyrings) == founding(keyrings)
    assert founded(keyrings, "acme", "bell") == founded(keyrings, "bell", "acme")


def test_a_stranger_is_not_asked_to_sign(keyrings: dict[str, FileKeyring]) -> None:
    with pytest.raises(StateError, match="no key of this keyring is asked"):
        sign_ceremony(founding(keyrings), keyrings["dora"])


def test_a_signature_over_another_proposal_is_named(keyrings: dict[str, FileKeyring]) -> None:
    proposal = founding(keyrings)
    cards = [card_of(keyrings, name) for name in NAMES]
    other = propose_founding(cards, name="other", threshold=1, now_ms=NOW_MS)
    with pytest.raises(StateError, match="signature file 1 signs another proposal"):
        combine_ceremony(proposal, [sign_ceremony(other, keyrings["acme"])], NOW_MS)


def test_what_is_signed_can_be_read_before(keyrings: dict[str, FileKeyring]) -> None:
    kinds = [type(proposed) for proposed in read_ceremony(founding(keyrings))]
    assert kinds == [RootRecord] + [OrgRecord, IssuerRecord] * 3


@pytest.mark.parametrize("threshold", [0, 4])
def test_a_threshold_that_cannot_be_met_is_refused(
    keyrings: dict[str, FileKeyring], threshold: int
) -> None:
    cards = [card_of(keyrings, name) for name in NAMES]
    with pytest.raises(ConfigError, match="does not fit 3 founders"):
        propose_founding(cards, name="world", threshold=threshold, now_ms=NOW_MS)


def test_one_card_twice_is_refused(keyrings: dict[str, FileKeyring]) -> None:
    cards = [card_of(keyrings, "acme")] * 2
    with pytest.raises(ConfigError, match="two cards bear one name"):
        propose_founding(cards, name="world", threshold=1, now_ms=NOW_MS)


def test_a_card_with_a_bad_namespace_is_refused(keyrings: dict[str, FileKeyring]) -> None:
    with pytest.raises(ConfigError, match="'Acme!' is no namespace"):
        make_card(keyrings["acme"], name="acme", namespaces=("Acme!",))


def test_damage_on_the_way_is_told_from_truncation(keyrings: dict[str, FileKeyring]) -> None:
    text = write_card(card_of(keyrings, "acme"))
    assert read_card(text) == card_of(keyrings, "acme")
    with pytest.raises(MalformedFrame, match="cut off"):
        read_card(text[: len(text) // 2])
    lines = text.split(b"\n")
    lines[3] = lines[3][::-1]
    with pytest.raises(MalformedFrame, match="altered on its way"):
        read_card(b"\n".join(lines))


def test_a_federation_file_is_judged_whole(keyrings: dict[str, FileKeyring]) -> None:
    text = founded(keyrings, "acme", "bell")
    with pytest.raises(MalformedFrame, match="not_yet_valid"):
        read_federation(text, NOW_MS - 86_400_000)
    with pytest.raises(MalformedFrame, match="no line says"):
        read_federation(founding(keyrings), NOW_MS)
