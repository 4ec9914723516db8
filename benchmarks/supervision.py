"""Cost of the child process that a single `compress` works in: `python benchmarks/supervision.py CUBE [--passes N] [-- OPTION...]`

Runs `compress CUBE` with it (as `edgefuse` does), and without it, in turn, each time in a new interpreter: without it as any program ends,
with the interpreter's shutdown, and without that, which the child does without too. Prints the processor time of all processes and the
time, medians, and the median of the differences between the runs of a pass; then the page faults, the same way, which the machine's load
does not change.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROGRAM = """
import os, sys
from edgefuse.cli import main, supervisor
how = sys.argv.pop(1)
code = main.main(supervised=how == "supervised")
if how == "supervised":
    supervisor.leave(code)
if how == "no shutdown":
    sys.stdout.flush()
    os._exit(code)
sys.exit(code)
"""
HOW = ("supervised", "shutdown", "no shutdown")


def once(how: str, arguments: list[str]) -> tuple[float, float, float]:
    """Return milliseconds of processor time, milliseconds, and page faults."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", PROGRAM, how, "compress", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1e3 * processor, 1e3 * took, float(after.ru_minflt - before.ru_minflt)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cube", type=Path, metavar="CUBE")
    p.add_argument("--passes", type=int, default=20, metavar="N", help="default: %(default)s")
    p.add_argument("options", nargs="*", metavar="OPTION", help="of compress, after --")
    args = p.parse_args()
    runs: dict[str, list[tuple[float, float, float]]] = {how: [] for how in HOW}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.passes):
            for how in HOW if turn % 2 else HOW[::-1]:
                runs[how].append(once(how, [str(args.cube), f"{folder}/a.efz", *args.options]))
    for name, k in (("processor ms", 0), ("time ms", 1), ("page faults", 2)):
        with_ = [r[k] for r in runs["supervised"]]
        line = f"{name:14s}supervised {median(with_):.0f}"
        for how in HOW[1:]:
            alone = [r[k] for r in runs[how]]
            extra = median(a - b for a, b in zip(with_, alone, strict=True))
            line += f"; alone, {how} {median(alone):.0f}: {extra:+.0f}, {100 * extra / median(alone):+.1f} %"
        print(line, flush=True)


if __name__ == "__main__":
    main()
