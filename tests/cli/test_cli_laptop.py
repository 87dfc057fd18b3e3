"""Goal: one person on a laptop, no node running. Method: the commands as a user gives them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main


class Laptop:
    """A home, and hive typed at it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def type(self, *words: str, stdin: str | bytes | None = None) -> Result:
        environment = {"HIVE_HOME": str(self.home), "HIVE_PASSPHRASE_FD": None}
        return CliRunner(env=environment).invoke(main, list(words), input=stdin)

    def ask(self, *words: str) -> dict[str, Any]:
        done = self.type(*words, "--json")
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    laptop = Laptop(tmp_path / "home")
    assert laptop.type("init").exit_code == 0
    return laptop


@pytest.fixture
def empty(tmp_path: Path) -> Laptop:
    return Laptop(tmp_path / "home")


def test_init_remember_recall_just_works(laptop: Laptop) -> None:
    told = laptop.type("remember", "Water boils at 100 °C", "--tag", "physics")
    assert told.exit_code == 0, told.output
    found = laptop.type("recall", "boiling water")
    assert "Water boils at 100 °C" in found.stdout
    assert told.stdout.strip()[:12] in found.stdout


def test_show_log_forget_end_to_end(laptop: Laptop) -> None:
    first = laptop.ask("remember", "The old gate code is 1234")["id"]
    shown = laptop.ask("show", first[:8])
    assert [link["kind"] for link in shown["chain"]] == ["root", "org", "issuer", "agent"]
    assert laptop.ask("log")["entries"][0]["id"] == first
    assert laptop.ask("forget", first[:8], "--dry-run")["dry_run"] is True
    assert laptop.ask("recall", "gate code")["hits"]
    assert laptop.type("forget", first[:8], "--reason", "changed").exit_code == 0
    assert laptop.ask("recall", "gate code")["hits"] == []


def test_an_export_verifies_offline_and_a_changed_byte_does_not(
    laptop: Laptop, tmp_path: Path
) -> None:
    told = laptop.ask("remember", "Otters hold hands")
    bundle = tmp_path / "otters.bundle"
    assert laptop.type("export", told["id"], "-o", str(bundle)).exit_code == 0
    federation = laptop.ask("status")["federation"]["id"]
    assert laptop.ask("verify", str(bundle), "--root", federation)["is_valid"] is True
    other = laptop.type("verify", str(bundle), "--root", "00" * 32)
    assert (other.exit_code, "does not verify" in other.stderr) == (1, True)
    octets = bytearray(bundle.read_bytes())
    octets[-40] ^= 1
    bundle.write_bytes(octets)
    assert laptop.type("verify", str(bundle)).exit_code == 1


def test_a_backup_restores_into_an_empty_home_with_recovered_keys(
    laptop: Laptop, tmp_path: Path
) -> None:
    laptop.ask("remember", "Kept for later")
    secret = tmp_path / "secret"
    secret.write_text("correct horse", encoding="ascii")
    keys, backup = tmp_path / "keys.backup", tmp_path / "monday"
    assert laptop.type("backup", str(backup)).exit_code == 0
    with secret.open("rb") as file:
        words = ("keys", "backup", str(keys), "--backup-passphrase-fd", str(dup(file.fileno())))
        assert laptop.type(*words).exit_code == 0
    fresh = Laptop(tmp_path / "fresh")
    assert fresh.type("restore", str(backup)).exit_code == 0
    with secret.open("rb") as file:
        words = ("keys", "recover", str(keys), "--backup-passphrase-fd", str(dup(file.fileno())))
        recovered = fresh.type(*words)
    assert recovered.exit_code == 0, recovered.output
    assert [hit["text"] for hit in fresh.ask("recall", "later")["hits"]] == ["Kept for later"]
    assert fresh.type("remember", "Life goes on").exit_code == 0


def dup(descriptor: int) -> int:
    import os

    return os.dup(descriptor)


def test_rotation_and_revocation_of_an_agent(laptop: Laptop) -> None:
    issued = laptop.ask("agent", "issue", "scribe", "--allow", "home/notes=remember,recall")
    assert issued["capabilities"][0]["actions"] == ["remember", "recall"]
    note = ("--agent", "scribe", "--namespace", "home/notes")
    assert laptop.type("remember", "A note", *note).exit_code == 0
    outside = laptop.type("remember", "A note", "--agent", "scribe", "--namespace", "commons")
    assert (outside.exit_code, "step 5" in outside.stderr) == (3, True)
    assert laptop.type("keys", "rotate", "scribe").exit_code == 0
    assert laptop.type("remember", "Another note", *note).exit_code == 0
    assert laptop.type("revoke", "scribe", "--reason", "retired").exit_code == 0
    late = laptop.type("remember", "Too late", *note)
    assert (late.exit_code, "hint:" in late.stderr) == (3, True)
    assert len(laptop.ask("recall", "note", "--prefix", "home/notes")["hits"]) == 2


def test_a_namespace_that_nobody_gave_is_refused_with_the_step(laptop: Laptop) -> None:
    done = laptop.type("remember", "Hello", "--namespace", "elsewhere")
    assert done.exit_code == 3
    assert "error: refused at step 5: not_covered" in done.stderr
    assert "hint: " in done.stderr


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (("remember", "-"), "x" * 10_000_000),
        (("remember", ""), None),
        (("remember", " \n "), None),
        (("remember", "-"), b"\xff\xfe"),
        (("remember", "Hello", "--namespace", "Bad Name!"), None),
        (("remember", "Hello", "--valid-from", "yesterday"), None),
        (("remember", "Hello", "--valid-from", "2026-02-02", "--valid-until", "2026-01-01"), None),
        (("remember", "Hello", "--parent", "xyz"), None),
        (("remember", "Hello", "--source", "s" * 2_000), None),
        (("remember", "Hello", *("--tag", "t") * 33), None),
        (("remember", "Hello", "--nonsense"), None),
        (("recall", ""), None),
        (("recall", "x", "--count", "0"), None),
        (("recall", "x", "--prefix", "Bad!"), None),
        (("agent", "issue", "a", "--allow", "home=fly"), None),
        (("agent", "issue", "a", "--allow", "home"), None),
        (("agent", "issue", "a", "--hours", "25"), None),
        (("revoke", "me", "--reason", "because"), None),
        (("forget", "12"), None),
        (("export", "-o", "x"), None),
        (("import", "absent.md"), None),
        (("verify", "absent.bundle"), None),
        (("bench", "storage", "--set", "nonsense=1"), None),
        (("init", "--listen", "nowhere"), None),
        (("init", "--founder", "."), None),
        (("found", "card", "--org", "Bad!", "-n", "a", "--dir", "d", "-o", "c"), None),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_bad_input_is_refused_before_anything_is_written(
    empty: Laptop, words: tuple[str, ...], stdin: str | bytes | None
) -> None:
    done = empty.type(*words, stdin=stdin)
    assert done.exit_code == 2, done.output
    assert "rror" in done.stderr
    assert not empty.home.exists()


def test_errors_have_a_hint_and_leave_stdout_to_data(empty: Laptop) -> None:
    done = empty.type("remember", "-", stdin="x" * 70_000)
    assert done.stdout == ""
    assert done.stderr.startswith("error: the text on stdin has more than 65,536 bytes")
    assert "\nhint: split it" in done.stderr


def test_without_a_home_the_hint_says_init(empty: Laptop) -> None:
    done = empty.type("recall", "anything")
    assert (done.exit_code, "hive init" in done.stderr) == (1, True)


def test_what_needs_a_running_node_says_so(laptop: Laptop) -> None:
    for words in (("down",), ("invite", "berlin")):
        done = laptop.type(*words)
        assert (done.exit_code, "hive up" in done.stderr) == (4, True)


def test_a_second_init_does_not_touch_the_first(laptop: Laptop) -> None:
    before = (laptop.home / "config.toml").read_bytes()
    done = laptop.type("init", "--org", "other")
    assert (done.exit_code, "hive home already" in done.stderr) == (1, True)
    assert (laptop.home / "config.toml").read_bytes() == before


def test_keys_that_others_may_read_are_not_used(laptop: Laptop) -> None:
    (laptop.home / "keys" / "keyring.mark").chmod(0o644)
    done = laptop.type("remember", "Hello")
    assert (done.exit_code, "chmod 600" in done.stderr) == (6, True)


def test_a_wrong_passphrase_is_told_from_damage(empty: Laptop, tmp_path: Path) -> None:
    import os

    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("right", encoding="ascii")
    wrong.write_text("wrong", encoding="ascii")

    def descriptor(path: Path) -> str:
        return str(os.open(path, os.O_RDONLY))

    assert empty.type("init", "--passphrase-fd", descriptor(right)).exit_code == 0
    told = ("remember", "Sealed", "--passphrase-fd")
    assert empty.type(*told, descriptor(right)).exit_code == 0
    done = empty.type(*told, descriptor(wrong))
    assert (done.exit_code, "does not open" in done.stderr) == (6, True)
    assert empty.type("remember", "Sealed").exit_code == 6


def test_texts_of_others_cannot_steer_the_terminal(laptop: Laptop) -> None:
    laptop.ask("remember", "evil \x1b[2J text \u202e gnp.exe")
    shown = laptop.type("recall", "evil text").stdout
    assert "evil" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_doctor_explains_and_exits_3_when_writes_are_refused(laptop: Laptop) -> None:
    assert laptop.type("doctor").exit_code == 0
    found = laptop.ask("doctor")
    assert found["refuses_writes"] is False


def test_metrics_and_status_speak_to_people_and_to_programs(laptop: Laptop) -> None:
    assert "step 7" in laptop.type("status").stdout
    assert laptop.ask("status")["node"]["name"] == "laptop"
    assert laptop.type("metrics").exit_code == 0
    assert laptop.ask("peers") == {"peers": []}
    drawn = laptop.type("peers", "--tree").stdout
    assert "cluster cell-1" in drawn
    assert "laptop: this node, well" in drawn


def test_compacting_takes_the_forgotten_off_the_disk_and_the_laptop_goes_on(
    laptop: Laptop,
) -> None:
    secret = "the old gate code is 1234"
    kept = laptop.ask("remember", "otters hold hands")["id"]
    first = laptop.ask("remember", secret)["id"]
    assert laptop.type("forget", first[:12], "--reason", "changed").exit_code == 0
    assert laptop.ask("compact")["bytes"] > 0
    files = [path for path in laptop.home.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert laptop.ask("recall", "otters")["hits"][0]["id"] == kept
    assert laptop.ask("show", laptop.ask("remember", "and on")["id"])["sequence"] == 4


def test_a_copy_is_not_compacted_before_it_has_an_identity_of_its_own(
    laptop: Laptop, tmp_path: Path
) -> None:
    laptop.ask("remember", "otters hold hands")
    shutil.copytree(laptop.home, tmp_path / "copy")
    copy = Laptop(tmp_path / "copy")
    refused = copy.type("compact")
    assert refused.exit_code != 0
    assert "no identity of its own" in refused.output
    assert copy.type("remember", "and on").exit_code == 0
    assert copy.type("compact").exit_code == 0
