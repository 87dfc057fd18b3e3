"""Goal: a federation lives on past day 30, 90 and 400. Method: its ceremonies at dates handed in.

The commands run once each in a folder; the node's own renewals are in tests/node.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from hive.custody.file import FileKeyring, create_keyring
from hive.custody.passphrase import Passphrase
from hive.errors import StateError
from hive.node.cards import make_card, make_keys, make_succession_card
from hive.node.ceremony import combine_ceremony, propose_founding, sign_ceremony
from hive.node.founded import Founded, issuers_of, newest, read_federation, write_federation
from hive.node.renewal import is_ending, propose_renewal, propose_succession, renewed_issuer
from hive.trust.records import ISSUER_LIFE_MS, ORG_LIFE_MS
from hive.trust.secrets_at_rest import RANDOM_PASSPHRASE
from hive.wire.randomness import Stream

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
NAMES = ("acme", "bell", "corp")


def keyring(folder: Path, name: str) -> FileKeyring:
    stream = Stream(b"renewal", name)

    def entropy(count: int) -> bytes:
        return stream.bits(8 * count).to_bytes(count, "big")

    made = create_keyring(folder / name, Passphrase(b"x" * 32), entropy, RANDOM_PASSPHRASE)
    make_keys(made, entropy)
    return made


@pytest.fixture
def keyrings(tmp_path: Path) -> dict[str, FileKeyring]:
    return {name: keyring(tmp_path, name) for name in NAMES}


@pytest.fixture
def founded(keyrings: dict[str, FileKeyring]) -> Founded:
    cards = [make_card(keyrings[name], name=name, namespaces=(name,)) for name in NAMES]
    proposal = propose_founding(cards, name="world", threshold=2, now_ms=NOW_MS)
    signatures = [sign_ceremony(proposal, keyrings[name]) for name in NAMES]
    return read_federation(combine_ceremony(proposal, signatures, NOW_MS), NOW_MS)


def combined(
    founded: Founded, proposal: bytes, keyrings: dict[str, FileKeyring], *names: str, at_ms: int
) -> Founded:
    signatures = [sign_ceremony(proposal, keyrings[name]) for name in names]
    return read_federation(combine_ceremony(proposal, signatures, at_ms, founded), at_ms)


def test_an_org_renews_its_issuer_alone_and_identity_key_and_rights_stay(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    later_ms = NOW_MS + 29 * DAY_MS
    issuer = renewed_issuer(founded, keyrings["bell"], later_ms)
    old = next(each for each in founded.issuers if each.record.key == issuer.record.key)
    text = write_federation(founded, [issuer.to_bytes()], later_ms)
    renewed = read_federation(text, later_ms)
    assert [each.record.inception for each in renewed.issuers].count(issuer.record.inception) == 1
    assert issuer.record.inception == old.record.inception
    assert issuer.record.capabilities == old.record.capabilities
    assert issuer.record.not_after_ms == later_ms + ISSUER_LIFE_MS


def test_an_issuer_that_ended_is_revived(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    later_ms = NOW_MS + 60 * DAY_MS
    issuer = renewed_issuer(founded, keyrings["acme"], later_ms)
    renewed = read_federation(write_federation(founded, [issuer.to_bytes()], later_ms), later_ms)
    chain = renewed.state.chain_of(issuer.id)
    assert chain is not None
    assert chain.is_valid_at(later_ms)


def test_no_issuer_outlives_its_org_and_the_remedy_is_named(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    with pytest.raises(StateError, match="own record ended") as caught:
        renewed_issuer(founded, keyrings["acme"], NOW_MS + ORG_LIFE_MS + 1)
    assert "hive org propose --renew" in caught.value.hint


def test_two_of_three_renew_orgs_with_the_issuers_of_those_that_sign(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    later_ms = NOW_MS + ORG_LIFE_MS + DAY_MS
    proposal = propose_renewal(founded, ("acme", "bell"), later_ms)
    renewed = combined(founded, proposal, keyrings, "acme", "corp", at_ms=later_ms)
    living = [
        signed.record.org
        for signed in newest(issuers_of(renewed.state))
        if (chain := renewed.state.chain_of(signed.id)) and chain.is_valid_at(later_ms)
    ]
    assert living == [renewed.org_of(keyrings["acme"]).record.inception]
    again = renewed_issuer(renewed, keyrings["bell"], later_ms)
    assert write_federation(renewed, [again.to_bytes()], later_ms)
    assert [org.record.generation for org in renewed.orgs] == [0] * len(renewed.orgs)


def test_an_org_cannot_renew_itself(keyrings: dict[str, FileKeyring], founded: Founded) -> None:
    proposal = propose_renewal(founded, ("acme",), NOW_MS + DAY_MS)
    with pytest.raises(StateError, match="1 of 2 needed signatures of the root"):
        combined(founded, proposal, keyrings, "acme", at_ms=NOW_MS + DAY_MS)


def test_years_of_renewals_keep_the_file_small(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    count = len(founded.envelopes)
    for month in range(1, 4):
        at_ms = NOW_MS + month * 25 * DAY_MS
        for name in NAMES:
            issuer = renewed_issuer(founded, keyrings[name], at_ms)
            founded = read_federation(write_federation(founded, [issuer.to_bytes()], at_ms), at_ms)
        assert len(founded.envelopes) == count


def test_a_record_is_ending_in_the_last_quarter_of_its_life(founded: Founded) -> None:
    issuer = founded.issuers[0].record
    quarter_ms = ISSUER_LIFE_MS // 4
    assert not is_ending(issuer, issuer.not_after_ms - quarter_ms)
    assert is_ending(issuer, issuer.not_after_ms - quarter_ms + 1)


def succession(
    keyrings: dict[str, FileKeyring], founded: Founded, *names: str, at_ms: int
) -> bytes:
    root = founded.root.record
    cards = []
    for name in names:
        own = make_card(keyrings[name], name=name, namespaces=(name,))
        stream = Stream(b"succession", f"{name}-{root.number}")

        def entropy(count: int, stream: Stream = stream) -> bytes:
            return stream.bits(8 * count).to_bytes(count, "big")

        cards.append(make_succession_card(keyrings[name], own, root, entropy))
    return propose_succession(cards, founded, at_ms)


def test_roots_follow_one_another_and_what_they_sign_counts(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    for number, names in ((1, ("acme", "bell")), (2, ("bell", "corp")), (3, NAMES)):
        at_ms = NOW_MS + number * 380 * DAY_MS
        proposal = succession(keyrings, founded, *names, at_ms=at_ms)
        founded = combined(founded, proposal, keyrings, *names, at_ms=at_ms)
        assert founded.root.record.number == number
        renewal = propose_renewal(founded, NAMES, at_ms + 1)
        founded = combined(founded, renewal, keyrings, *names, at_ms=at_ms + 1)
        chain = founded.state.chain_of(founded.org_of(keyrings["acme"]).id)
        assert chain is not None
        assert chain.is_valid_at(at_ms + 1)


def test_a_successor_needs_enough_holders(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    at_ms = NOW_MS + DAY_MS
    with pytest.raises(StateError, match="1 of 2 needed cards"):
        succession(keyrings, founded, "acme", at_ms=at_ms)
    proposal = succession(keyrings, founded, "acme", "bell", at_ms=at_ms)
    with pytest.raises(StateError, match="1 of 2 needed signatures"):
        combined(founded, proposal, keyrings, "acme", at_ms=at_ms)


def test_a_card_that_reveals_no_committed_key_is_refused(
    keyrings: dict[str, FileKeyring], founded: Founded
) -> None:
    card = make_card(keyrings["acme"], name="acme", namespaces=("acme",))
    with pytest.raises(StateError, match="does not reveal the key"):
        propose_succession([card], founded, NOW_MS + DAY_MS)


# At a shell.


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def typed(line: str) -> Result:
    return CliRunner(env={"HIVE_PASSPHRASE_FD": None}).invoke(main, line.split())


def done(line: str) -> Result:
    result = typed(line)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def home(folder: Path) -> Path:
    done("found card --org acme -n acme --dir acme-founder -o acme.card")
    done("found propose --name world --threshold 1 acme.card -o proposal")
    done("found sign proposal --dir acme-founder -o acme.sig")
    done("found combine proposal acme.sig -o federation.root")
    place = "--name acme-1 --region eu-west --listen 127.0.0.1:7441"
    done(f"init --home acme-1 {place} --founder acme-founder --federation federation.root")
    return Path("acme-1")


def test_renewals_reach_a_node_directly_and_as_files(home: Path) -> None:
    assert "renewed until" in done("org renew --dir acme-founder --home acme-1").stdout
    in_file = "org renew --dir acme-founder --federation federation.root -o renewed.root"
    done(in_file)
    assert "unchanged" in done(in_file).stderr
    assert "1 of 3 records were new" in done("org admit renewed.root --home acme-1").stdout
    assert "0 of 3 records were new" in done("org admit renewed.root --home acme-1").stdout
    done("org propose --renew acme --federation renewed.root -o renewal")
    done("org sign renewal --dir acme-founder -o renewal.sig")
    done("org combine renewal renewal.sig --federation renewed.root -o next.root")
    assert "2 of 3 records were new" in done("org admit next.root --home acme-1").stdout
    done("found succeed --dir acme-founder --federation next.root -o acme.next")
    done("found renew acme.next --federation next.root -o successor")
    done("org sign successor --dir acme-founder -o successor.sig")
    done("org combine successor successor.sig --federation next.root -o last.root")
    assert "1 of 4 records were new" in done("org admit last.root --home acme-1").stdout
    done("doctor --home acme-1")


def test_two_of_three_keepers_sign_for_their_organisation(folder: Path) -> None:
    for name in ("ann", "bob"):
        done(f"found card --org acme -n acme --dir {name} -o {name}.card")
    card = "found card --org acme -n acme --dir cyd -o acme.card --keys-needed 2"
    assert typed(card).exit_code == 2
    done(f"{card} --keeper ann.card --keeper bob.card")
    done("found propose --name world --threshold 1 acme.card -o proposal")
    for name in ("ann", "bob", "cyd"):
        done(f"found sign proposal --dir {name} -o {name}.sig")
    alone = typed("found combine proposal cyd.sig -o alone.root")
    assert (alone.exit_code, "1 of 2 needed signatures" in alone.stderr) == (1, True)
    done("found combine proposal ann.sig cyd.sig -o federation.root")
    place = "--name acme-1 --region eu-west --listen 127.0.0.1:7441"
    done(f"init --home acme-1 {place} --founder cyd --federation federation.root")
    by_one = typed("org renew --dir cyd --federation federation.root -o one.root")
    assert (by_one.exit_code, "--issuers-only" in by_one.stderr) == (3, True)
    done("org propose --renew acme --issuers-only --federation federation.root -o renewal")
    for name in ("ann", "bob"):
        done(f"org sign renewal --dir {name} -o {name}.renewal")
    short = typed("org combine renewal bob.renewal --federation federation.root -o no.root")
    assert (short.exit_code, "1 of 2 needed signatures of the org" in short.stderr) == (1, True)
    both = "ann.renewal bob.renewal"
    done(f"org combine renewal {both} --federation federation.root -o renewed.root")
    assert "1 of 3 records were new" in done("org admit renewed.root --home acme-1").stdout
    assert done("remember otters --home acme-1").exit_code == 0


def test_flags_that_do_not_go_together_are_refused(folder: Path) -> None:
    Path("f").write_text("")
    for line in ("org renew --dir d --federation f", "org propose --federation f -o p"):
        assert typed(line).exit_code == 2
