"""Report as text: the environment, and aligned tables with units in the headings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgefuse.bench.report_types import Comparison, Report, Row, StateFacts, Timing
from edgefuse.telemetry.report import bandwidth_text

_LATENCIES = ("p50", "p90", "p95", "p99", "min", "max")


def as_text(report: Report) -> str:
    parts = [_context(report)]
    done = [row for row in report["cases"] if row["status"] == "ok"]
    if done:
        parts += [_end_to_end(done), _network(done), _start(done), _stages(done), _bandwidth(done)]
    parts += [_comparison(report, row) for row in report.get("duels", ())]
    parts += [_failed(report["cases"])] if len(done) < len(report["cases"]) else []
    if reasons := doubts(report):
        parts.append("\n".join(["! can't be trusted", *(f"  {line}" for line in reasons)]))
    if report["left_out"]:
        parts.append("left out\n" + "\n".join(f"  {why}" for why in report["left_out"]))
    return "\n\n".join(part for part in parts if part)


def context(report: Report) -> list[tuple[str, str]]:
    """Return (name, description) of the board, its state and its libraries."""
    board, libraries = report["board"], report["libraries"]
    processor = board["processor"]
    dot = {None: "instructions unknown", True: "has a dot product", False: "no dot product"}[board["dot_product"]]
    memory = "" if board["memory_bytes"] is None else f", {board['memory_bytes'] / 1e9:.1f} GB memory"
    cores = f"{processor['usable']} of {processor['cores']} cores"
    lines = [
        ("board", f"{board['name']}{memory}"),
        ("processor", f"{processor['name']} ({processor['machine']}), {cores}, {dot}: {' '.join(processor['features'] or ('?',))}"),
        ("system", f"{board['system'] or 'unknown'}, kernel {board['kernel'] or 'unknown'}"),
        ("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items() if version)),
    ]
    return lines + [(when, _state(report["state"][when])) for when in ("before", "after")]


def _state(state: StateFacts) -> str:
    clock = _known(state["frequency_mhz"], "{:.0f} MHz") + ("" if state["highest_mhz"] is None else f" of {state['highest_mhz']:.0f}")
    return (
        f"{clock}, governor {state['governor'] or 'unknown'}, temperature {_known(state['temperature_c'], '{:.1f} degrees C')}, "
        f"load {_known(state['load'], '{:.2f}')}, throttling {state['throttling']['text']}"
    )


def _known(value: float | None, how: str) -> str:
    return "unknown" if value is None else how.format(value)


def doubts(report: Report) -> list[str]:
    """Return why figures of the report cannot be trusted, a line for each case and each comparison; empty where all can."""
    reasons = [f"{name_of(row)}: {'; '.join(row['doubts'])}" for row in report["cases"] if row["doubts"]]
    return reasons + [doubt for row in report.get("duels", ()) for doubt in row["doubts"]]


def name_of(row: Row) -> str:
    """Return a row's model, runtime, precision, threads and size."""
    return f"{row['model']} {row['runtime']} {row['precision']}, {threads_of(row)}, {row['size']}"


def threads_of(row: Row | Comparison) -> str:
    return f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format aligned columns, the first one left-aligned."""
    cells = [list(row) for row in rows]
    widths = [max(len(heading), *(len(row[k]) for row in cells)) for k, heading in enumerate(headings)]
    first = max(widths[0], len(title))

    def line(row: Sequence[str]) -> str:
        return (row[0].ljust(first) + "".join(cell.rjust(width + 2) for cell, width in zip(row[1:], widths[1:], strict=True))).rstrip()

    return "\n".join([line([title, *headings[1:]]), *(line(row) for row in cells)])


def _context(report: Report) -> str:
    return "\n".join(f"{what:11s}{how}" for what, how in context(report))


def _latencies(row: Timing) -> list[str]:
    uncertainty = row["uncertainty"]
    return [*(f"{row['latency_ms'][q]:.2f}" for q in _LATENCIES), "?" if uncertainty is None else f"{uncertainty:.1%}"]


def _end_to_end(rows: Sequence[Row]) -> str:
    def line(row: Row) -> list[str]:
        fps = row["end_to_end"]["fps"]
        return [name_of(row), "?" if fps is None else f"{fps:.1f}", *_latencies(row["end_to_end"]), "!" if row["doubts"] else ""]

    return table("end to end, ms per frame", ("", "FPS", *_LATENCIES, "+-", ""), map(line, rows))


def _network(rows: Sequence[Row]) -> str:
    table_rows = [[name_of(r), *_latencies(r["network"])] for r in rows if r["network"] is not None]
    return table("network alone, ms per frame", ("", *_LATENCIES, "+-"), table_rows) if table_rows else ""


def _start(rows: Sequence[Row]) -> str:
    def line(row: Row) -> list[str]:
        init, memory, file = row["initialisation_ms"], row["memory_mb"], row["file"]
        macs = "?" if row["macs"] is None else f"{row['macs'] / 1e6:.1f}"
        return [
            name_of(row), f"{init['import']:.0f}", f"{init['load']:.1f}", f"{row['first_ms']:.1f}", f"{memory['peak_resident']:.1f}",
            f"{memory['own']:.1f}", "-" if file is None else f"{file['bytes'] / 1000:.1f}", macs,
            f"{row['bytes']['in'] / 1e6:.2f}", f"{row['bytes']['out'] / 1e6:.2f}",
        ]  # fmt: skip

    headings = ("", "import ms", "load ms", "first ms", "peak MB", "own MB", "file kB", "M MACs", "in MB", "out MB")
    return table("start, memory, size", headings, map(line, rows))


def _stages(rows: Sequence[Row]) -> str:
    def shares(row: Row) -> str:
        return ", ".join(f"{stage} {part['share']:.0%}" for stage, part in row["stages"].items())

    width = max(len(name_of(row)) for row in rows) + 2
    return "\n".join(["share of each stage", *(f"{name_of(row):{width}s}{shares(row)}" for row in rows)])


def _bandwidth(rows: Sequence[Row]) -> str:
    """Format the link load once per frame size, because the bytes do not depend on the model."""
    by_size = {row["size"]: row for row in rows}
    return "\n".join(
        f"link load of {size} pairs at {row['bandwidth_fps']} FPS, MB/s:       upload  download\n"
        + "\n".join(bandwidth_text(row["bandwidth_mb_s"]))
        for size, row in by_size.items()
    )


def _comparison(report: Report, row: Comparison) -> str:
    models = row.get("models", {})
    named = f"{report['peer']['file']} ({report['peer']['bytes'] / 1e6:.2f} MB"
    parts = [f"{named}; {', '.join(row['inputs'])})" if "inputs" in row else f"{named})"]
    timing = f", {row['clock']} time" if "clock" in row else ""
    for by_contestant, title in ((row["network"], "network alone"), (row["end_to_end"], "end to end")):
        lines = []
        for name, f in sorted(by_contestant.items(), key=lambda item: float(item[1]["median_ms"])):
            low, high = f["ratio_quartiles"]
            uncertainty = "?" if f["uncertainty"] is None else f"{f['uncertainty']:.1%}"
            what = " ".join((models[name]["model"], models[name]["runtime"], models[name]["precision"])) if name in models else name
            lines.append([what, f"{f['median_ms']:.3f}", f"{f['ratio']:.2f}", f"{low:.2f} to {high:.2f}", uncertainty])
        headings = ("", "median ms", "times faster", "quartiles", "+-")
        parts.append(table(f"{title}, {row['size']}, {threads_of(row)}, {row['rounds']} rounds{timing}", headings, lines))
    return "\n\n".join(parts)


def _failed(rows: Sequence[Row]) -> str:
    return "failed\n" + "\n".join(f"  {name_of(row)}: {row['error']}" for row in rows if row["status"] != "ok")
