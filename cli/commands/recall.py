"""`hive recall`."""

from __future__ import annotations

from typing import Any

import click

from ..command import command
from ..moments import moment
from ..output import line, plain
from ..session import Session


@command("recall", example='hive recall "which pump was replaced" --count 3')
@click.argument("text")
@click.option("-p", "--prefix", default="", help="Only namespaces at or below this one.")
@click.option("-a", "--agent", help="Who asks; the home's own agent otherwise.")
@click.option("-c", "--count", type=click.IntRange(1, 1_000), default=10, show_default=True)
@click.option("--exact", is_flag=True, help="Compare with every memory; the same on every node.")
def recall(
    session: Session, text: str, prefix: str, agent: str | None, count: int, exact: bool
) -> None:
    """Recall memories by words and meaning, each with where it comes from.

    Only namespaces that the agent may recall from are searched.
    """
    from ..inputs import checked_prefix, checked_text

    found = session.call(
        "recall",
        agent=agent,
        text=checked_text(text, "the question"),
        prefix=checked_prefix(prefix),
        count=count,
        exact=exact,
    )
    hits = found["hits"]
    session.emit(found, "\n\n".join(_shown(hit) for hit in hits))
    if not hits and not session.is_json:
        session.say("Nothing was found.")


def _shown(hit: dict[str, Any]) -> str:
    who = f"{hit['author_name'] or hit['author'][:12]} of {hit['org_name']}"
    where = f"through {hit['writer_name']}, {hit['region']}"
    head = f"{hit['id'][:12]}  {hit['namespace']}  {moment(hit['hlc_ms'])}  {who}, {where}"
    source = f"\n    from {line(hit['source'], 100)}" if hit.get("source") else ""
    body = "\n".join(f"    {each}" for each in plain(hit["text"]).splitlines())
    return f"{plain(head)}{source}\n{body}"
