"""`python -m edgefuse.bench.subprocess_worker TASK`: the process that subprocess_case.py starts. TASK and all output are JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from edgefuse.bench.subprocess_case import OnEvent, Task
from edgefuse.errors import EdgeFuseError
from edgefuse.util.child_process import answers


def _measure(task: Task, _: OnEvent) -> object:
    from edgefuse.bench.cases import Case
    from edgefuse.bench.measure import Plan, measure, read_pair

    return measure(Case.from_json(task["case"]), read_pair(Path(task["pair"])), Plan(**task["plan"]), task["golden"])


def _version(task: Task, _: OnEvent) -> object:
    from edgefuse import registry

    return registry.get("edgefuse.runtimes", task["runtime"]).version()


def _compare(task: Task, on_event: OnEvent) -> object:
    from edgefuse.bench.cases import Case
    from edgefuse.bench.interleaved import compare_with_peer
    from edgefuse.bench.measure import read_pair

    cases = [Case.from_json(c) for c in task["cases"]]
    return compare_with_peer(Path(task["peer"]), cases, read_pair(Path(task["pair"])), task["rounds"], task["min_secs"], on_event)


_TASKS: dict[str, Callable[[Task, OnEvent], object]] = {"measure": _measure, "version": _version, "compare": _compare}


def main() -> None:
    send = answers()
    task = json.loads(sys.argv[1])
    try:
        send({"result": _TASKS[task["do"]](task, lambda event: send({"event": event}))})
    except EdgeFuseError as e:
        send({"error": {"kind": type(e).__name__, "message": str(e)}})


if __name__ == "__main__":
    main()
