"""Report as one HTML page without scripts or external resources, in a light and a dark scheme, readable on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgefuse.bench import plots
from edgefuse.bench.report_types import Comparison, Report, Row
from edgefuse.bench.text_report import context, doubts, name_of, threads_of

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0; --page: #ffffff; --card: #f5f7f9; --warn: #9a3412;
  --c0: #2563a8; --c1: #b45309; --c2: #3f7d3a; --c3: #7c4a9e; --c4: #5f6b76;
  --c5: #7a6a4f; --c6: #0b7285; --c7: #a03565; --c8: #4b4fa6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #3a424a; --page: #14181c; --card: #1d2329;
  --warn: #fdba74; --c0: #4f93dc; --c1: #d58a3a; --c2: #67a661; --c3: #a77ccc; --c4: #8b97a3;
  --c5: #b3a17f; --c6: #3fb0c4; --c7: #d9729f; --c8: #8d91e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 16px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page); }
h1 { font-size: 1.5rem; margin: .5rem 0 0; } h2 { font-size: 1.15rem; margin: 0 0 .25rem; } h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p { margin: .25rem 0 .75rem; } .soft, .unit, small { color: var(--soft); } .unit, small, table { font-size: .85rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 1rem 0; }
.warn { border-color: var(--warn); } .warn h2, .doubt { color: var(--warn); font-weight: 700; }
.warn ul { margin: .25rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.label { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin-top: .7rem; font-size: .95rem; }
.text { font-variant-numeric: tabular-nums; }
.badge { display: inline-block; min-width: 1.5em; padding: 0 .3em; margin-right: .5em; border-radius: 1em; color: var(--page);
  text-align: center; font-size: .8rem; }
.strip { display: block; width: 100%; height: 2.6rem; overflow: visible; } .strip.thin { height: 1.2rem; }
.strip * { vector-effect: non-scaling-stroke; }
.density, .ratio { fill: var(--colour); opacity: .45; } .range { stroke: var(--colour); stroke-width: 1; }
.p50 { stroke: var(--ink); stroke-width: 2.5; } .p95, .p99 { stroke: var(--soft); stroke-width: 1.5; }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { position: relative; height: 1.5rem; margin-top: .4rem; border-top: 1px solid var(--line); font-size: .85rem; color: var(--soft); }
.axis span { position: absolute; transform: translateX(-50%); }
.plot { display: block; width: 100%; max-width: 42rem; margin: .5rem auto; } .plot text { font-size: 11px; fill: var(--soft); }
.plot circle { stroke: var(--card); stroke-width: 1.5; opacity: .9; } .plot text.in { fill: var(--page); font-weight: 700; }
.bar { display: flex; height: 1.5rem; border-radius: .25rem; overflow: hidden; }
.bar span { color: var(--page); font-size: .8rem; line-height: 1.5rem; text-align: center; overflow: hidden; }
.keys { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; border-radius: .2em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
.facts td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
.facts td:first-child { white-space: nowrap; color: var(--soft); }
"""


def as_html(report: Report) -> str:
    """Render a report of `edgefuse.bench.report`."""
    rows = [(k, row) for k, row in enumerate((r for r in report["cases"] if r["status"] == "ok"), 1)]
    parts = [_head(report), _warning(report)]
    if rows:
        parts += [
            _section(
                "Latency, end to end",
                "Including colour conversion. Thick: median; thin: p95 and p99.",
                plots.latencies(rows, "end_to_end"),
            ),
            _section("Latency, the network alone", "", plots.latencies(rows, "network")),
            _section(
                "Speed against memory", "Nearer to the lower left is better. Numbers are those of the lists.", plots.speed_and_memory(rows)
            ),
            _section("Where the time goes", "Shares of a frame's time, end to end.", plots.stages(rows)),
            _section("All figures", "Latencies are ms a frame, end to end unless said.", _figures(rows)),
            _section("Link load", "What a link would carry, uncompressed, MB/s.", _bandwidth([row for _, row in rows])),
        ]
    parts += [_comparison(report, row) for row in report.get("duels", ())]
    parts.append(_section("The board", "", _table((), context(report), "facts")))
    title = escape(f"EdgeFuse on {report['board']['name']}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{''.join(p for p in parts if p)}</body>\n</html>\n"
    )


def _section(title: str, said: str, content: str, kind: str = "") -> str:
    """Return a section, or nothing where there is no content."""
    said = f'<p class="soft">{escape(said)}</p>' if said else ""
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{said}{content}</section>\n' if content else ""


def _head(report: Report) -> str:
    plan, count = report["plan"], len(report["cases"])
    how = f"each figure from at least {plan['min_s']:g} s and {plan['min_frames']} frames, after a warm-up of {plan['warmup_s']:g} s"
    what = f"{count} case{'s' if count != 1 else ''}, {how}" if count else "in turn with a peer"
    when = report["measured_at"].replace("T", " ").replace("+00:00", " UTC")
    board = escape(report["board"]["name"])
    return f'<h1>EdgeFuse on {board}</h1>\n<p class="soft">edgefuse {escape(report["edgefuse"])}, {when}; {escape(what)}.</p>\n'


def _warning(report: Report) -> str:
    problems = ["The measurement was interrupted and is incomplete."] if report["interrupted"] else []
    problems += [f"{name_of(row)} failed: {row['error']}" for row in report["cases"] if row["status"] != "ok"]
    problems += [*report["left_out"], *doubts(report)]
    items = "".join(f"<li>{escape(line)}</li>" for line in problems)
    listed = f"<ul>{items}</ul>" if len(problems) <= 3 else f"<details><summary>{len(problems)} reasons</summary><ul>{items}</ul></details>"
    return _section("Incomplete or untrusted results", "", listed if problems else "", "warn")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    head = f"<tr>{''.join(f'<th>{escape(h)}</th>' for h in headings)}</tr>" if headings else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}">{head}{body}</table></div>'


def _figures(rows: Sequence[tuple[int, Row]]) -> str:
    quantiles = ("p50", "p90", "p95", "p99", "min", "max")
    headings = (
        "", "FPS", *quantiles, "+-", "network p50", "network p99", "import ms", "load ms", "first ms", "peak MB", "own MB", "file kB",
        "parameters", "M MACs", "in MB", "out MB",
    )  # fmt: skip
    lines = []
    for k, row in rows:
        whole, network, file = row["end_to_end"], row["network"], row["file"]
        init, memory, ms = row["initialisation_ms"], row["memory_mb"], whole["latency_ms"]
        alone = ["-", "-"] if network is None else [f"{network['latency_ms'][q]:.3f}" for q in ("p50", "p99")]
        lines.append([
            f"{k}  {name_of(row)}", "?" if whole["fps"] is None else f"{whole['fps']:.1f}", *(f"{ms[q]:.2f}" for q in quantiles),
            "?" if whole["uncertainty"] is None else f"{whole['uncertainty']:.1%}", *alone,
            f"{init['import']:.0f}", f"{init['load']:.1f}", f"{row['first_ms']:.1f}",
            f"{memory['peak_resident']:.1f}", f"{memory['own']:.1f}", "-" if file is None else f"{file['bytes'] / 1000:.1f}",
            "?" if row["parameters"] is None else f"{row['parameters']:,}", "?" if row["macs"] is None else f"{row['macs'] / 1e6:.1f}",
            f"{row['bytes']['in'] / 1e6:.2f}", f"{row['bytes']['out'] / 1e6:.2f}",
        ])  # fmt: skip
    return _table(headings, lines)


def _bandwidth(rows: Sequence[Row]) -> str:
    lines = []
    for size, row in {row["size"]: row for row in rows}.items():
        for key, link in row["bandwidth_mb_s"].items():
            computing, _, needed = key.partition("_computing_")
            what = f"{size} at {row['bandwidth_fps']} FPS: {computing} computing, {needed.replace('_', ' ')}"
            lines.append([what, f"{link['upload']:.2f}", f"{link['download']:.2f}"])
    return _table(("", "upload", "download"), lines)


def _comparison(report: Report, row: Comparison) -> str:
    models = row.get("models", {})
    charts = "".join(
        f"<h3>{title}: peer {by_contestant['peer']['median_ms']:.2f} ms</h3>{plots.ratios(by_contestant, models)}"
        for by_contestant, title in ((row["end_to_end"], "End to end"), (row["network"], "Network alone"))
    )
    said = f"{report['peer']['file']}, {report['peer']['bytes'] / 1e6:.2f} MB. {row['rounds']} rounds in turn; dark: their quartiles."
    return _section(f"Times faster than the peer, {row['size']}, {threads_of(row)}", said, charts)
