"""Table of methods and metrics, as text and as a PNG."""

from __future__ import annotations

import io
import logging
import math
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from edgefuse.errors import MissingDependencyError
from edgefuse.evaluation import Evaluation, Row
from edgefuse.metrics.fusion import METRICS, Interval, ranks
from edgefuse.metrics.fusion.intervals import LEVEL
from edgefuse.metrics.fusion.table import Better
from edgefuse.metrics.natural import SIGMAS

_WIDEST_NAME = 28


@dataclass(frozen=True, slots=True)
class Column:
    """values: one per method, in the table's order. unit: "" if there is none. block: title of the group of columns that it belongs to.
    name: full name. label: short name, used under the block's title."""

    block: str
    name: str
    label: str
    unit: str
    better: Better
    values: tuple[float, ...]

    @property
    def shown(self) -> list[str]:
        return [shown(v) for v in self.values]


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """names, ranks, intervals: one per method, best rank first; intervals may be empty. samples: bootstrap samples behind them."""

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    columns: tuple[Column, ...]
    intervals: tuple[Interval, ...] = ()
    samples: int = 0


def shown(value: float) -> str:
    """Format with four significant digits, below 0.001 with four decimals; "-" for NaN."""
    if math.isnan(value):
        return "-"
    if abs(value) < 0.001:
        return f"{value:.4f}"
    return f"{value:#.4g}".removesuffix(".") if math.isfinite(value) else "inf"


def from_evaluation(evaluation: Evaluation) -> ComparisonTable:
    """Return the table of an evaluation's results."""
    rows = evaluation.rows
    columns = []
    for name in rows[0].metrics:
        metric = METRICS[name]
        block = "VIFB's metrics (vifb_*)" if metric.group == "vifb" else "textbook metrics"
        columns.append(Column(block, name, metric.label, metric.unit, metric.better, tuple(r.metrics[name] for r in rows)))
    columns += _natural(evaluation) + _targets(rows) + _flicker(rows) + _people(evaluation)
    intervals = tuple(r.interval for r in rows if r.interval is not None)
    return ComparisonTable(
        tuple(r.method.name for r in rows), tuple(r.mean_rank for r in rows), tuple(columns), intervals, evaluation.samples
    )


def _natural(evaluation: Evaluation) -> list[Column]:
    figures = [r.natural for r in evaluation.rows]
    pairs = f"{evaluation.by_day} pair{'' if evaluation.by_day == 1 else 's'} by day"
    block = f"natural picture{f'; blackened and day: of the {pairs}' if evaluation.by_day else ''} (no part of the rank)"
    columns = [
        Column(block, f"halo {sigma}", f"halo {sigma}", "", "lower", tuple(f.halo[k] for f in figures)) for k, sigma in enumerate(SIGMAS)
    ]
    if evaluation.by_day:
        columns.append(Column(block, "blackened", "blackened", "share", "lower", tuple(f.blackened for f in figures)))
        columns.append(Column(block, "day", "day", "", "higher", tuple(f.day for f in figures)))
    return columns


def _people(evaluation: Evaluation) -> list[Column]:
    precisions = [r.people for r in evaluation.rows if r.people is not None]
    if not precisions:
        return []
    boxes = " and ".join(f"{count} {kind}s" for kind, count in evaluation.boxes.items())
    boxes = boxes.replace("persons", "people")
    pairs = f"{evaluation.boxed} of {evaluation.pairs} pairs"
    block = f"average precision of a detector at an overlap of 0.5: {boxes} in {pairs} (no part of the rank)"
    return [Column(block, f"AP {kind}", kind, "", "higher", tuple(p[kind] for p in precisions)) for kind in precisions[0]]


def _targets(rows: Sequence[Row]) -> list[Column]:
    kept = [r.targets for r in rows if r.targets is not None]
    if not kept:
        return []
    seen = [r.seen for r in rows if r.seen is not None]
    block = f"contrast kept of {kept[0].targets} targets (no part of the rank)"
    return [
        Column(block, "kept", "kept", "", "higher", tuple(k.mean for k in kept)),
        Column(block, "worst tenth", "worst tenth", "", "higher", tuple(k.worst_tenth for k in kept)),
        Column(block, "below half", "below half", "share", "lower", tuple(k.below_half for k in kept)),
        Column(block, "seen", "seen", "", "higher", tuple(k.mean for k in seen)),
        Column(block, "seen worst", "seen worst tenth", "", "higher", tuple(k.worst_tenth for k in seen)),
    ]


def _flicker(rows: Sequence[Row]) -> list[Column]:
    figures = [r.flicker for r in rows if r.flicker is not None]
    if not figures:
        return []
    inputs = f"visible {shown(figures[0].visible)}, infrared {shown(figures[0].infrared)} levels"
    block = f"change from frame to frame in the {figures[0].still:.1%} of pixels that are still; {inputs} (no part of the rank)"
    return [
        Column(block, "flicker", "flicker", "levels", "lower", tuple(f.fused for f in figures)),
        Column(block, "step", "step", "levels", "lower", tuple(f.step for f in figures)),
    ]


def as_text(table: ComparisonTable) -> str:
    """Format the table as blocks of columns, each with the methods' names and ranks at the left."""
    names = ["", "", "", *(textwrap.shorten(name, _WIDEST_NAME, placeholder="...") or name[:_WIDEST_NAME] for name in table.names)]
    rank = ["rank", "mean", "low", *(f"{r:.2f}" for r in table.ranks)]
    lines: list[str] = _interval_lines(table, names)
    for block in dict.fromkeys(c.block for c in table.columns):
        body = [[c.label, c.unit, c.better.removesuffix("er"), *c.shown] for c in table.columns if c.block == block]
        cells = [_aligned(names, str.ljust), _aligned(rank, str.rjust), *(_aligned(column, str.rjust) for column in body)]
        lines += ["", block, *("  ".join(row).rstrip() for row in zip(*cells, strict=True))]
    return "\n".join(lines[1:])


def _interval_lines(table: ComparisonTable, names: Sequence[str]) -> list[str]:
    if not table.intervals:
        return []
    title = f"mean rank with its {LEVEL:.0%} confidence interval over the pairs ({table.samples} bootstrap samples)"
    body = [
        ["rank", "mean", "low", *(f"{r:.2f}" for r in table.ranks)],
        ["from", "", "", *(f"{i.low:.2f}" for i in table.intervals)],
        ["to", "", "", *(f"{i.high:.2f}" for i in table.intervals)],
        ["first", "share", "high", *(f"{i.first:.2f}" for i in table.intervals)],
    ]
    cells = [_aligned(names, str.ljust), *(_aligned(column, str.rjust) for column in body)]
    return ["", title, *("  ".join(row).rstrip() for row in zip(*cells, strict=True))]


def _aligned(cells: Sequence[str], justify: object) -> list[str]:
    assert callable(justify)
    width = max(map(len, cells))
    return [justify(cell, width) for cell in cells]


def check_plots() -> None:
    """Raises MissingDependencyError if `as_png` lacks matplotlib."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingDependencyError("matplotlib", "--picture", "'edgefuse[plots]'") from None


def as_png(table: ComparisonTable, title: str) -> bytes:
    """Draw the table as a PNG: a row per method, a column per metric, cells coloured by rank (blue is best, red is worst)."""
    check_plots()
    # matplotlib logs that it builds a font cache, and warns of glyphs that its font lacks
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _draw(table, title)


def _draw(table: ComparisonTable, title: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = (Column("", "mean rank", "mean rank", "", "lower", table.ranks), *table.columns)
    last = max(1, len(table.names) - 1)
    colours = [[(rank - 1) / last for rank in row] for row in zip(*(ranks(c.values, c.better) for c in columns), strict=True)]
    longest = max(map(len, table.names))
    width, height = 0.85 * len(columns) + 0.09 * longest + 0.4, 0.42 * len(table.names) + 1.5
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    axes.imshow(colours, cmap="RdYlBu_r", vmin=-0.5, vmax=1.5, aspect="auto")
    heads = [f"{c.name}\n{c.unit or ' '}\n{c.better}" for c in columns]
    axes.set_xticks(range(len(columns)), heads, fontsize=8)
    axes.set_yticks(range(len(table.names)), table.names, fontsize=9, parse_math=False)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.spines[:].set_visible(False)
    for x, column in enumerate(columns):
        texts = [f"{r:.2f}" for r in column.values] if x == 0 else column.shown
        for y, text in enumerate(texts):
            raised = -0.14 if x == 0 and table.intervals else 0
            axes.text(x, y + raised, text, ha="center", va="center", fontsize=9, weight="bold" if colours[y][x] == 0 else "normal")
    for y, interval in enumerate(table.intervals):
        axes.text(0, y + 0.25, f"{interval.low:.2f} to {interval.high:.2f}", ha="center", va="center", fontsize=6)
    axes.axvline(0.5, color="white", linewidth=4)
    axes.set_xlabel(title, fontsize=8, parse_math=False)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()
