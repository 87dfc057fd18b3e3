"""Small static plots as SVG text: lines with bands, dots, bars beneath, heat maps. No scripts.

Colours are told apart by people who see few of them (Okabe and Ito 2008), and every series is
named in the legend, not by colour alone: theory is dashed, what one seed gave are dots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from .statistics import number

WIDTH, HEIGHT = 700, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 220, 30, 46
COLOURS: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000"),
)
BAR_HEIGHT, BARS_SHOWN_MAX = 9, 12
LINE, DASHED, DOTS = "line", "dashed", "dots"
LOWEST_LOG: Final = 1e-6

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points in order; `band` holds the interval at each as (x low, y low, x high, y high)."""

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[Point, Point]] = ()
    style: str = LINE
    colour: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Axes and what is drawn on them; `bars` are spans of x, drawn beneath with their names."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    is_x_log: bool = False
    is_y_log: bool = False
    bars: Sequence[tuple[float, float, str]] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A map of values by column and row."""

    title: str
    x_label: str
    y_label: str
    columns: Sequence[str]
    rows: Sequence[str]
    values: Sequence[Sequence[float | None]]


class _Axis:
    """From values to pixels."""

    def __init__(self, values: Sequence[float], first: float, last: float, is_log: bool) -> None:
        self.is_log = is_log
        self._first, self._last = first, last
        kept = [value for value in values if value > 0] if is_log else list(values)
        low, high = min(kept, default=0.1 if is_log else 0.0), max(kept, default=1.0)
        if is_log:
            self.low = 10.0 ** math.floor(math.log10(max(low, LOWEST_LOG)))
            self.high = 10.0 ** math.ceil(math.log10(max(high, LOWEST_LOG * 10)))
            self.high = max(self.high, self.low * 10)
        else:
            self.low, self.high = min(0.0, low), high if high > min(0.0, low) else low + 1

    def at(self, value: float) -> float:
        """The pixel; what a logarithm has none for lies on the lower edge."""
        if self.is_log:
            span = math.log10(self.high / self.low)
            share = math.log10(max(value, self.low) / self.low) / span
        else:
            share = (value - self.low) / (self.high - self.low)
        return self._first + share * (self._last - self._first)

    def ticks(self) -> list[float]:
        """Round values along it."""
        if self.is_log:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            step = max(1, (last - first) // 6)
            return [10.0**power for power in range(first, last + 1, step)]
        raw = (self.high - self.low) / 5
        scale = 10.0 ** math.floor(math.log10(raw))
        step_size = next(scale * n for n in (1, 2, 5, 10) if scale * n >= raw * 0.999)
        first_tick = math.ceil(self.low / step_size)
        count = int((self.high * 1.0001) / step_size) - first_tick + 1
        return [(first_tick + n) * step_size for n in range(count)]


def chart_svg(chart: Chart) -> str:
    """The chart as one SVG element."""
    points = [point for series in chart.series for point in _all_points(series)]
    bars = chart.bars[:BARS_SHOWN_MAX]
    height = HEIGHT + len(bars) * (BAR_HEIGHT + 2)
    spans = [edge for start, end, _ in bars for edge in (start, end)]
    x = _Axis([p[0] for p in points] + spans, LEFT, WIDTH - RIGHT, chart.is_x_log)
    y = _Axis([p[1] for p in points], HEIGHT - BOTTOM, TOP, chart.is_y_log)
    parts = [*_frame(chart.title, chart.x_label, chart.y_label, height), *_grid(x, y)]
    for place, series in enumerate(chart.series):
        parts += _drawn(series, x, y)
        parts += _legend(series, place)
    parts += _bars(bars, x)
    return _svg(parts, height)


def _all_points(series: Series) -> list[Point]:
    return [*series.points, *(edge for pair in series.band for edge in pair)]


def _svg(parts: Sequence[str], height: int) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, *parts, "</svg>"])


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _frame(title: str, x_label: str, y_label: str, height: int) -> list[str]:
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    turned = f'text-anchor="middle" transform="rotate(-90 14 {middle_y:.0f})"'
    return [
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(LEFT, 18, title, 'font-weight="bold" font-size="13"'),
        _text(middle_x, HEIGHT - 10, x_label, 'text-anchor="middle"'),
        _text(14, middle_y, y_label, turned),
    ]


def _grid(x: _Axis, y: _Axis) -> list[str]:
    parts = []
    for tick in x.ticks():
        at = x.at(tick)
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM))
        parts.append(_text(at, HEIGHT - BOTTOM + 15, number(tick), 'text-anchor="middle"'))
    for tick in y.ticks():
        at = y.at(tick)
        parts.append(_line(LEFT, at, WIDTH - RIGHT, at))
        parts.append(_text(LEFT - 5, at + 4, number(tick), 'text-anchor="end"'))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, more: str = 'stroke="#ddd"') -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {more}/>'


def _drawn(series: Series, x: _Axis, y: _Axis) -> list[str]:
    colour = COLOURS[series.colour % len(COLOURS)]
    parts = []
    if series.band:
        edges = [low for low, _ in series.band] + [high for _, high in reversed(series.band)]
        corners = _path(edges, x, y)
        parts.append(f'<polygon points="{corners}" fill="{colour}" opacity="0.18"/>')
    if series.style == DOTS:
        parts += [
            f'<circle cx="{x.at(px):.1f}" cy="{y.at(py):.1f}" r="3.5" fill="{colour}"/>'
            for px, py in series.points
        ]
    elif series.points:
        dash = ' stroke-dasharray="6 4"' if series.style == DASHED else ""
        parts.append(
            f'<polyline points="{_path(series.points, x, y)}" fill="none" stroke="{colour}" '
            f'stroke-width="1.8"{dash}/>'
        )
    return parts


def _path(points: Sequence[Point], x: _Axis, y: _Axis) -> str:
    return " ".join(f"{x.at(px):.1f},{y.at(py):.1f}" for px, py in points)


def _legend(series: Series, place: int) -> list[str]:
    x, y = WIDTH - RIGHT + 10, TOP + 8 + place * 16
    colour = COLOURS[series.colour % len(COLOURS)]
    dash = ' stroke-dasharray="4 3"' if series.style == DASHED else ""
    mark = _line(x, y, x + 18, y, f'stroke="{colour}" stroke-width="2"{dash}')
    if series.style == DOTS:
        mark = f'<circle cx="{x + 9}" cy="{y}" r="3.5" fill="{colour}"/>'
    return [mark, _text(x + 23, y + 4, series.name, 'font-size="10"')]


def _bars(bars: Sequence[tuple[float, float, str]], x: _Axis) -> list[str]:
    parts = []
    for place, (start, end, name) in enumerate(bars):
        top = HEIGHT + place * (BAR_HEIGHT + 2)
        width = max(1.0, x.at(end) - x.at(start))
        parts.append(
            f'<rect x="{x.at(start):.1f}" y="{top}" width="{width:.1f}" height="{BAR_HEIGHT}" '
            'fill="#d55e00" opacity="0.6"/>'
        )
        parts.append(_text(WIDTH - RIGHT + 10, top + BAR_HEIGHT - 1, name, 'font-size="9"'))
    return parts


def heat_svg(heat: Heat) -> str:
    """The map as one SVG element; darker is more, and every cell says its value."""
    known = [value for row in heat.values for value in row if value is not None]
    highest = max(known, default=0.0) or 1.0
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(heat.columns))
    high = (HEIGHT - TOP - BOTTOM) / max(1, len(heat.rows))
    parts = _frame(heat.title, heat.x_label, heat.y_label, HEIGHT)
    for row, values in enumerate(heat.values):
        for column, value in enumerate(values):
            left, top = LEFT + column * wide, TOP + row * high
            share = 0.0 if value is None else value / highest
            fill = "#f4f4f4" if value is None else _shade(share)
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" '
                f'fill="{fill}" stroke="#fff"/>'
            )
            said = "not run" if value is None else number(value)
            ink = "#fff" if share > 0.6 else "#000"
            centre = f'text-anchor="middle" fill="{ink}"'
            parts.append(_text(left + wide / 2, top + high / 2 + 4, said, centre))
    for column, name in enumerate(heat.columns):
        at = LEFT + (column + 0.5) * wide
        parts.append(_text(at, HEIGHT - BOTTOM + 15, name, 'text-anchor="middle"'))
    for row, name in enumerate(heat.rows):
        parts.append(_text(LEFT - 5, TOP + (row + 0.5) * high + 4, name, 'text-anchor="end"'))
    return _svg(parts, HEIGHT)


def _shade(share: float) -> str:
    """From nearly white to dark blue."""
    light, dark = (238, 244, 250), (8, 64, 120)
    return "#" + "".join(
        f"{round(a + (b - a) * share):02x}" for a, b in zip(light, dark, strict=True)
    )
