"""Plots of a report as HTML: text is HTML, so that it keeps its size on a phone; shapes are inline SVG that stretches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

import numpy as np

from edgefuse.bench.report_types import Contestant, ContestantModel, Row, StageTime
from edgefuse.bench.text_report import name_of
from edgefuse.util.arrays import Float64Array

# colour number (--c0 ... of the page) for each runtime and stage; others are grey
RUNTIMES = {"onnx": 0, "litert": 1, "numpy": 2, "closed form": 3}
STAGES = {"prepare": 5, "network": 6, "map": 7, "targets": 3, "blend": 8, "colour": 8}
_OTHER = 4
_BINS = 120
_HIGH = 40  # height of a strip in its own units; it is 1000 wide


class LogAxis:
    """Positions from 0 to 1 on a logarithmic scale that covers `values` (all above 0) with a margin; ticks at 1, 2 and 5."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = math.log10(min(values)), math.log10(max(values))
        margin = max(0.04 * (high - low), 0.05)
        self._low, self._high = low - margin, high + margin

    def __call__(self, value: float) -> float:
        return (math.log10(max(value, 1e-9)) - self._low) / (self._high - self._low)

    @property
    def ticks(self) -> list[float]:
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        for steps in ((1, 2, 5), (1,)):
            ticks = [step * 10.0**p for p in powers for step in steps if self._low <= math.log10(step * 10.0**p) <= self._high]
            if len(ticks) <= 8:
                break
        return ticks

    def html(self, unit: str) -> str:
        marks = "".join(f'<span style="left:{self(t):.2%}">{t:g}</span>' for t in self.ticks)
        return f'<div class="axis">{marks}</div><div class="unit">{escape(unit)}, logarithmic</div>'

    def edges(self) -> Float64Array:
        """Logarithms of the bins' edges."""
        return np.linspace(self._low, self._high, _BINS + 1)


def badge(number: int, colour: int) -> str:
    return f'<b class="badge" style="background:var(--c{colour})">{number}</b>'


def colour_of(row: Row) -> int:
    return RUNTIMES.get(row["runtime"], _OTHER)


def latencies(rows: Sequence[tuple[int, Row]], path: Literal["end_to_end", "network"]) -> str:
    """Render a strip per row with the distribution of latencies, and marks at p50 (thick), p95 and p99. rows: with their numbers."""
    shown = [(k, row, timing) for k, row in rows if (timing := row[path]) is not None]
    if not shown:
        return ""
    axis = LogAxis([timing["latency_ms"][end] for _, _, timing in shown for end in ("min", "max")])
    parts = []
    for k, row, timing in shown:
        ms = timing["latency_ms"]
        text = f"{ms['p50']:.2f} ms <small>p95 {ms['p95']:.2f}, p99 {ms['p99']:.2f}</small>"
        parts.append(_strip(k, row, text, _density(axis, timing["distribution_ms"]) + _marks(axis, ms)))
    return "".join(parts) + axis.html("milliseconds per frame")


def _strip(number: int, row: Row, text: str, shapes: str) -> str:
    doubt = ' <span class="doubt" title="can\'t be trusted">!</span>' if row["doubts"] else ""
    name = f"<span>{badge(number, colour_of(row))}{escape(name_of(row))}{doubt}</span>"
    label = f'<div class="label">{name}<span class="text">{text}</span></div>'
    style = f"--colour:var(--c{colour_of(row)})"
    return f'{label}<svg class="strip" viewBox="0 0 1000 {_HIGH}" preserveAspectRatio="none" style="{style}">{shapes}</svg>'


def _density(axis: LogAxis, quantiles: Sequence[float]) -> str:
    """Render the fraction of frames in each bin as a filled curve, scaled to its highest point."""
    edges = axis.edges()
    logs = np.log10(np.maximum(quantiles, 1e-9)) + np.arange(len(quantiles)) * 1e-12  # makes equal values increasing
    shares = np.diff(np.interp(edges, logs, np.linspace(0, 1, len(quantiles)), left=0, right=1))
    heights = (_HIGH - 2) * shares / max(shares.max(), 1e-12)
    points = " ".join(f"{1000 * k / _BINS:.1f},{_HIGH - 1 - h:.1f}" for k, h in enumerate(np.append(heights, 0)))
    return f'<polygon class="density" points="0,{_HIGH - 1} {points} 1000,{_HIGH - 1}"/>'


def _marks(axis: LogAxis, ms: Mapping[str, float]) -> str:
    low, high = (1000 * axis(ms[end]) for end in ("min", "max"))
    spans = f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{_HIGH - 1}" y2="{_HIGH - 1}"/>'
    for q, top in (("p50", 0), ("p95", _HIGH // 2), ("p99", _HIGH // 2)):
        x = 1000 * axis(ms[q])
        spans += f'<line class="{q}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{_HIGH}"><title>{q} {ms[q]:.3f} ms</title></line>'
    return spans


def speed_and_memory(rows: Sequence[tuple[int, Row]]) -> str:
    """Render median end-to-end latency against peak memory, with a numbered dot per row."""
    wide, high, left, bottom = 420, 260, 44, 34
    axis = LogAxis([row["end_to_end"]["latency_ms"]["p50"] for _, row in rows])
    most = max(row["memory_mb"]["peak_resident"] for _, row in rows) * 1.1

    def x(ms: float) -> float:
        return left + axis(ms) * (wide - left - 8)

    def y(mb: float) -> float:
        return (high - bottom) * (1 - mb / most) + 4

    step = 10 ** math.floor(math.log10(most))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if most / s <= 6)
    parts = []
    for k in range(int(most / step) + 1):
        at = y(k * step)
        parts.append(f'<line class="grid" x1="{left}" x2="{wide - 8}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{k * step:g}</text>')
    for t in axis.ticks:
        parts.append(f'<text x="{x(t):.1f}" y="{high - bottom + 20}" text-anchor="middle">{t:g}</text>')
    for k, row in rows:
        ms, mb = row["end_to_end"]["latency_ms"]["p50"], row["memory_mb"]["peak_resident"]
        said = f"{name_of(row)}: {ms:.2f} ms, {mb:.1f} MB"
        parts.append(
            f'<g><title>{escape(said)}</title><circle cx="{x(ms):.1f}" cy="{y(mb):.1f}" r="9" style="fill:var(--c{colour_of(row)})"/>'
            f'<text class="in" x="{x(ms):.1f}" y="{y(mb) + 4:.1f}" text-anchor="middle">{k}</text></g>'
        )
    caption = '<div class="unit">horizontal: median ms per frame, end to end, logarithmic; vertical: peak resident MB</div>'
    return f'<svg class="plot" viewBox="0 0 {wide} {high}" role="img" aria-label="speed against memory">{"".join(parts)}</svg>{caption}'


def stages(rows: Sequence[tuple[int, Row]]) -> str:
    """Render a bar per row, divided by each stage's share of the end-to-end time."""
    names = list(dict.fromkeys(stage for _, row in rows for stage in row["stages"]))
    key = " ".join(f'<span class="key"><i style="background:var(--c{STAGES.get(n, _OTHER)})"></i>{escape(n)}</span>' for n in names)
    parts = [f'<div class="keys">{key}</div>']
    for k, row in rows:
        bars = "".join(_piece(stage, part) for stage, part in row["stages"].items() if part["share"] > 0.001)
        total = sum(part["mean_ms"] for part in row["stages"].values())
        label = f'<span>{badge(k, colour_of(row))}{escape(name_of(row))}</span><span class="text">{total:.2f} ms <small>mean</small></span>'
        parts.append(f'<div class="label">{label}</div><div class="bar">{bars}</div>')
    return "".join(parts)


def _piece(stage: str, part: StageTime) -> str:
    style = f"width:{part['share']:.2%};background:var(--c{STAGES.get(stage, _OTHER)})"
    text = f"{part['share']:.0%}" if part["share"] >= 0.1 else ""
    return f'<span style="{style}" title="{escape(stage)} {part["mean_ms"]:.3f} ms">{text}</span>'


def ratios(figures: Mapping[str, Contestant], models: Mapping[str, ContestantModel]) -> str:
    """Render the ratios to the peer with the quartiles of the rounds."""
    shown = sorted(((n, f) for n, f in figures.items() if n != "peer"), key=lambda item: -float(item[1]["ratio"]))
    if not shown:
        return ""
    axis = LogAxis([1.0, *(v for _, f in shown for v in (f["ratio"], *f["ratio_quartiles"]) if v > 0)])
    parts = []
    for name, f in shown:
        low, high = f["ratio_quartiles"]
        colour = RUNTIMES.get(models[name]["runtime"] if name in models else "", _OTHER)
        text = f"{f['ratio']:.1f} x <small>{low:.1f} to {high:.1f}; {f['median_ms']:.2f} ms</small>"
        shapes = (
            f'<line class="grid" x1="{1000 * axis(1):.1f}" x2="{1000 * axis(1):.1f}" y1="0" y2="20"/>'
            f'<rect class="ratio" x="{1000 * axis(1):.1f}" width="{1000 * max(0.0, axis(f["ratio"]) - axis(1)):.1f}" y="6" height="8"/>'
            f'<line class="p50" x1="{1000 * axis(low):.1f}" x2="{1000 * axis(high):.1f}" y1="10" y2="10"/>'
        )
        parts.append(
            f'<div class="label"><span>{escape(name)}</span><span class="text">{text}</span></div>'
            f'<svg class="strip thin" viewBox="0 0 1000 20" preserveAspectRatio="none" style="--colour:var(--c{colour})">{shapes}</svg>'
        )
    return "".join(parts) + axis.html("times faster than the peer")
