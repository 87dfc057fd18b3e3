"""The report of a folder of results: one HTML file, and a twin in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import report_figures, report_worlds
from .report_pages import Section, html_page, markdown_page
from .results import Results, origins, read, seeds

TITLE: Final = "The virtual world: what was measured"
SECTIONS: Final = (
    report_worlds.promises,
    report_worlds.mutants,
    report_figures.dissemination,
    report_figures.detection,
    report_figures.false_positives,
    report_figures.heat,
    report_figures.scaling,
    report_figures.lookups,
    report_worlds.partition,
    report_worlds.churn,
    report_worlds.traffic,
    report_worlds.engine,
)


@dataclass(frozen=True, slots=True)
class Report:
    """Both pages, and which sections have no data."""

    html: str
    markdown: str
    row_count: int
    empty: tuple[Section, ...]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes `report.html` and `report.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / "report.html", folder / "report.md"
        for path, text in zip(paths, (self.html, self.markdown), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths


def report_of(results: Results) -> Report:
    """Every section, in one order whatever there is."""
    sections = [make(results) for make in SECTIONS]
    about = [
        f"{len(results.rows)} runs of {len(results.experiments())} experiments, seeds "
        f"{seeds(results.rows)}. Every figure follows from its seed; times are virtual but those "
        "of processors. Intervals are over independent seeds; one seed has none and says so.",
        *(f"Measured on: {line}" for line in origins(results.rows)),
    ]
    return Report(
        html_page(TITLE, about, sections),
        markdown_page(TITLE, about, sections),
        len(results.rows),
        tuple(section for section in sections if section.is_empty),
    )


def report(folder: Path) -> Report:
    """The report of every row below a folder."""
    return report_of(read(folder))
