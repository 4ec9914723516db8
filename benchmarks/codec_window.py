"""Bytes and time of a window of 64 x 64 pixels of a large .efz file, beside those of the whole: `python benchmarks/codec_window.py FOLDER`.

The cube, 2000 x 2000 x 200 of 16 bits by default, is made up of smooth fields and noise, in strips, and compressed to 0.5 bits a sample; it
stays in FOLDER for a second run. The time is processor time of this process, decoding on one thread; the window's begins before the file is
opened. The whole and windows at several places are decoded in turn, a few times; of the medians the largest counts. The bytes are those
that the kernel counts: header, index, tiles, and what is read ahead.
"""

from __future__ import annotations

# BLAS reads its number of threads when it is loaded
# ruff: noqa: E402
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.codec.base import Target
from edgefuse.hyperspectral.compressed_reader import Compressed
from edgefuse.hyperspectral.efz_source import EfzSource

PLACES = (0, 0), (700, 900), (968, 968), (1936, 1936), (1000, 30)
SIDE = 64


class MadeUp:
    """A cube that is computed where it is read."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.uint16)
        self._spectra = np.cumsum(np.random.default_rng(3).normal(0, 60, (4, shape[2])), 1)

    def __getitem__(self, place: tuple[slice, slice]) -> Any:
        y, x = np.mgrid[place[0], place[1]] / 90.0
        fields = np.stack([np.sin(x * (k + 1) + k) * np.cos(y * (k + 2)) for k in range(4)], -1)
        noise = np.random.default_rng((place[0].start, place[1].start)).normal(0, 15, (*x.shape, self.shape[2]))
        return np.clip(4000 + fields @ self._spectra + noise, 0, 65535).astype(np.uint16)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, metavar="FOLDER")
    p.add_argument("--side", type=int, default=2000, help="rows and columns (default: 2000)")
    p.add_argument("--bands", type=int, default=200, help="bands (default: 200)")
    p.add_argument("--rounds", type=int, default=3, help="times that the whole and the windows are decoded in turn (default: 3)")
    args = p.parse_args()
    path = args.folder / f"window-{args.side}-{args.bands}.efz"
    if not path.exists():
        with path.with_suffix(".part").open("wb") as file:
            spectral_edge.encode_to(file, MadeUp((args.side, args.side, args.bands)), Target(bpppc=0.5))
        path.with_suffix(".part").rename(path)
    size = path.stat().st_size
    rounds = [_round(path, args.side) for _ in range(args.rounds)]
    with Compressed(path) as file:
        tile = file.header.tile
    print(f"whole: {size / 1e6:.2f} MB, {statistics.median(whole for whole, _ in rounds):.2f} s; tiles of {tile[0]} x {tile[1]}")
    worst = [0.0, 0.0]
    for number, (top, left) in enumerate(_places(args.side)):
        taken = [(windows[number].bytes_read / size, windows[number].seconds / whole) for whole, windows in rounds]
        shares = taken[0][0], statistics.median(share for _, share in taken)
        worst = [max(w, s) for w, s in zip(worst, shares, strict=True)]
        print(f"rows from {top}, columns from {left}: {100 * shares[0]:.2f} % of the bytes, {100 * shares[1]:.2f} % of the time")
    print(f"at most {100 * worst[0]:.2f} % of the bytes, {100 * worst[1]:.2f} % of the time; medians of {args.rounds} rounds")


class Taken(NamedTuple):
    """What a window took."""

    bytes_read: int
    seconds: float


def _places(side: int) -> list[tuple[int, int]]:
    return [(min(top, side - SIDE), min(left, side - SIDE)) for top, left in PLACES]


def _bytes_read() -> int:
    """Return the bytes that this process has read from files, by the kernel's count, which has this file's few bytes in it."""
    return int(Path("/proc/self/io").read_text().split()[1])


def _round(path: Path, side: int) -> tuple[float, list[Taken]]:
    """Decode the whole, then the window at each place, and return the processor time of the first and what the others took."""
    begin = time.process_time()
    with Compressed(path) as whole:
        for _ in whole.tiles():
            pass
    seconds = time.process_time() - begin
    windows = []
    for top, left in _places(side):
        read, begin = _bytes_read(), time.process_time()
        with EfzSource(path) as source:
            source[top : top + SIDE, left : left + SIDE]
        taken = time.process_time() - begin
        windows.append(Taken(_bytes_read() - read, taken))
    return seconds, windows


if __name__ == "__main__":
    main()
