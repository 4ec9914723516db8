"""Fails every call of a run in turn: `python benchmarks/failing_calls.py --phase steady --kinds open,socket`

The N-th open, write, fsync, rename, fork, thread, socket, connect or allocation of a real run with every output on fails, for
N = 1, 1 + --stride, ..., while it works steadily, reloads, ends and starts (tests/faults/calls.py). After each the run must go on, and
everything must work again within --within seconds; a run that starts may refuse in one line, and one that ends must end. Exit code 1 if
something is not so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.durability import shim
from tests.faults import calls
from tests.faults.world import Broken


def sweep(world: calls.CallsWorld, phase: str, kind: str, stride: int, first: int, most_s: float, within_s: float) -> list[str]:
    """Fail the calls of one kind in one phase. Prints a line, and returns what broke."""
    if phase != "start" and world.process is None:
        world.start()
        world.await_ready()
    begin = time.monotonic()
    total = calls.count(world, phase, kind)
    took: list[float] = []
    broken: list[str] = []
    refused = done = 0
    for nth in range(first, total + 1, stride):
        if time.monotonic() - begin > most_s:
            break
        try:
            outcome = calls.fail(world, phase, kind, nth, within_s)
        except (Broken, AssertionError) as e:
            broken.append(f"{phase}: {kind} {nth}: {e}")
            print(f"BROKEN {broken[-1]}", file=sys.stderr, flush=True)
            if world.process is not None:
                world.process.kill()
                world.process.wait()
                world.process = None
            if phase != "start":
                world.start()
                world.await_ready()
            continue
        done = nth
        if outcome is not None:
            refused += outcome.ended not in (None, 0)
            took.append(outcome.took_s)
    spread = f"{statistics.median(took):6.2f}{max(took):7.2f}" if took else f"{'':13s}"
    print(f"{phase:8s}{kind:12s}{len(took):6d} of {total:<7d}to {done:<7d}{spread}{refused:6d} refused {len(broken):4d} broken", flush=True)
    return broken


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--phase", choices=calls.PHASES, action="append", help="only this one; may be repeated")
    p.add_argument("--kinds", default=",".join(calls.KINDS), help="kinds of call, separated by commas")
    p.add_argument("--stride", type=int, default=1, help="every how many calls (default: 1, all)")
    p.add_argument("--first", type=int, default=1, help="first call to fail (default: 1)")
    p.add_argument("--most", type=float, default=1e9, help="most seconds for a kind in a phase")
    p.add_argument("--within", type=float, default=5.0, help="seconds within which everything must work again (default: 5)")
    args = p.parse_args()
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        world = calls.CallsWorld(Path(folder) / "world", shim.compiled(Path(folder)))
        try:
            print(f"{'phase':8s}{'kind':12s}{'failed':>6s}    calls      last N   median  worst   s until everything works", flush=True)
            for phase in args.phase or calls.PHASES:
                for kind in args.kinds.split(","):
                    broken += sweep(world, phase, kind, args.stride, args.first, args.most, args.within)
            if world.process is not None:
                world.end(15, (0,))
            if world.tracebacks():
                broken.append(f"{world.tracebacks()} tracebacks\n{world.log_tail(60)}")
        finally:
            world.close()
    for what in broken:
        print(f"BROKEN {what}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
