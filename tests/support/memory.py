"""Peak memory of a piece of work, measured in a process of its own: python tests/support/memory.py MODULE FUNCTION ARGUMENT...

The function is called with the arguments, as text. One line of JSON is printed: `extra`, the bytes of resident memory by which the peak
exceeded what was resident before the call; `answer`: what the function returned, or the EdgeFuseError that it raised; `seconds` of
processor time.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Measured(NamedTuple):
    """What a call took, and what came of it."""

    extra: int
    """Bytes."""
    seconds: float
    answer: Any


def measure(module: str, function: str, *arguments: object, timeout_s: float = 120.0) -> Measured:
    """Call `module.function` in a new process."""
    command = [sys.executable, __file__, module, function, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _field(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))


def _main() -> None:
    sys.path.insert(0, str(ROOT))
    from edgefuse.errors import EdgeFuseError

    function = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    before, began = _field("VmRSS"), time.process_time()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    try:
        answer = function(*sys.argv[3:])
    except EdgeFuseError as e:
        answer = f"{type(e).__name__}: {e}"
    print(json.dumps({"extra": _field("VmHWM") - before, "seconds": time.process_time() - began, "answer": answer}))


if __name__ == "__main__":
    _main()
