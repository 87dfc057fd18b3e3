"""What was measured, for people and for programs."""

from __future__ import annotations

from typing import Any

from ..output import table
from .stage import Figure, Stage


def missed(stage: Stage) -> list[Figure]:
    """Figures whose goal was not reached."""
    return [figure for figure in stage.figures if not figure.is_met]


def as_data(stage: Stage, failure: str) -> dict[str, Any]:
    """The measurements as one document."""
    figures = [
        {
            "act": each.act,
            "name": each.name,
            "value": each.value,
            "unit": each.unit,
            "goal_most": each.most,
            "is_met": each.is_met,
        }
        for each in stage.figures
    ]
    return {
        "is_good": not failure,
        "is_fast": not missed(stage),
        "failure": failure,
        "elapsed_s": round(stage.elapsed_s, 1),
        "figures": figures,
    }


def as_text(stage: Stage, failure: str) -> str:
    """The measurements as a table, and the verdict."""
    rows = [
        (each.act, each.name, f"{_number(each.value)} {each.unit}".strip(), _goal(each))
        for each in stage.figures
    ]
    late = [each.name for each in missed(stage)]
    verdict = "every promise kept"
    if late:
        verdict += f"; slower than the goal: {', '.join(late)}"
    if failure:
        verdict = f"failed in {stage.act_name}: {failure.splitlines()[0]}"
    return f"\n{table(rows)}\n\n{verdict}; {stage.elapsed_s:.0f} s"


def _number(value: float | int | str) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1_000 else f"{value:.2f}"
    return str(value)


def _goal(figure: Figure) -> str:
    if figure.most is None:
        return ""
    return f"goal ≤ {figure.most:,.0f} {'✓' if figure.is_met else '✗'}"
