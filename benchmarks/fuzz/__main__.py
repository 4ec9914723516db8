"""Fuzz tests with malformed input from seeds: `python -m benchmarks.fuzz envi --inputs 100000 --first 6`.

Each input is made from its seed alone. It may be accepted or refused with an EdgeFuseError. Findings are: any other exception, a warning, a
crash, and more time or memory than docs/reference/limits.md allows. Each is printed with its seed, which `--first SEED --inputs 1` repeats.
`smoke` is what .ci/run does, `counts` prints how many inputs have been run so far. Exit code 1 if there are findings.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

from benchmarks.fuzz import counts, decoders, web_page
from benchmarks.fuzz.runner import Tally, feed_all, feed_in_children
from benchmarks.fuzz.targets import TARGETS

_CHUNK, _MOST_CHUNK = 2000, 50_000  # inputs between two looks at the clock; in a child process, and of the compiled decoders
_REPORT_S = 600.0
_COMPILED = {"decoders": (10_000_000, 20_000), "predictive": (1_000_000, 1000)}  # inputs of a release, of the smoke run
BUDGETS = {name: target.budget for name, target in TARGETS.items() if target.budget} | {name: most for name, (most, _) in _COMPILED.items()}


def fuzz(target: str, inputs: int, first: int, folder: Path, until: float = 0.0, record: Path | None = None) -> int:
    """Feed inputs to a target and print a line. Returns the findings.

    folder: in memory, for the inputs and for what is compiled. until: time (of time.time) at which to stop; 0: none. record: file of counts
    that gets a line.
    """
    began, tally, done, reported = time.perf_counter(), Tally.shared(), 0, time.time()
    isolated = target in _COMPILED or TARGETS[target].isolated
    tree = counts.tree() if record else ""

    def note() -> None:
        if record and done:
            sanitizers = "address+undefined" if target in _COMPILED else "none"
            counts.note(counts.Run(target, first, done, tally.findings, sanitizers, tree, counts.today()), record)

    while done < inputs and not (until and time.time() > until):
        size = min(_MOST_CHUNK if isolated else _CHUNK, inputs - done)
        seeds = range(first + done, first + done + size)
        if target in _COMPILED:
            decoders.feed_all(target, seeds, tally, folder)
        else:
            (feed_in_children if isolated else feed_all)(TARGETS[target], seeds, tally, folder)
        done += size
        if time.time() - reported > _REPORT_S:
            reported = time.time()
            note()
            print(f"{target}: {done} inputs so far, {tally.findings} findings", flush=True)
    note()
    took = max(time.perf_counter() - began, 1e-9)
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(
        f"{target}: {done} inputs from seed {first} in {took:.0f} s ({done / took:.0f}/s, {done / max(tally.seconds, 1e-9):.0f} a second "
        f"of processor time): {tally.taken} taken, {tally.refused} refused; slowest {tally.slowest * 1e3:.1f} ms "
        f"(seed {tally.slowest_seed}); at most {most:.0f} MB; {tally.findings} findings",
        flush=True,
    )
    return tally.findings


def _smoke(folder: Path, until: float) -> int:
    few = {name: target.smoke for name, target in TARGETS.items() if target.smoke} | {name: n for name, (_, n) in _COMPILED.items()}
    return sum(fuzz(name, inputs, 0, folder, until) for name, inputs in few.items())


def _parsed() -> argparse.Namespace:
    p = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "targets", nargs="+", choices=[*TARGETS, *_COMPILED, "smoke", "counts"], metavar="TARGET", help=", ".join([*TARGETS, *_COMPILED])
    )
    p.add_argument("--inputs", type=int, default=10_000)
    p.add_argument("--first", type=int, metavar="SEED", help="seed of the first input; each further input has the next seed (default: 0)")
    p.add_argument("--memory", type=int, default=0, metavar="MB", help="memory limit of the process; beyond it a MemoryError is a finding")
    p.add_argument("--until", metavar="HH:MM", help="stop at this time of today (UTC)")
    p.add_argument(
        "--record",
        nargs="?",
        type=Path,
        const=counts.FILE,
        metavar="FILE",
        help="go on after the seeds of this file, and write the run into it (default: counts.csv)",
    )
    return p.parse_args()


def main() -> int:
    args = _parsed()
    if args.memory:
        resource.setrlimit(resource.RLIMIT_AS, (args.memory << 20, args.memory << 20))
    warnings.simplefilter("always")
    until = 0.0
    if args.until:
        hour, minute = map(int, args.until.split(":"))
        until = datetime.datetime.now(datetime.UTC).replace(hour=hour, minute=minute, second=0).timestamp()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        findings = sum(_do(target, args, Path(folder), until) for target in args.targets)
        web_page.close()
    return 1 if findings else 0


def _do(target: str, args: argparse.Namespace, folder: Path, until: float) -> int:
    if target == "smoke":
        return _smoke(folder, until)
    if target == "counts":
        print(*counts.table(BUDGETS), sep="\n")
        return 0
    first = args.first if args.first is not None else counts.next_seed(target, args.record) if args.record else 0
    return fuzz(target, args.inputs, first, folder, until, args.record)


if __name__ == "__main__":
    sys.exit(main())
