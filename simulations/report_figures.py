"""The figures of membership, dissemination and lookups, each beside what theory expects."""

from __future__ import annotations

from collections.abc import Sequence

from hive.protocol.discovery.config import DiscoveryConfig
from hive.protocol.dissemination.config import ViewConfig

from . import theory
from .gossip import INGRESS_US
from .gossip_figures import IN_ZONE_US
from .plots import DASHED, DOTS, Chart, Heat, Point, Series, chart_svg, heat_svg
from .report_pages import Section, Table
from .results import Result, Results, figure
from .statistics import Interval, intervals_of_curves, number
from .studies import SCOPES, swim_of

MEASURE = "hive simulate measure"
SPREAD = (
    "Bands and brackets are 95 % confidence intervals over seeds (Student's t: two or three seeds "
    "make wide ones, which may reach below what is possible)."
)


def distribution(rows: Sequence[Result], curve: str, name: str, colour: int) -> Series:
    """One curve over the seeds of a group, shares upward."""
    held = [row.curves[curve] for row in rows if row.curves.get(curve)]
    points = intervals_of_curves(held, is_by_share=True) if held else []
    return Series(
        name=name,
        points=[(each.mean, share) for share, each in points],
        band=[
            ((max(0.0, each.low), share), (each.high, share))
            for share, each in points
            if each.is_known
        ],
        colour=colour,
    )


def course(rows: Sequence[Result], curve: str, name: str, colour: int) -> Series:
    """One curve over the seeds of a group, values upward."""
    held = [row.curves[curve] for row in rows if row.curves.get(curve)]
    points = intervals_of_curves(held, is_by_share=False) if held else []
    return Series(
        name=name,
        points=[(at, each.mean) for at, each in points],
        band=[((at, max(0.0, each.low)), (at, each.high)) for at, each in points if each.is_known],
        colour=colour,
    )


def by_setting(
    groups: Sequence[Sequence[Result]], setting: str, name: str, per: float = 1.0
) -> tuple[list[Point], list[tuple[Point, Point]]]:
    """One figure of each group against one of its settings: means, and the band around them."""
    found: list[tuple[float, Interval]] = []
    for rows in groups:
        value = figure(rows, name)
        if value is not None:
            found.append((float(rows[0].settings[setting]) * per, value))
    found.sort(key=lambda each: each[0])
    band = [((at, max(0.0, v.low)), (at, v.high)) for at, v in found if v.is_known]
    return [(at, value.mean) for at, value in found], band


def told(rows: Sequence[Result], name: str) -> str:
    """A figure of a group as text."""
    value = figure(rows, name)
    return "–" if value is None else value.text()


def dissemination(results: Results) -> Section:
    """When deltas come, by scope."""
    groups = list(results.groups("dissemination").values())
    plots, table = [], []
    for scope in SCOPES:
        series = []
        for colour, rows in enumerate(groups):
            series.append(distribution(rows, scope, rows[0].label, colour))
        if groups:
            bound = distribution(groups[-1], f"{scope} direct", "one direct link + ingress", 7)
            series.append(Series(name=bound.name, points=bound.points, style=DASHED, colour=7))
        where = "between regions" if scope == "global" else f"inside one {scope}"
        plots.append(
            chart_svg(
                Chart(
                    title=f"Deltas delivered {where}",
                    x_label="ms after writing",
                    y_label="share of deliveries",
                    series=series,
                    is_x_log=True,
                )
            )
        )
    active = ViewConfig().active_max
    for rows in groups:
        hops = theory.hops_at_least(int(rows[0].settings["nodes"]), active)
        table.append(
            [
                rows[0].label,
                *(f"{told(rows, f'{s} p50 ms')}; {told(rows, f'{s} p99 ms')}" for s in SCOPES),
                f"{told(rows, 'last hop')} (theory ≥ {number(hops)})",
                f"{told(rows, 'redundancy')} (theory ≥ 0)",
                told(rows, "reached before repair"),
                told(rows, "missed after repair"),
                told(rows, "copies between regions a delta"),
            ]
        )
    head = [
        *("settings", "cluster p50; p99 ms", "region p50; p99 ms", "global p50; p99 ms"),
        *("last hop", "redundancy", "reached before repair", "missed after repair"),
        "copies between regions a delta",
    ]
    return Section(
        title="Dissemination",
        about=(
            "Shipped views and trees; membership, streams, ingress and reconciliation are "
            "modelled. All nodes are one cell over three regions and six clusters: super-peers "
            "between cells are not in this world, so copies cross regions freely. Theory: no "
            "overlay is faster than one direct link and one ingress; hops at least log of n to "
            f"the base D - 1, D = {active}. {SPREAD}"
        ),
        command=f"{MEASURE} dissemination --seeds 0:5 --to DIR",
        used=[row for rows in groups for row in rows],
        plots=plots if groups else (),
        tables=[Table(head, table)],
    )


def detection(results: Results) -> Section:
    """How fast deaths are noticed."""
    groups = list(results.groups("detection").values())
    series, table = [], []
    for place, rows in enumerate(groups):
        settings = rows[0].settings
        members, config = int(settings["members"]), swim_of(settings)
        name = f"n {members}, loss {settings['loss']}"
        series.append(distribution(rows, "first verdict", f"first verdict, {name}", 2 * place))
        series.append(distribution(rows, "verdict of each", f"each verdict, {name}", 2 * place + 1))
        expected = theory.everybody_knows_s(members, config)
        series.append(
            Series(
                name=f"theory: all, n {members}",
                points=[(expected, 0.0), (expected, 1.0)],
                style=DASHED,
                colour=2 * place + 1,
            )
        )
        table.append(
            [
                rows[0].label,
                told(rows, "first suspicion p50 s"),
                number(theory.first_suspicion_s(config)),
                f"{told(rows, 'first verdict p50 s')}; {told(rows, 'first verdict p99 s')}",
                number(theory.declared_s(members, config)),
                f"{told(rows, 'verdict of each p50 s')}; {told(rows, 'verdict of each p99 s')}",
                told(rows, "last verdict p99 s"),
                number(expected),
                f"{told(rows, 'unaware')}; {told(rows, 'false deaths')}",
            ]
        )
    head = [
        *("settings", "first suspicion p50 s", "theory", "first verdict p50; p99 s", "theory"),
        *("each verdict p50; p99 s", "last verdict p99 s", "theory", "unaware; false deaths"),
    ]
    plot = Chart(
        title="Deaths noticed",
        x_label="seconds after the death",
        y_label="share",
        series=series,
    )
    return Section(
        title="Detection",
        about=(
            "Shipped membership with the settings of a LAN. Theory (means, of an idealised "
            "SWIM): 2 intervals to the first suspicion, where hive may be earlier since it "
            "judges as soon as the helpers' nacks are in; the shortest suspicion to the verdict; "
            f"log(n) to the base 1 + f, and ln(n)/f, rounds of gossip until all know. {SPREAD}"
        ),
        command=f"{MEASURE} detection --seeds 0:5 --to DIR",
        used=[row for rows in groups for row in rows],
        plots=[chart_svg(plot)],
        tables=[Table(head, table)],
    )


def false_positives(results: Results) -> Section:
    """Who is suspected and buried alive, against loss."""
    used = results.of("false-positives")
    slow_shares = sorted({row.settings["slow"] for row in used})
    plots = []
    for name, title in (
        ("false suspicions a member-hour", "False suspicions against loss"),
        ("false deaths a member-hour", "False verdicts of death against loss"),
    ):
        series: list[Series] = []
        for slow in slow_shares:
            for health in ("on", "off"):
                groups = list(results.groups("false-positives", slow=slow, health=health).values())
                points, band = by_setting(groups, "loss", name, 100)
                label = f"local health {health}, {slow:.0%} slow"
                series.append(Series(name=label, points=points, band=band, colour=len(series)))
        if used and "suspicions" in name:
            series.append(_expected_suspicions(used))
        plots.append(
            chart_svg(
                Chart(
                    title=title,
                    x_label="packets lost, %",
                    y_label="per member and hour (log; 0 on the edge)",
                    series=series,
                    is_y_log=True,
                )
            )
        )
    table = [
        [
            rows[0].label,
            told(rows, "false suspicions a member-hour"),
            number(
                theory.false_suspicions_per_hour(
                    float(rows[0].settings["loss"]), swim_of(rows[0].settings)
                )
            ),
            told(rows, "false deaths a member-hour"),
            told(rows, "members falsely dead"),
            told(rows, "false deaths of healthy members"),
        ]
        for rows in results.groups("false-positives").values()
    ]
    head = [
        *("settings", "false suspicions a member-hour", "theory (loss only)"),
        *("false verdicts a member-hour", "members falsely dead", "verdicts on healthy members"),
    ]
    return Section(
        title="False positives",
        about=(
            "Nobody dies; slow members stand still up to two seconds every ten or so. A "
            "suspicion counts once for all who share it, a verdict once an observer. Theory is "
            "of loss alone: (1 - q^2)^tries * (1 - q^4)^helpers a probe; it knows no slow "
            f"members. {SPREAD}"
        ),
        command=f"{MEASURE} false-positives --seeds 0:3 --to DIR",
        used=used,
        plots=plots,
        tables=[Table(head, table)],
    )


def _expected_suspicions(used: Sequence[Result]) -> Series:
    losses = sorted({float(row.settings["loss"]) for row in used})
    config = swim_of(used[0].settings)
    points = [(100 * loss, theory.false_suspicions_per_hour(loss, config)) for loss in losses]
    return Series(name="theory, 0% slow", points=points, style=DASHED, colour=7)


def heat(results: Results) -> Section:
    """Loss times slow members."""
    used = results.of("false-positives", health="on")
    losses = sorted({row.settings["loss"] for row in used})
    slows = sorted({row.settings["slow"] for row in used}, reverse=True)
    plots, tables = [], []
    for name in ("false suspicions a member-hour", "false deaths a member-hour"):
        values: list[list[float | None]] = []
        texts = []
        for slow in slows:
            groups = [results.of("false-positives", health="on", slow=slow, loss=x) for x in losses]
            held = [figure(rows, name) if rows else None for rows in groups]
            values.append([None if each is None else each.mean for each in held])
            texts.append([f"{slow:.0%}", *("–" if v is None else v.text() for v in held)])
        columns = [f"{loss:.0%}" for loss in losses]
        plots.append(
            heat_svg(
                Heat(
                    title=name,
                    x_label="packets lost",
                    y_label="slow members",
                    columns=columns,
                    rows=[f"{slow:.0%}" for slow in slows],
                    values=values,
                )
            )
        )
        tables.append(Table([f"{name}: slow \\ loss", *columns], texts))
    return Section(
        title="Loss and slow members",
        about="The shipped settings, local health on: what both do together.",
        command=f"{MEASURE} false-positives --seeds 0:3 --set health=on --to DIR",
        used=used,
        plots=plots,
        tables=tables,
    )


def scaling(results: Results) -> Section:
    """As the number of nodes grows."""
    real = list(results.groups("scaling").values())
    kernel = list(results.groups("kernel").values())
    used = [row for rows in (*real, *kernel) for row in rows]
    active = ViewConfig().active_max
    counts = sorted({int(row.settings["nodes"]) for row in used})
    hop_ms = (IN_ZONE_US + INGRESS_US) / 1e3
    bound = [(float(n), theory.hops_at_least(n, active) * hop_ms) for n in counts]
    plots = []
    for name, title, y_label in (
        ("p99 ms", "Time until 99 % of deliveries", "ms"),
        ("bytes a node a second", "Traffic of frames", "bytes a node and second"),
        ("rss_bytes", "Memory of the process at its highest", "bytes"),
        ("events_per_cpu_s", "Speed", "events a cpu-second"),
    ):
        series = []
        for label, groups, colour in (("real code", real, 0), ("kernel", kernel, 1)):
            points, band = by_setting(groups, "nodes", name)
            series.append(Series(name=label, points=points, band=band, colour=colour))
            series.append(Series(name="", points=points, style=DOTS, colour=colour))
        if name == "p99 ms":
            series.append(
                Series(name="theory: the farthest, least", points=bound, style=DASHED, colour=7)
            )
        shown = [one for one in series if one.points]
        plots.append(
            chart_svg(
                Chart(
                    title=title,
                    x_label="nodes",
                    y_label=y_label,
                    series=shown,
                    is_x_log=True,
                    is_y_log=True,
                )
            )
        )
    names = (
        *("p50 ms", "p99 ms", "last hop", "redundancy", "missed", "bytes a node a second"),
        *("rss_bytes", "bytes_per_node", "events_per_cpu_s", "cpu_s"),
    )
    table = [
        [kind, rows[0].label, *(told(rows, name) for name in names), number(least)]
        for kind, groups in (("real code", real), ("kernel", kernel))
        for rows in groups
        for least in [theory.hops_at_least(int(rows[0].settings["nodes"]), active)]
    ]
    notes = () if kernel else ('No kernel rows (`experiment` "kernel") are among the results.',)
    return Section(
        title="Scaling",
        about=(
            "Shipped views and trees of one region, every node a machine of its own. Memory is "
            "that of the process at its highest; a node's is what the process grew by. "
            f"{SPREAD}"
        ),
        command=f"{MEASURE} scaling --set nodes=100,1000,10000 --seeds 0:3 --to DIR",
        used=used,
        plots=plots,
        tables=[Table(["points", "settings", *names, "theory: last hop ≥"], table)],
        notes=notes,
    )


def lookups(results: Results) -> Section:
    """Hops and latency against the share of the dead."""
    groups = list(results.groups("lookups").values())
    latency, hops, table = [], [], []
    k = DiscoveryConfig.for_internet().k
    for colour, rows in enumerate(groups):
        settings = rows[0].settings
        name = f"{settings['peers']} peers, {settings['dead']:.0%} dead, loss {settings['loss']}"
        latency.append(distribution(rows, "latency ms", name, colour))
        hops.append(course(rows, "hops", name, colour))
        table.append(
            [
                rows[0].label,
                told(rows, "hops mean"),
                number(theory.lookup_hops_at_most(int(settings["peers"]), k)),
                *(told(rows, f) for f in ("p50 ms", "p99 ms", "right", "recall", "ended")),
                told(rows, "dead asked a lookup"),
                told(rows, "messages a lookup"),
            ]
        )
    plots = [
        Chart(title="Lookups", x_label="ms", y_label="share of lookups ended", series=latency),
        Chart(title="Hops to the nearest", x_label="hops", y_label="share", series=hops),
    ]
    head = [
        *(
            "settings",
            "hops mean",
            "theory, none dead ≤",
            "p50 ms",
            "p99 ms",
            "right",
            "recall",
            "ended",
        ),
        *("dead asked a lookup", "messages a lookup"),
    ]
    return Section(
        title="Lookups",
        about=(
            "Shipped discovery in three regions; a share dies at once, then others look up "
            "random keys from tables that still name the dead. A lookup is right where it finds "
            "exactly the k nearest that live; messages count answers and introductions of "
            "everybody meanwhile; an ask after a timeout counts as farther than all before. "
            f"Theory: log2(n / k) + 1 hops at most where nobody is dead. {SPREAD}"
        ),
        command=f"{MEASURE} lookups --seeds 0:5 --to DIR",
        used=[row for rows in groups for row in rows],
        plots=[chart_svg(plot) for plot in plots],
        tables=[Table(head, table)],
    )
