"""Cost of the child process that a single `compress` works in: `python benchmarks/supervision.py CUBE [--passes N] [-- OPTION...]`

Runs `compress CUBE` with it (as `edgefuse` does) and without it, in turn, each time in a new interpreter. Prints the processor time of all
processes and the time, medians, and the median of the differences between the two runs of a pass.
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

PROGRAM = "import sys; from edgefuse.cli.main import main; sys.exit(main(sys.argv[2:], supervised=sys.argv[1] == 'with'))"


def once(how: str, arguments: list[str]) -> tuple[float, float]:
    """Return seconds of processor time, and seconds."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", PROGRAM, how, "compress", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cube", type=Path, metavar="CUBE")
    p.add_argument("--passes", type=int, default=20, metavar="N", help="default: %(default)s")
    p.add_argument("options", nargs="*", metavar="OPTION", help="of compress, after --")
    args = p.parse_args()
    runs: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.passes):
            for how in ("with", "without") if turn % 2 else ("without", "with"):
                runs[how].append(once(how, [str(args.cube), f"{folder}/a.efz", *args.options]))
    for name, k in (("processor", 0), ("wall", 1)):
        with_, without = ([r[k] for r in runs[how]] for how in ("with", "without"))
        extra = 1e3 * median(a - b for a, b in zip(with_, without, strict=True))
        print(f"{name:9s} with {median(with_):.3f} s, without {median(without):.3f} s; {extra:+.1f} ms, median of {args.passes}")


if __name__ == "__main__":
    main()
