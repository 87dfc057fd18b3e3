"""Goal: files become memories once, wholly or with a clear error. Method: files, a real home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.importing import Item, batches, files_of, items_of
from cli.main import main
from cli.marks import Marks
from hive.errors import ConfigError, DeltaTooLarge, HiveError, StateError

NOTES = """# Pumps

Pump seven hums
since the flood.

## Spares ##

Two seals lie in store B.

```sh
echo one

# no heading
```

# Gates

The gate code changed.
"""


def texts_of(path: Path) -> list[tuple[str, str]]:
    return [(item.source, item.text) for item in items_of(path, path.name)]


def test_markdown_is_cut_at_headings_and_paragraphs_under_its_trail(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text(NOTES, encoding="utf-8")
    assert texts_of(path) == [
        ("notes.md:3", "Pumps\n\nPump seven hums\nsince the flood."),
        ("notes.md:8", "Pumps > Spares\n\nTwo seals lie in store B."),
        ("notes.md:10", "Pumps > Spares\n\n```sh\necho one\n\n# no heading\n```"),
        ("notes.md:18", "Gates\n\nThe gate code changed."),
    ]


def test_text_is_cut_at_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("\n\none\ntwo\n\n\nthree", encoding="utf-8")
    assert texts_of(path) == [("notes.txt:3", "one\ntwo"), ("notes.txt:7", "three")]


def test_json_lines_bring_text_source_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "two", "source": "x", "tags": ["a"]}\n')
    assert list(items_of(path, "n")) == [Item("one", "n:1"), Item("two", "x", ("a",))]


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": 5}\n', ConfigError, "a.jsonl:2 has no `text`"),
        ("a.jsonl", b"{\n", ConfigError, "a.jsonl:1 is not JSON"),
        ("a.jsonl", b'{"text": "x", "tags": "y"}', ConfigError, "a.jsonl:1"),
        ("a.jsonl", b'{"text": " "}', ConfigError, "a.jsonl:1 is empty"),
        ("a.txt", b"fine\n\n\xff\n", ConfigError, "a.txt:3 is not UTF-8"),
        ("a.md", b"# T\n\n" + b"x" * 70_000, DeltaTooLarge, "a.md:3 has 70,003 bytes"),
        ("a.txt", b"ok\n\n" + b"x" * 65_537, DeltaTooLarge, "a.txt:3 has 65,537 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_names_its_file_and_line(
    tmp_path: Path, name: str, content: bytes, error: type[HiveError], says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        list(items_of(path, name))
    assert says in str(caught.value)
    assert caught.value.hint


def test_a_folder_gives_its_known_kinds_and_names_the_others(tmp_path: Path) -> None:
    for name in ("b.md", "a.txt", "c.png", ".hidden.md", "deep/d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files, others = files_of(tmp_path)
    assert [file.name for file in files] == ["a.txt", "b.md", "d.jsonl"]
    assert [other.name for other in others] == ["c.png"]


def test_portions_are_bounded_in_number_and_bytes() -> None:
    small = [Item(str(number), "") for number in range(600)]
    assert [len(portion) for portion in batches(small)] == [256, 256, 88]
    large = [Item("x" * 65_536, "") for _ in range(40)]
    assert [len(portion) for portion in batches(large)] == [16, 16, 8]


def test_marks_survive_a_torn_line_and_admit_one_import_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "imports" / "taken.marks"
    with Marks(path) as marks:
        marks.ask(["a" * 64, "b" * 64])
        marks.take(["a" * 64])
        with pytest.raises(StateError, match="another import"):
            Marks(path)
    with path.open("ab") as file:
        file.write(b"= " + b"b" * 10)
    with Marks(path) as marks:
        assert marks.taken == {"a" * 64}
        assert marks.in_doubt == {"b" * 64}


def typed(home: Path, *words: str) -> Result:
    return CliRunner(env={"HIVE_HOME": str(home)}).invoke(main, list(words))


def asked(home: Path, *words: str) -> dict[str, Any]:
    done = typed(home, *words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert typed(tmp_path / "home", "init").exit_code == 0
    return tmp_path / "home"


def test_an_import_again_imports_nothing_and_a_longer_file_only_what_is_new(
    home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "notes.md"
    path.write_text(NOTES, encoding="utf-8")
    assert asked(home, "import", str(path))["imported"] == 4
    assert asked(home, "import", str(path))["imported"] == 0
    path.write_text(f"# New\n\nAn earlier line.\n\n{NOTES}", encoding="utf-8")
    again = asked(home, "import", str(path))
    assert (again["imported"], again["known"]) == (1, 4)
    assert len(asked(home, "log")["entries"]) == 5


def test_one_bad_file_leaves_the_store_as_it_was(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("A good paragraph.")
    (folder / "b.txt").write_bytes(b"\xff")
    done = typed(home, "import", str(folder))
    assert (done.exit_code, "b.txt:1 is not UTF-8" in done.stderr) == (2, True)
    assert asked(home, "log")["entries"] == []


def test_what_a_killed_import_kept_is_not_kept_twice(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text(NOTES, encoding="utf-8")
    assert asked(home, "import", str(path))["imported"] == 4
    marks = home / "imports" / "taken.marks"
    asked_only = [line for line in marks.read_text().splitlines() if line.startswith("?")]
    marks.write_text("\n".join(asked_only) + "\n")
    assert asked(home, "import", str(path))["imported"] == 0
    assert len(asked(home, "log")["entries"]) == 4


def test_an_import_that_is_killed_goes_on_where_it_stopped(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("\n\n".join(f"Fact number {number}." for number in range(1_500)))
    words = [sys.executable, "-m", "hive.cli", "import", str(path), "--home", str(home)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    marks = home / "imports" / "taken.marks"
    while process.poll() is None and not (marks.exists() and b"=" in marks.read_bytes()):
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    asked(home, "import", str(path))
    entries = asked(home, "log", "--count", "10000")["entries"]
    assert len({entry["text"] for entry in entries}) == 1_500
    assert len(entries) == 1_500


def test_a_bundle_is_taken_through_ingress(home: Path, tmp_path: Path) -> None:
    told = asked(home, "remember", "Otters hold hands")
    bundle = tmp_path / "otters.bundle"
    assert typed(home, "export", told["id"], "-o", str(bundle)).exit_code == 0
    done = asked(home, "import", str(bundle))
    assert done["count"] == 1
