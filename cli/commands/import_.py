"""`hive import`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import command
from ..importing import BUNDLE, Item, batches, files_of, items_of
from ..inputs import NAMESPACE, read_file_bounded
from ..marks import Marks
from ..progress import bar
from ..session import Session

if TYPE_CHECKING:
    from hive.client.client import Client

BUNDLE_BYTES_MAX = 128 * 1_024 * 1_024
_LEFT_OUT_SHOWN = 5


@command("import", example="hive import notes/ --namespace acme/research")
@click.argument("path", type=click.Path(path_type=Path, exists=True, readable=True))
@click.option("-n", "--namespace", type=NAMESPACE, help="Where to; the home's own otherwise.")
@click.option("-a", "--agent", help="Who writes; the home's own agent otherwise.")
def import_(session: Session, path: Path, namespace: str | None, agent: str | None) -> None:
    """Import a file or folder: markdown, text, or JSON lines with `text`, `source` and `tags`.

    Markdown is cut at headings and paragraphs, text at blank lines. Everything is checked before
    anything is written. What was imported before is left alone, so an import that was broken off
    goes on where it stopped. A `.bundle` of `hive export` is taken through ingress.
    """
    if path.suffix.lower() == BUNDLE:
        _take_bundle(session, path)
        return
    files, others = files_of(path)
    items = [item for file in files for item in items_of(file, _name(path, file))]
    if others:
        shown = ", ".join(str(each) for each in others[:_LEFT_OUT_SHOWN])
        session.say(f"Left out {len(others)} files of other kinds: {shown}")
    with session.client() as client:
        done = _Import(client, session.home, namespace, agent).run(items)
    done = {"files": len(files), **done, "other_files": len(others)}
    session.emit(
        done, f"{done['imported']} imported, {done['known']} known before, {len(files)} files"
    )


def _name(path: Path, file: Path) -> str:
    return file.relative_to(path).as_posix() if path.is_dir() else file.name


def _take_bundle(session: Session, path: Path) -> None:
    import base64

    content = read_file_bounded(path, BUNDLE_BYTES_MAX)
    done = session.call("take_bundle", bundle=base64.b64encode(content).decode("ascii"))
    session.emit(done, f"{done.get('admitted', 0)} of {done['count']} admitted")


class _Import:
    """One run: what is new goes in portions, each marked before and after."""

    def __init__(
        self, client: Client, home: Path, namespace: str | None, agent: str | None
    ) -> None:
        self._client = client
        self._marks_file = home / "imports" / "taken.marks"
        self._where = {"namespace": namespace, "agent": agent}
        self._key = f"{namespace or ''}\0{agent or ''}"

    def run(self, items: list[Item]) -> dict[str, int]:
        """Counts of what was imported and of what was known."""
        wanted = {item.digest(self._key): item for item in items}
        with Marks(self._marks_file) as marks:
            self._settle_doubt(marks, wanted)
            fresh = [item for key, item in wanted.items() if key not in marks.taken]
            with bar("importing", len(fresh)) as advance:
                for portion in batches(fresh):
                    self._hand_over(marks, portion)
                    advance(len(portion))
        return {"imported": len(fresh), "known": len(items) - len(fresh)}

    def _hand_over(self, marks: Marks, portion: list[Item]) -> None:
        digests = [item.digest(self._key) for item in portion]
        marks.ask(digests)
        plain = [item.as_argument() for item in portion]
        self._client.call("remember_many", items=plain, **self._where)
        marks.take(digests)

    def _settle_doubt(self, marks: Marks, wanted: dict[str, Item]) -> None:
        """What was handed over by a run that was killed: the store knows what it kept."""
        doubtful = [(key, item) for key, item in wanted.items() if key in marks.in_doubt]
        marks.take([key for key, item in doubtful if self._is_kept(item)])

    def _is_kept(self, item: Item) -> bool:
        prefix = self._where["namespace"] or ""
        asked: dict[str, Any] = {"text": item.text, "prefix": prefix, "count": 20, "exact": True}
        hits: Iterable[dict[str, Any]] = self._client.call("recall", **asked)["hits"]
        return any(hit["text"] == item.text for hit in hits)
