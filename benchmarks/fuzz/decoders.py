"""Targets in C: native/*.c, compiled with the coders of tiles and with the address and undefined-behaviour sanitizers.

`decoders`: the entropy coder of planes, the wavelet and the conversion to samples. `predictive`: the predictive coder of words.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.fuzz.runner import Tally
from edgefuse.hyperspectral.codec import wavelet
from edgefuse.hyperspectral.codec.entropy_tables import BIAS, tables
from edgefuse.hyperspectral.codec.subbands import bands

MODES = {"decoders": "entropy", "predictive": "predictive"}
_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = "entropy_coder.c", "entropy_coder_v1.c", "predictive_coder.c", "wavelet.c", "samples.c"
_FLAGS = (
    "-std=gnu99", "-O1", "-g", "-Wall", "-Wextra", "-fno-omit-frame-pointer", "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
)  # fmt: skip
# rows, columns, planes, levels; exact planes have the same sizes, without levels
_SHAPES = (
    (1, 1, 1, 0), (1, 1, 5, 0), (1, 9, 2, 0), (9, 1, 2, 0), (2, 2, 1, 1), (3, 2, 3, 1), (8, 8, 2, 2), (7, 13, 3, 3), (1, 33, 1, 3),
    (17, 5, 2, 4), (33, 34, 1, 5), (2, 70, 1, 1), (65, 3, 1, 2),
)  # fmt: skip


def feed_all(target: str, seeds: range, tally: Tally, folder: Path) -> None:
    """Feed the inputs `seeds`; the first call compiles the program in `folder`. Raises RuntimeError without GCC or its sanitizers."""
    program, cases = _built(folder)
    first, before = seeds.start, resource.getrusage(resource.RUSAGE_CHILDREN)
    while first < seeds.stop:
        done, failure = _run(program, MODES[target], cases, first, seeds.stop - first)
        first += done
        tally.taken += done - bool(failure)
        tally.seed = first - 1
        if failure:
            tally.find(f"seed {first - 1}:\n{failure}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    tally.seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@cache
def _built(folder: Path) -> tuple[Path, dict[str, Path]]:
    """Return the compiled program, and the file of cases of each mode."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("GCC is missing: sudo apt install gcc")
    program, codec = folder / "fuzz_decoders", _ROOT / "edgefuse/hyperspectral/codec"
    sources = [*sorted((Path(__file__).parent / "native").glob("*.c")), *(codec / name for name in _SOURCES)]
    done = subprocess.run([compiler, *_FLAGS, *map(str, sources), "-o", str(program)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the decoders can't be compiled with the sanitizers: {done.stderr.strip()[-400:]}")
    cases = {"entropy": _entropy_cases(), "predictive": _numbers(tables().rate.nbytes) + tables().rate.tobytes()}
    paths = {mode: folder / f"{mode}.cases" for mode in cases}
    for mode, data in cases.items():
        paths[mode].write_bytes(data)
    return program, paths


def _run(program: Path, mode: str, cases: dict[str, Path], first: int, count: int) -> tuple[int, str]:
    """Feed the inputs `first` to `first + count`. Returns the number of inputs done and, if the last one failed, what was found."""
    command = [str(program), mode, str(cases[mode]), str(first), str(count)]
    # what the program holds until it ends is no leak; freed memory is kept for a while, but not 256 MB of it
    env = os.environ | {"ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=8:malloc_context_size=3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode == 0:
        return count, ""
    match = re.search(r"^input (\d+)$", done.stderr, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"the program of the decoders ended with {done.returncode}: {done.stderr[-400:]}")
    return int(match[1]) - first + 1, f"exit code {done.returncode}\n{done.stderr[-4000:]}"


def _numbers(*values: int) -> bytes:
    return struct.pack(f"={len(values)}q", *values)


def _entropy_cases() -> bytes:
    factors = np.array(wavelet.STEPS, np.int32)
    parts = [part for table in tables() for part in (_numbers(table.nbytes), table.tobytes())]
    parts += [_numbers(len(factors)), factors.tobytes(), _numbers(2 * len(_SHAPES))]
    for height, width, planes, most in _SHAPES:
        for levels, exact in ((most, False), (0, True)):
            subbands, room = bands(height, width, levels)
            parts.append(_numbers(height, width, planes, 0 if exact else BIAS, int(exact), room, len(subbands)))
            parts += [struct.pack("=12i", *band) for band in subbands]
            parts.append(_numbers(levels))
    return b"".join(parts)
