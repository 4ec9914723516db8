"""Sizes of float cubes: lossless and within an error, beside zstd, Blosc2, fpzip, zfp, SZ3 and pcodec on the same samples.

    python benchmarks/floats.py [CUBE.npz...] [--made-up]

Needs imagecodecs and fpzip. Each codec gets bands first, the order that suits all of them best; zfp, fpzip and SZ3 take three dimensions.
Sizes are in bits a sample, of whole files for edgefuse. Bounds are those that every sample holds after decoding: where a codec's own
setting does not hold it, the next finer one counts.
"""

from __future__ import annotations

# BLAS reads its number of threads when it is loaded
# ruff: noqa: E402
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fpzip
import imagecodecs
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgefuse.hyperspectral.codec import spectral_edge

Cube = NDArray[Any]
ERRORS = 1e-4, 1e-3, 1e-2  # times the cube's range (absolute), and of each sample (relative)


def bands_first(cube: Cube) -> Cube:
    return np.ascontiguousarray(cube.transpose(2, 0, 1))


def shuffled(cube: Cube, bits: bool) -> bytes:
    data = bands_first(cube)
    return bytes(imagecodecs.bitshuffle_encode(data) if bits else imagecodecs.byteshuffle_encode(data))


def lossless(cube: Cube) -> dict[str, int]:
    """Return the bytes of each lossless codec."""
    planes, item = bands_first(cube), cube.dtype.itemsize
    blosc = {"typesize": item, "level": 9, "compressor": "zstd"}
    figures = {
        "zstd -19, byte shuffle": len(imagecodecs.zstd_encode(shuffled(cube, False), level=19)),
        "zstd -19, bit shuffle": len(imagecodecs.zstd_encode(shuffled(cube, True), level=19)),
        "Blosc2 zstd 9, byte shuffle": len(imagecodecs.blosc2_encode(planes.tobytes(), shuffle="shuffle", **blosc)),
        "Blosc2 zstd 9, bit shuffle": len(imagecodecs.blosc2_encode(planes.tobytes(), shuffle="bitshuffle", **blosc)),
        "fpzip": len(fpzip.compress(planes, precision=0, order="C")),
        "zfp": len(imagecodecs.zfp_encode(planes)),
        "pcodec": len(imagecodecs.pcodec_encode(planes, level=12)),
    }
    return figures | {"edgefuse": len(exactly(cube))}


def exactly(cube: Cube) -> bytes:
    data = spectral_edge.encode(cube, max_error=0)
    word = f"u{cube.dtype.itemsize}"
    if not np.array_equal(spectral_edge.decode(data).view(word), cube.view(word)):
        raise AssertionError("not exact")
    return data


def within(cube: Cube, error: float, relative: bool) -> dict[str, int]:
    """Return the bytes of each codec, all samples of which hold the error."""
    planes = bands_first(cube)
    exact = planes.astype(np.float64)
    allowed = error * np.abs(exact) if relative else error

    def held(made: Cube) -> bool:
        return bool((np.abs(made.reshape(planes.shape).astype(np.float64) - exact) <= allowed).all())

    name = "relative_error" if relative else "max_error"
    data = spectral_edge.encode(cube, **{name: error})
    if not held(bands_first(spectral_edge.decode(data))):
        raise AssertionError("the bound does not hold")
    figures = {"edgefuse": len(data)}
    if relative:
        for precision in range(9, 32) if cube.dtype.itemsize == 4 else range(14, 64, 2):
            made = fpzip.compress(planes, precision=precision, order="C")
            if held(fpzip.decompress(made, order="C")):
                return figures | {"fpzip": len(made)}
        return figures
    setting = error
    while not held(imagecodecs.sz3_decode(made := imagecodecs.sz3_encode(planes, mode="abs", abs=setting), planes.shape, planes.dtype)):
        setting *= 0.99
    figures["SZ3"] = len(made)
    figures["zfp"] = len(imagecodecs.zfp_encode(planes, level=error, mode="accuracy"))
    return figures


def made_up() -> Iterator[tuple[str, Cube]]:
    """Yield cubes whose samples are no scaled counts: smooth spectra with noise, interpolated between pixels, of double precision."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:96, :96] / 96
    fields = np.stack([np.sin(9 * x + k) * np.cos(7 * y * (k + 1)) for k in range(5)], -1)
    spectra = np.cumsum(rng.normal(0, 1, (5, 80)), 1)
    clean = fields @ spectra
    clean = 0.05 + 0.5 * (clean - clean.min()) / np.ptp(clean)
    yield "noise of 0.001, float32", (clean + rng.normal(0, 1e-3, clean.shape)).astype(np.float32)
    counts = np.round((clean + rng.normal(0, 2e-3, clean.shape)) * 10000)
    moved = 0.36 * counts + 0.24 * np.roll(counts, 1, 0) + 0.24 * np.roll(counts, 1, 1) + 0.16 * np.roll(counts, (1, 1), (0, 1))
    yield "interpolated counts, float32", (moved * 1e-4).astype(np.float32)
    yield "radiance, float64", (clean * (20 + 5 * np.sin(np.arange(80) / 7)) + rng.normal(0, 1e-2, clean.shape)).astype(np.float64)


def scenes(files: list[Path]) -> Iterator[tuple[str, Cube]]:
    for file in files:
        cube = np.load(file)["cube"]
        if cube.dtype.kind == "f":
            yield file.stem, cube


def table(rows: list[tuple[str, dict[str, float]]]) -> str:
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    lines = [f"| scene | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join(lines + [f"| {scene} | {' | '.join(f'{row[n]:.2f}' if n in row else '' for n in names)} |" for scene, row in rows])


def rows_of(cubes: list[tuple[str, Cube]], measure: Callable[[Cube], dict[str, int]]) -> list[tuple[str, dict[str, float]]]:
    return [(name, {codec: 8 * size / cube.size for codec, size in measure(cube).items()}) for name, cube in cubes]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cubes", type=Path, nargs="*", metavar="CUBE.npz", help="files with an array `cube` of floats; others are left out")
    p.add_argument("--made-up", action="store_true", help="also made-up cubes")
    args = p.parse_args()
    cubes = [*scenes(args.cubes), *(made_up() if args.made_up else [])]
    print("lossless, bits a sample\n\n" + table(rows_of(cubes, lossless)), flush=True)
    for error in ERRORS:
        print(f"\nabsolute error of {error:g} of the range, bits a sample\n")
        print(table(rows_of(cubes, lambda cube, e=error: within(cube, e * float(np.ptp(cube)), False))), flush=True)
    for error in ERRORS:
        print(
            f"\nrelative error of {error:g}, bits a sample\n\n" + table(rows_of(cubes, lambda c, e=error: within(c, e, True))), flush=True
        )
    for name, cube in cubes:
        begin = time.process_time()
        data = exactly(cube)
        middle = time.process_time()
        spectral_edge.decode(data)
        took = [cube.nbytes / 1e6 / s for s in (middle - begin, time.process_time() - middle)]
        print(f"{name}: encode and decode {took[0]:.1f}, decode {took[1]:.1f} MB/s of processor time, lossless")


if __name__ == "__main__":
    main()
