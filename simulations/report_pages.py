"""The report as pages: one HTML file that needs nothing else, and its twin in Markdown.

A section without data is no section without words: it says which command makes its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from .results import Result, origins, seeds

STYLE: Final = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;font-size:.85em;margin:.6em 0}"
    "td,th{border:1px solid #ccc;padding:.2em .5em;text-align:left}"
    "th{background:#f4f4f4}.from{color:#555;font-size:.8em}svg{max-width:100%;height:auto}"
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One figure of the report: what it shows, from which rows."""

    title: str
    about: str
    command: str
    """What makes its rows."""
    used: Sequence[Result] = ()
    plots: Sequence[str] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether there are no rows for it."""
        return not self.used

    def source(self) -> list[str]:
        """Seeds and origins, a line each."""
        lines = [f"{len(self.used)} runs; seeds {seeds(self.used)}"]
        return [*lines, *origins(self.used)]

    def absence(self) -> str:
        """What to say in the place of figures."""
        return f"No rows. This command makes them: `{self.command}`"


def html_page(title: str, about: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole report, with every plot inside."""
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(line)}</p>" for line in about)]
    for section in sections:
        parts += _html_section(section)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _html_section(section: Section) -> list[str]:
    parts = [f"<h2>{escape(section.title)}</h2>", f"<p>{escape(section.about)}</p>"]
    if section.is_empty:
        return [*parts, f"<p>{_html_code(section.absence())}</p>"]
    parts += section.plots
    for table in section.tables:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{_html_code(cell)}</td>" for cell in row) + "</tr>"
            for row in table.rows
        )
        parts.append(f"<table><tr>{head}</tr>\n{body}</table>")
    parts += [f"<p>{_html_code(note)}</p>" for note in section.notes]
    source = "<br>".join(escape(line) for line in section.source())
    parts.append(f'<p class="from">{source}<br>made by <code>{escape(section.command)}</code></p>')
    return parts


def _html_code(text: str) -> str:
    """Escaped, with what stands between backquotes as code."""
    pieces = escape(text).split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return "".join(
        f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces)
    )


def markdown_page(title: str, about: Sequence[str], sections: Sequence[Section]) -> str:
    """The same figures as text; plots are in the HTML only."""
    parts = [f"# {title}", *about]
    for section in sections:
        parts += [f"## {section.title}", section.about]
        if section.is_empty:
            parts.append(section.absence())
            continue
        parts += [_markdown_table(table) for table in section.tables]
        parts += section.notes
        parts.append("\n".join(f"- {line}" for line in section.source()))
        parts.append(f"- made by `{section.command}`")
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
