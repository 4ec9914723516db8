"""Injects random faults for hours: `python benchmarks/faults.py --faults 2000 --seed 6`

Source errors, sink errors, full disks, deleted folders, valid and invalid reloads, SIGHUP, SIGTERM and SIGKILL at any time, a broker that
dies or hangs, slow and malicious clients of the web page, killed encoders, moments without descriptors or memory, hanging hooks, all in
real processes (tests/faults defines them). After each fault it checks that the run continues or ends as requested, that no file is
incomplete, that every frame is counted, and that everything works again within --within seconds. Several runs work in parallel, each with
its own generator derived from the seed. Exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.faults import inject
from tests.faults.world import Broken, World


class Tally:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.took: dict[str, list[float]] = defaultdict(list)
        self.broken: list[str] = []
        self.frames = self.pictures = self.starts = self.tracebacks = 0


def live(number: int, faults: int, seed: int, within_s: float, folder: Path, tally: Tally) -> None:
    """Inject faults into one run."""
    world = World(folder / str(number), random.Random(f"{seed}-{number}"), around=True)
    if number == 0 and world.around:
        for table, why in world.around.missing.items():
            print(f"without the faults of [{table}]: {why}", flush=True)
    try:
        done = 0
        while done < faults:
            try:
                if world.process is None:
                    world.start()
                    world.await_ready()
                name, took = inject(world, within_s)
                with tally.lock:
                    tally.took[name].append(took)
            except Broken as e:
                with tally.lock:
                    tally.broken.append(f"run {number}, fault {done}: {e}")
                    print(f"BROKEN {tally.broken[-1]}", file=sys.stderr, flush=True)
                if world.process is not None:
                    world.process.kill()
                    world.process.wait()
                    world.process = None
                world.tidy()
            done += 1
        if world.process is not None:
            world.end(signal.SIGTERM, (0,))
    except Broken as e:
        tally.broken.append(f"run {number}, at the end: {e}")
    finally:
        with tally.lock:
            tally.frames += world.count("probe")
            tally.pictures += world.saved()
            tally.starts += world.starts
            tally.tracebacks += world.tracebacks()
        world.close()


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--faults", type=int, default=2000)
    p.add_argument("--seed", type=int, default=6)
    p.add_argument("--within", type=float, default=5.0, help="seconds within which everything must work again (default: 5)")
    p.add_argument("--runs", type=int, default=4, help="number of parallel runs (default: 4)")
    args = p.parse_args()
    tally, began = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shares = [args.faults // args.runs + (k < args.faults % args.runs) for k in range(args.runs)]
        threads = [
            threading.Thread(target=live, args=(k, n, args.seed, args.within, Path(folder), tally)) for k, n in enumerate(shares) if n
        ]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            time.sleep(1)
            if sys.stderr.isatty():
                print(f"\r\x1b[K{sum(map(len, tally.took.values()))}/{args.faults}", end="", file=sys.stderr, flush=True)
    print(f"\n{'fault':24s}{'times':>6s}{'median':>9s}{'worst':>9s}   s to work again")
    for name, took in sorted(tally.took.items()):
        print(f"{name:24s}{len(took):6d}{statistics.median(took):9.2f}{max(took):9.2f}")
    total = sum(map(len, tally.took.values()))
    print(
        f"{total} faults survived in {time.monotonic() - began:.0f} s, {len(tally.broken)} not; {tally.frames} frames, "
        f"{tally.pictures} pictures whole, {tally.starts} processes, {tally.tracebacks} tracebacks"
    )
    for what in tally.broken:
        print(f"BROKEN {what}")
    return 1 if tally.broken or tally.tracebacks else 0


if __name__ == "__main__":
    sys.exit(main())
