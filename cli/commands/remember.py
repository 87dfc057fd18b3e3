"""`hive remember`."""

from __future__ import annotations

import click

from ..command import command
from ..inputs import (
    DELTA_ID,
    MOMENT,
    NAMESPACE,
    SOURCE_BYTES_MAX,
    checked_label,
    checked_tags,
    read_text,
)
from ..session import Session


@command("remember", example='hive remember "The pump was replaced in May" --tag maintenance')
@click.argument("text")
@click.option("-n", "--namespace", type=NAMESPACE, help="Where to; the home's own otherwise.")
@click.option("-a", "--agent", help="Who writes; the home's own agent otherwise.")
@click.option("-s", "--source", default="", help="Where the text comes from.")
@click.option("-t", "--tag", "tags", multiple=True, help="A tag; repeat for more.")
@click.option("--parent", "parents", type=DELTA_ID, multiple=True, help="A memory it rests on.")
@click.option("--valid-from", type=MOMENT, default=0, help="When it began to be true.")
@click.option("--valid-until", type=MOMENT, default=0, help="When it stopped being true.")
def remember(
    session: Session,
    text: str,
    namespace: str | None,
    agent: str | None,
    source: str,
    tags: tuple[str, ...],
    parents: tuple[str, ...],
    valid_from: int,
    valid_until: int,
) -> None:
    """Remember a text, signed and durable when the command returns.

    TEXT `-` reads stdin, at most 64 KiB. The id of the memory is printed.
    """
    if valid_from and valid_until and valid_until <= valid_from:
        raise click.BadParameter("it ends before it begins", param_hint="--valid-until")
    checked = read_text(text)
    label = checked_label(source, "the source", SOURCE_BYTES_MAX)
    done = session.call(
        "remember",
        agent=agent,
        namespace=namespace,
        text=checked,
        source=label,
        tags=checked_tags(tags),
        parents=list(parents),
        valid_from_ms=valid_from,
        valid_until_ms=valid_until,
    )
    session.emit(done, done["id"])
