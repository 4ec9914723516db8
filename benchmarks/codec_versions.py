"""Time and quality of `spectral-edge` beside another version of EdgeFuse: `python benchmarks/codec_versions.py CHECKOUT CUBE.npz...`

CHECKOUT is a folder with the other version and its compiled core, for example made by `git worktree add CHECKOUT COMMIT` and
`pip install --no-deps --target CHECKOUT/site CHECKOUT` (then give CHECKOUT/site). Each version has a process of its own; both encode and
decode the same cubes in turn, on one thread, without `compress`'s verification. Prints this version's processor time over the other's
(ratio of the medians), the size and the PSNR of both, as `codec.py` measures it, over all samples. Exit code 1 if a ratio exceeds --most.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve()
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
BEYOND = 0.3  # an operation is repeated until it took so many seconds of processor time, at least --passes times


class Version:
    """A process that imports EdgeFuse from `folder`. Its answers are pickled, because the program on the other side is this file."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(folder)}
        command = [sys.executable, str(HERE), "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=folder)
        self.folder = self("where")
        if not Path(self.folder).resolve().is_relative_to(folder.resolve()):
            raise SystemExit(f"codec_versions.py: {folder} has no edgefuse; {self.folder} was imported")

    def __call__(self, what: str, argument: object = None) -> Any:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        pickle.dump((what, argument), pipe)
        pipe.flush()
        return pickle.load(answers)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def serve() -> None:
    import edgefuse
    from edgefuse.hyperspectral.codec import spectral_edge
    from edgefuse.util import compiled

    if compiled.library() is None:
        raise SystemExit(f"codec_versions.py: {edgefuse.__file__} has no compiled core")
    cube: NDArray[Any] = np.zeros((1, 1, 1), np.uint8)
    answers = os.fdopen(os.dup(1), "wb")
    while True:
        try:
            what, argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result: object = None
        if what == "where":
            result = edgefuse.__file__
        elif what == "cube":
            cube = argument
        else:
            begin = time.process_time()
            made = spectral_edge.encode(cube, **argument) if what == "encode" else spectral_edge.decode(argument)
            result = time.process_time() - begin, made
        pickle.dump(result, answers)
        answers.flush()


def unit(cube: NDArray[Any], most: float) -> NDArray[Any]:
    return np.clip(cube.astype(np.float64) / (1.0 if most <= 2 else 10000.0), 0, 1)


def psnr(cube: NDArray[Any], made: NDArray[Any]) -> float:
    error = float(np.mean((unit(cube, cube.max()) - unit(made, cube.max())) ** 2))
    return float(-10 * np.log10(error)) if error else float("inf")


def interleaved(
    versions: tuple[Version, Version], what: str, arguments: tuple[object, object], passes: int
) -> tuple[float, float, list[Any]]:
    """Return this version's time over the other's, its seconds, and what each made."""
    times: tuple[list[float], list[float]] = [], []
    made: list[Any] = [None, None]
    turn = 0
    while turn < passes or (sum(times[0]) < BEYOND and turn < 20 * passes):
        for k in (0, 1) if turn % 2 else (1, 0):
            seconds, made[k] = versions[k](what, arguments[k])
            times[k].append(seconds)
        turn += 1
    return median(times[0]) / median(times[1]), median(times[0]), made


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("other", type=Path, metavar="CHECKOUT")
    p.add_argument("cubes", type=Path, nargs="+", metavar="CUBE.npz")
    p.add_argument("--targets", default="0.1,0.25,1,lossless", help="bits a sample, or lossless (default: %(default)s)")
    p.add_argument("--passes", type=int, default=9, metavar="N", help="least number of passes (default: %(default)s)")
    p.add_argument("--most", type=float, default=1.03, metavar="RATIO", help="largest ratio of processor times (default: %(default)s)")
    args = p.parse_args()
    versions = Version(HERE.parents[1]), Version(args.other.resolve())
    worst = 0.0
    print("scene                  target     encode  ratio    decode  ratio   bytes  other  dB     other")
    for path in args.cubes:
        with np.load(path) as file:
            cube = np.ascontiguousarray(file["cube"])
        for version in versions:
            version("cube", cube)
        for target in args.targets.split(","):
            how = {"max_error": 0} if target == "lossless" else {"bpppc": float(target)}
            if target == "lossless" and cube.dtype.kind == "f":
                continue  # the other version may not have it
            slower_in, seconds_in, files = interleaved(versions, "encode", (how, how), args.passes)
            slower_out, seconds_out, cubes = interleaved(versions, "decode", (files[0], files[1]), args.passes)
            quality = [psnr(cube, made) for made in cubes]
            worst = max(worst, slower_in, slower_out)
            print(
                f"{path.stem:22s} {target:8s} {1e3 * seconds_in:7.1f} ms {slower_in:6.3f} {1e3 * seconds_out:6.1f} ms {slower_out:6.3f} "
                f"{len(files[0]):7d} {len(files[0]) - len(files[1]):+5d}  {quality[0]:6.2f} {quality[0] - quality[1]:+.3f}",
                flush=True,
            )
    for version in versions:
        version.close()
    print(f"largest ratio {worst:.3f}")
    return int(worst > args.most)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        sys.exit(main())
