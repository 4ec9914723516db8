"""How many inputs have been run so far: a line of counts.csv for each run, which are committed with it."""

from __future__ import annotations

import csv
import datetime
import subprocess
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

FILE = Path(__file__).with_name("counts.csv")


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive seeds of a target. sanitizers: "address+undefined", or "none". tree: commit; "+" after it: with changes. day: UTC."""

    target: str
    first: int
    inputs: int
    findings: int
    sanitizers: str
    tree: str
    day: str


def read(path: Path = FILE) -> list[Run]:
    """Return the runs of a file; none if there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="") as f:
        return [
            Run(r["target"], int(r["first"]), int(r["inputs"]), int(r["findings"]), r["sanitizers"], r["tree"], r["day"])
            for r in csv.DictReader(f)
        ]


def note(run: Run, path: Path = FILE) -> None:
    """Write a run, in place of the line of the same target, first seed and tree if there is one."""
    runs = read(path)
    same = [k for k, r in enumerate(runs) if (r.target, r.first, r.tree) == (run.target, run.first, run.tree)]
    if same:
        runs[same[0]] = run
    else:
        runs.append(run)
    part = path.with_suffix(".part")
    with open(part, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow([field.name for field in fields(Run)])
        writer.writerows(astuple(r) for r in sorted(runs, key=lambda r: (r.target, r.first, r.day)))
    part.replace(path)


def next_seed(target: str, path: Path = FILE) -> int:
    """Return the first seed that has not been run."""
    return max((r.first + r.inputs for r in read(path) if r.target == target), default=0)


def table(budgets: dict[str, int], path: Path = FILE) -> Iterable[str]:
    """Yield lines: each target, the inputs run, those with the sanitizers, the budget and the findings, all trees together."""
    runs = read(path)
    yield f"{'target':<14}{'inputs':>12}{'sanitized':>12}{'budget':>12}{'findings':>10}  last run"
    for name, budget in budgets.items():
        of = [r for r in runs if r.target == name]
        sanitized = sum(r.inputs for r in of if r.sanitizers != "none")
        last = max((r.day for r in of), default="never")
        yield f"{name:<14}{sum(r.inputs for r in of):>12,}{sanitized:>12,}{budget:>12,}{sum(r.findings for r in of):>10}  {last}"


def tree() -> str:
    """Return the commit of this checkout, with "+" after it if files differ from it; "unknown" outside of one."""
    root = Path(__file__).parent

    def git(*command: str) -> str:
        return subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", ":/edgefuse", ":/tests", ":(top,exclude)benchmarks/fuzz/counts.csv")
        return git("rev-parse", "--short=9", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
