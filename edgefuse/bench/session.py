"""A benchmark session; its results so far are always available, also after Ctrl-C."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from edgefuse.bench.cases import Case
from edgefuse.bench.cpu_contention import CROWDED, crowding
from edgefuse.bench.interleaved import figures
from edgefuse.bench.measure import Plan, write_pair
from edgefuse.bench.report_types import Comparison, ComparisonFacts, Row
from edgefuse.bench.statistics import UNCERTAIN
from edgefuse.bench.subprocess_case import DiedError, PlanValues, Task, run_isolated
from edgefuse.board import State, read_processor, read_state
from edgefuse.board.throttling import between
from edgefuse.errors import EdgeFuseError, MissingDependencyError
from edgefuse.sources import open_source

ATTEMPTS = 2  # a brief disturbance is measured again before the result is doubted
OnProgress = Callable[[str], None]


def here(runtimes: Sequence[str]) -> dict[str, EdgeFuseError | None]:
    """Return, for each of `runtimes`, why it cannot be used, or None; each is tried in its own process."""
    errors: dict[str, EdgeFuseError | None] = {}
    for name in runtimes:
        try:
            run_isolated({"do": "version", "runtime": name}, 1)
            errors[name] = None
        except MissingDependencyError as e:
            errors[name] = e
        except DiedError as e:
            errors[name] = DiedError(f"the runtime {name} {e}")
    return errors


@dataclass
class Session:
    """Results: rows of cases, comparisons of groups of cases with a peer, both as in `edgefuse.bench.report`. A context manager."""

    plan: Plan
    cooldown: float = 0.0
    rows: list[Row] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    interrupted: bool = False

    def __enter__(self) -> Self:
        self.before = self.after = read_state()
        self._usable = read_processor().usable
        self._folder = tempfile.TemporaryDirectory(prefix="edgefuse-bench-")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._folder.cleanup()

    @property
    def throttled(self) -> list[str]:
        """Causes of throttling during the session, in words."""
        return list(dict.fromkeys(word for row in (*self.rows, *self.comparisons) for word in row["throttled"]))

    def measure(self, cases: Sequence[Case], golden: bool, on_progress: OnProgress = lambda _: None) -> None:
        """Measure a row for each case; a failed case has its error in the row. on_progress: receives what is being measured."""
        for k, case in enumerate(cases):
            if k:
                time.sleep(self.cooldown)
            on_progress(f"{case.label}, {case.threads} thread{'s' if case.threads > 1 else ''}, {_by(case.size)}")
            self.rows.append(self._row(case, golden))

    def _row(self, case: Case, golden: bool) -> Row:
        best: Row | None = None
        for attempt in range(1, ATTEMPTS + 1):
            row = self._once(case, golden) | {"attempts": attempt}
            if best is None or len(row["doubts"]) < len(best["doubts"]):
                best = row
            best["attempts"] = attempt
            if row["status"] != "ok" or not row["doubts"]:
                break
        assert best is not None
        return best

    def _once(self, case: Case, golden: bool) -> Row:
        before = self.after
        row: Row = {
            "model": case.model, "runtime": case.runtime, "precision": case.precision, "threads": case.threads, "size": _by(case.size),
            "status": "ok", "error": None,
        }  # fmt: skip
        task: Task = {
            "do": "measure",
            "case": case.as_json(),
            "pair": str(self._pair(case.size)),
            "plan": cast(PlanValues, asdict(self.plan)),
            "golden": golden,
        }
        try:
            row |= cast(Row, run_isolated(task, case.threads))
        except EdgeFuseError as e:
            row |= {"status": "failed", "error": str(e)}
        row["throttled"] = self._throttled_since(before)
        row["doubts"] = self._doubts(row) if row["status"] == "ok" else []
        return row

    def _doubts(self, row: Row) -> list[str]:
        """Return why the row cannot be trusted; empty where it can."""
        reasons = _slowed(row)
        busy = row["other_processes_cores"]
        if crowding(busy, row["threads"], self._usable) > CROWDED:
            reasons.append(
                f"{row['threads']} thread{'s' if row['threads'] > 1 else ''} had to share {self._usable} cores with"
                f" other processes, which kept {busy or 0:.1f} of them busy"
            )
        for timing, what in ((row["end_to_end"], "end to end"), (row["network"], "network")):
            reasons += [] if timing is None else uncertain(timing["uncertainty"], what)
        return reasons

    def compare_with_peer(self, peer: Path, cases: Sequence[Case], least: int, on_progress: OnProgress = lambda _: None) -> None:
        """Measure the peer for each size and thread count in `cases`. Raises the error of the peer or of one of our models."""
        groups: dict[tuple[tuple[int, int], int], list[Case]] = {}
        for case in cases:
            groups.setdefault((case.size, case.threads), []).append(case)
        for k, ((size, threads), group) in enumerate(groups.items()):
            if k:
                time.sleep(self.cooldown)
            heading = f"{_by(size)}, {threads} threads"
            self._compare(peer, group, least, lambda note, heading=heading: on_progress(f"{heading}, {note}"))  # type: ignore[misc]

    def _compare(self, peer: Path, cases: Sequence[Case], least: int, on_progress: OnProgress) -> None:
        size, threads, before = cases[0].size, cases[0].threads, self.after
        times: dict[str, list[float]] = {}

        def add(ms: Mapping[str, float]) -> None:
            for name, value in ms.items():
                times.setdefault(name, []).append(value)
            on_progress(f"round {len(next(iter(times.values())))}")

        on_progress("loading")
        task: Task = {
            "do": "compare", "peer": str(peer), "cases": [c.as_json() for c in cases], "pair": str(self._pair(size)), "rounds": least,
            "min_secs": self.plan.min_secs,
        }  # fmt: skip
        facts: ComparisonFacts = {}
        try:
            facts = cast(ComparisonFacts, run_isolated(task, threads, add))
        finally:
            # after an interruption the rounds so far count
            if times:
                network, end_to_end = (
                    figures({n.partition("/")[2]: ms for n, ms in times.items() if n.startswith(f"{path}/")})
                    for path in ("network", "end_to_end")
                )
                row: Comparison = {
                    "size": _by(size), "threads": threads, "rounds": len(next(iter(times.values()))), **facts, "network": network,
                    "end_to_end": end_to_end, "throttled": self._throttled_since(before), "doubts": [],
                }  # fmt: skip
                row["doubts"] = _slowed(row) + [
                    doubt for path, by_contestant in (("network", network), ("end to end", end_to_end)) for name, f in by_contestant.items()
                    for doubt in uncertain(f["uncertainty"], f"{name} {path}, the ratio")
                ]  # fmt: skip
                self.comparisons.append(row)

    def _throttled_since(self, before: State) -> list[str]:
        self.after = read_state()
        return list(between(before.throttling, self.after.throttling))

    def _pair(self, size: tuple[int, int]) -> Path:
        path = Path(self._folder.name) / f"{_by(size)}.npz"
        if not path.exists():
            with open_source(f"demo?scene=day&frames=1&size={_by(size)}") as source:
                pair = source.read()
            assert pair is not None
            write_pair(path, pair)
        return path


def _slowed(row: Row | Comparison) -> list[str]:
    return [f"the board was throttled: {', '.join(row['throttled'])}"] if row["throttled"] else []


def uncertain(share: float | None, what: str) -> list[str]:
    """Return the doubt about a figure with this uncertainty, if any. share: None where there were too few values."""
    if share is None:
        return [f"{what} has too few values to know its spread"]
    return [f"{what} is known only to within {share:.1%}"] if share > UNCERTAIN else []


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
