"""Cost of `--psnr` beside `--bpppc`: `python benchmarks/codec_psnr.py CUBE.npz... [--psnr 40,45,50] [--passes 3]`

Each cube is encoded for a PSNR, and in turn for the rate that this took, on one thread. Prints the rate, by how much the PSNR is exceeded
(over all samples, by the peak of the type), the processor times (minima over the passes) and their ratio.
"""

from __future__ import annotations

# BLAS reads its number of threads when it is loaded
# ruff: noqa: E402
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.cube import peak_of
from edgefuse.metrics.spectral import compare


def seconds(cube: Any, **target: float) -> tuple[float, bytes]:
    began = time.process_time()
    made = spectral_edge.encode(cube, **target)
    return time.process_time() - began, made


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cubes", type=Path, nargs="+", metavar="CUBE.npz")
    p.add_argument("--psnr", default="40,45,50", metavar="DB", help="comma-separated (default: %(default)s)")
    p.add_argument("--passes", type=int, default=3, metavar="N", help="default: %(default)s")
    args = p.parse_args()
    ratios = []
    for path in args.cubes:
        with np.load(path) as file:
            cube = np.ascontiguousarray(file["cube"])
        for asked in map(float, args.psnr.split(",")):
            made = seconds(cube, psnr=asked)[1]
            rate = 8 * len(made) / cube.size
            passes = [(seconds(cube, psnr=asked)[0], seconds(cube, bpppc=rate)[0]) for _ in range(args.passes)]
            ours, theirs = (min(times) for times in zip(*passes, strict=True))
            ratios.append(ours / theirs)
            over = compare(cube, spectral_edge.decode(made), peak_of(cube.dtype)).psnr_db - asked
            print(
                f"{path.stem:20s} {asked:g} dB  {rate:.4f} bits  {over:+.3f} dB  {1e3 * ours:6.1f} ms {1e3 * theirs:6.1f} ms "
                f"{ratios[-1]:.2f}",
                flush=True,
            )
    print(f"median ratio {median(ratios):.2f}, largest {max(ratios):.2f}")


if __name__ == "__main__":
    main()
