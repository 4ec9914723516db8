"""Hostile input, seeded and bounded: python benchmarks/fuzz.py settings --inputs 100000 --seed 6

A target is a function that makes one input of a random generator and feeds it; EdgeFuseError is an answer, all else is a finding, and so is
an input that takes longer than --limit. To add one: a function here, or where its garbage is made, and a line in TARGETS. Findings are
printed with the seed of their input: --first SEED --inputs 1 makes it again. Exit code 1 where there are any.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgefuse.errors import EdgeFuseError

Feed = Callable[[random.Random, Path], None]


def settings(rng: random.Random, folder: Path) -> None:
    """A settings file, and now and then a variable."""
    from edgefuse import settings
    from tests.settings.garbage import VALUES, garbage

    path = folder / "edgefuse.toml"
    path.write_bytes(garbage(rng))
    keys = ("THREADS", "MODEL", "SINK", "FRESH", "MAX_SKEW", "X", "")
    variables = {f"EDGEFUSE_RUN_{rng.choice(keys)}": rng.choice(VALUES).strip('"')} if rng.random() < 0.2 else {}
    settings.load(path, variables, whole=rng.random() < 0.5)


def mqtt(rng: random.Random, folder: Path) -> None:
    """A payload for the command topic; what passes is looked at, too."""
    from tests.mqtt.hostile import check, payload

    if check(payload(rng)) is None:
        raise EdgeFuseError("refused")


TARGETS: dict[str, Feed] = {"settings": settings, "mqtt": mqtt}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("target", choices=TARGETS)
    p.add_argument("--inputs", type=int, default=10_000)
    p.add_argument("--seed", "--first", type=int, default=0, help="of the first input; the next has the next one")
    p.add_argument("--limit", type=float, default=5.0, help="seconds an input may take (default: 5)")
    args = p.parse_args()
    feed, answers, findings, slowest = TARGETS[args.target], Counter[str](), 0, 0.0
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.inputs):
            begin = time.perf_counter()
            try:
                feed(random.Random(seed), Path(folder))
                answers["taken"] += 1
            except EdgeFuseError as e:
                answers[type(e).__name__] += 1
            except Exception:
                findings += 1
                print(f"seed {seed}:\n{traceback.format_exc()}")
            took = time.perf_counter() - begin
            slowest = max(slowest, took)
            if took > args.limit:
                findings += 1
                print(f"seed {seed}: took {took:.1f} s")
    told = ", ".join(f"{n} {what}" for what, n in answers.most_common())
    print(f"{args.inputs} inputs in {time.perf_counter() - began:.0f} s: {told}; slowest {slowest * 1e3:.1f} ms; {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
