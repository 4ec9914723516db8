"""Peak memory, time and size of `edgefuse compress` and `decompress` for a cube larger than memory.

    python benchmarks/codec_memory.py SCENE.npz [--gigabytes 2] [--bpppc 0.25 | --max-error N]

The cube is an ENVI file, uint16: mirrored copies of the scene (array `cube`) side by side, each with its own noise. Memory is the peak
resident memory of the process, including the interpreter and its libraries. Exit code 1 if it exceeds --most.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube


def shape_of(bands: int, size: int) -> tuple[int, int, int]:
    columns = int(np.sqrt(size / 2 / bands))
    return size // 2 // bands // columns, columns, bands


def write(scene: NDArray[Any], path: Path, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    height, width, _ = scene.shape
    columns = shape[1]
    row = np.concatenate([scene[:, :: 1 - 2 * (i % 2)] for i in range(-(-columns // width))], axis=1)[:, :columns]
    with create_cube(path, CubeInfo(shape, np.dtype(np.uint16))) as out:
        for i, top in enumerate(range(0, shape[0], height)):
            part = row[:: 1 - 2 * (i % 2)][: shape[0] - top]
            out[top : top + len(part)] = (part + rng.integers(-2, 3, part.shape)).clip(0, 65535).astype(np.uint16)


def run(*words: str) -> dict[str, Any]:
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "edgefuse", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"edgefuse {words[0]} failed")
    elapsed = time.perf_counter() - began
    return {
        "most_mb": round(used.ru_maxrss / 1024, 1),
        "elapsed_s": round(elapsed, 1),
        "processor_s": round(used.ru_utime + used.ru_stime, 1),
    }


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("scene", type=Path, metavar="SCENE.npz")
    p.add_argument("--gigabytes", type=float, default=2.0)
    p.add_argument("--most", type=float, default=200.0, metavar="MB", help="memory limit in MB of each command (default: 200)")
    p.add_argument("--bpppc", default="0.25", metavar="R")
    p.add_argument("--max-error", metavar="N", help="instead of --bpppc")
    args = p.parse_args()
    target = ("--max-error", args.max_error) if args.max_error else ("--bpppc", args.bpppc)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = np.load(args.scene)["cube"].astype(np.int32)
        shape = shape_of(scene.shape[2], int(args.gigabytes * 1e9))
        # in a separate process, because a child inherits this process's peak memory
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(scene, folder / "cube.img", shape))
        writer.start()
        writer.join()
        compress = run("compress", str(folder / "cube.img"), str(folder / "cube.efz"), *target)
        decompress = run("decompress", str(folder / "cube.efz"), str(folder / "back.img"))
        size = (folder / "cube.efz").stat().st_size
        figures = {"shape": shape, "bytes": 2 * int(np.prod(shape)), "efz": size, "bpppc": round(8 * size / int(np.prod(shape)), 4)}
        print(json.dumps(figures | {"compress": compress, "decompress": decompress}))
    return 0 if max(compress["most_mb"], decompress["most_mb"]) <= args.most else 1


if __name__ == "__main__":
    sys.exit(main())
