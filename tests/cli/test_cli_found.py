"""Goal: a ceremony at a shell does no harm when repeated. Method: its commands in one folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def typed(line: str) -> Result:
    return CliRunner(env={"HIVE_PASSPHRASE_FD": None}).invoke(main, line.split())


def card(name: str, namespaces: str = "", output: str = "") -> Result:
    owned = namespaces or f"-n {name}"
    return typed(f"found card --org {name} {owned} --dir {name}-founder -o {output or name}.card")


PROPOSE = "found propose --name world --threshold 2 acme.card bell.card -o proposal"


@pytest.fixture
def proposal() -> Path:
    for name in ("acme", "bell"):
        assert card(name).exit_code == 0
    assert typed(PROPOSE).exit_code == 0
    return Path("proposal")


def test_the_same_steps_again_change_nothing(proposal: Path) -> None:
    before = (Path("acme.card").read_bytes(), proposal.read_bytes())
    for again in (card("acme"), typed(PROPOSE)):
        assert (again.exit_code, "unchanged" in again.stderr) == (0, True)
    assert (Path("acme.card").read_bytes(), proposal.read_bytes()) == before


def test_nothing_is_overwritten_by_something_else(proposal: Path) -> None:
    before = proposal.read_bytes()
    done = typed(PROPOSE.replace("world", "moon"))
    assert (done.exit_code, "nothing is overwritten" in done.stderr) == (1, True)
    changed = card("acme", "-n acme -n more", "other")
    assert (changed.exit_code, "founder.card exists" in changed.stderr) == (1, True)
    assert proposal.read_bytes() == before


def test_a_holder_does_not_sign_what_its_card_does_not_say(proposal: Path) -> None:
    assert card("acme", "-n acme -n more", "acme-more").exit_code == 1
    Path("acme-founder/founder.card").unlink()
    assert card("acme", "-n acme -n more", "acme-more").exit_code == 0
    done = typed("found sign proposal --dir acme-founder -o acme.sig")
    assert (done.exit_code, "changes what your own card says" in done.stderr) == (1, True)
    assert not Path("acme.sig").exists()


def test_damaged_files_are_named(proposal: Path) -> None:
    for name in ("acme", "bell"):
        assert typed(f"found sign proposal --dir {name}-founder -o {name}.sig").exit_code == 0
    whole = Path("bell.sig").read_bytes()
    Path("bell.sig").write_bytes(whole[:200])
    done = typed("found combine proposal acme.sig bell.sig -o federation.root")
    assert (done.exit_code, "signature file 2: it is cut off" in done.stderr) == (1, True)
    assert "2: bell.sig" in done.stderr
    Path("bell.sig").write_bytes(whole)
    assert typed("found combine proposal acme.sig bell.sig -o federation.root").exit_code == 0
    shown = typed("found show federation.root")
    assert "root: R(0), 2 of 2" in shown.stdout
    assert typed("found show acme.sig").exit_code == 1


def test_secrets_stay_private_on_disk(proposal: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in Path("acme-founder").glob("*.key")}
    assert modes == {0o600}
    assert Path("acme-founder").stat().st_mode & 0o777 == 0o700


def test_a_wrong_founder_is_told(proposal: Path) -> None:
    assert card("corp").exit_code == 0
    done = typed("found sign proposal --dir corp-founder -o corp.sig")
    assert (done.exit_code, "no key of this keyring is asked" in done.stderr) == (1, True)
    empty = typed("found sign proposal --dir nobody -o nobody.sig")
    assert (empty.exit_code, "is no keyring" in empty.stderr) == (6, True)
