"""Mutated ENVI headers: none may crash the reader, hang it, or make it take memory.

    python -m benchmarks.fuzz_headers --mutations 200000

Run from the repository's root: the mutations are the tests' (tests/hyperspectral/mutate.py).
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time

from tests.hyperspectral.mutate import HEADER, mutations, survive


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mutations", type=int, default=200_000)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    logging.getLogger("edgefuse").setLevel(logging.CRITICAL)
    survive(mutations(HEADER, 1000, a.seed + 1))
    before, read, refused, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, 0, 0.0
    began = time.perf_counter()
    for header in mutations(HEADER, a.mutations, a.seed):
        at = time.perf_counter()
        ok, bad = survive((header,))
        slowest = max(slowest, time.perf_counter() - at)
        read, refused = read + ok, refused + bad
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    figures = {"mutations": a.mutations, "read": read, "refused": refused, "crashes": 0, "slowest_ms": round(1000 * slowest, 1)}
    print(json.dumps(figures | {"elapsed_s": round(time.perf_counter() - began, 1), "memory_grown_mb": round(grown / 1000, 1)}))


if __name__ == "__main__":
    main()
