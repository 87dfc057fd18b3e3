"""Goal: every command explains itself. Method: walk all of them, read help, README and exits."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.command import HiveCommand
from cli.main import SECTIONS, main
from cli.output import EXIT_CODES, exit_code_of
from hive.custody.signer import MissingKey, WrongPassphrase
from hive.errors import (
    ConfigError,
    DeltaTooLarge,
    HiveError,
    MalformedFrame,
    NotPermitted,
    Refused,
    StateError,
    StoreError,
    TransportError,
)

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEAVY = ("lmdb", "tantivy", "hnswlib", "numpy", "nacl", "cryptography", "trio", "rich")


def walk(
    command: click.Command, path: tuple[str, ...]
) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += walk(below, (*path, name))
    return found


EVERYTHING = walk(main, ("hive",))
LEAVES = [(path, command) for path, command in EVERYTHING if not isinstance(command, click.Group)]


def help_of(path: tuple[str, ...]) -> str:
    done = CliRunner().invoke(main, [*path[1:], "--help"])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("path", [path for path, _ in EVERYTHING], ids=" ".join)
def test_help_ends_with_an_example_that_names_options_that_exist(path: tuple[str, ...]) -> None:
    lines = help_of(path).rstrip().splitlines()
    assert lines[-2].strip() == "Example:"
    example = lines[-1].strip().removeprefix('eval "$(').removesuffix(')"')
    words = shlex.split(example.split("&&")[0].split("|")[0])
    command: click.Command = main
    rest = words[1:]
    while isinstance(command, click.Group):
        below = command.get_command(click.Context(command), rest[0])
        assert below is not None, words
        command, rest = below, rest[1:]
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert [word for word in rest if word.startswith("-") and word not in known] == []
    if len(path) == len(words) - len(rest):
        assert words[: len(path)] == list(path)


@pytest.mark.parametrize(
    "command", [c for _, c in EVERYTHING], ids=[" ".join(p) for p, _ in EVERYTHING]
)
def test_the_first_sentence_of_help_stands_alone(command: click.Command) -> None:
    first = (command.help or "").split("\n\n")[0]
    assert re.fullmatch(r"[A-Z].*\.", " ".join(first.split()))
    assert len(" ".join(first.split())) <= 110
    assert command.get_short_help_str(300) == " ".join(first.split()).rstrip(".") + "."


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(p) for p, _ in LEAVES])
def test_every_command_speaks_json_and_is_listed_in_the_readme(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert isinstance(command, HiveCommand)
    assert "--json" in {option for param in command.params for option in param.opts}
    assert f"| `{' '.join(path)}` | {command.get_short_help_str(300)} |" in README


def test_the_readme_lists_no_other_commands() -> None:
    listed = set(re.findall(r"^\| `(hive [a-z ]+)` \|", README, re.MULTILINE))
    assert listed == {" ".join(path) for path, _ in LEAVES}


def test_the_exit_codes_are_those_of_the_readme() -> None:
    rows = re.findall(r"^\| (\d) \| (.*) \|$", README, re.MULTILINE)
    assert {int(code): text for code, text in rows} == EXIT_CODES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StateError("x"), 1),
        (MalformedFrame("x"), 1),
        (ConfigError("x"), 2),
        (DeltaTooLarge("x"), 2),
        (Refused("bad_signature", 10), 3),
        (NotPermitted("x"), 3),
        (TransportError("x"), 4),
        (StoreError("x"), 5),
        (WrongPassphrase("x"), 6),
        (MissingKey("x"), 6),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, HiveError) else str(value),
)
def test_each_family_of_errors_has_its_exit_code(error: HiveError, code: int) -> None:
    assert exit_code_of(error) == code


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from cli.main import main; main(['--help'], standalone_mode=False); "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_talking_to_a_running_node_loads_no_index() -> None:
    script = (
        "import sys; import hive.client.client, cli.commands.remember, cli.commands.recall; "
        "print(sorted({'tantivy', 'hnswlib', 'wordllama', 'trio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert "_HIVE_COMPLETE" in done.stdout


def test_every_command_is_in_one_section() -> None:
    names = [name for listed in SECTIONS.values() for name in listed]
    assert len(names) == len(set(names))
    stems = {path.stem.rstrip("_") for path in (ROOT / "cli" / "commands").glob("[a-z]*.py")}
    assert set(names) == stems
