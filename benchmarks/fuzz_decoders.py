"""Compiles fuzz_decoders.c with the compiled decoders and the sanitizers, and runs it on damaged streams; for fuzz.py.

Raises RuntimeError where GCC or its sanitizers are missing.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np

from edgefuse.hyperspectral.codec import entropy_coder, wavelet
from edgefuse.hyperspectral.codec.entropy_tables import BIAS, tables
from edgefuse.hyperspectral.codec.subbands import bands

ROOT = Path(__file__).resolve().parents[1]
_SOURCES = "entropy_coder.c", "entropy_coder_v1.c", "wavelet.c", "samples.c"
_FLAGS = (
    "-std=gnu99", "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all",
)  # fmt: skip
# rows, columns, planes, levels; and exact planes, which have no levels
_SHAPES = (
    (1, 1, 1, 0), (1, 1, 5, 0), (1, 9, 2, 0), (9, 1, 2, 0), (2, 2, 1, 1), (3, 2, 3, 1), (8, 8, 2, 2), (7, 13, 3, 3), (1, 33, 1, 3),
    (17, 5, 2, 4), (33, 34, 1, 5), (2, 70, 1, 1), (65, 3, 1, 2),
)  # fmt: skip


def build(folder: Path) -> tuple[Path, Path]:
    """Compile the program and write its cases in `folder`. Returns both paths."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("GCC is missing: sudo apt install gcc")
    program, codec = folder / "fuzz_decoders", ROOT / "edgefuse/hyperspectral/codec"
    sources = [ROOT / "benchmarks/fuzz_decoders.c", *(codec / name for name in _SOURCES)]
    done = subprocess.run([compiler, *_FLAGS, *map(str, sources), "-o", str(program)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"fuzz_decoders.c can't be compiled with the sanitizers: {done.stderr.strip()[-400:]}")
    cases = folder / "cases"
    cases.write_bytes(_cases())
    return program, cases


def run(program: Path, cases: Path, first: int, count: int) -> tuple[int, str]:
    """Decode the inputs `first` to `first + count`. Returns the number of inputs done and, if the last one failed, what was found."""
    command = [str(program), str(cases), str(first), str(count)]
    # what the program holds until it ends is no leak of the decoders
    env = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode == 0:
        return count, ""
    match = re.search(r"^input (\d+)$", done.stderr, re.MULTILINE)
    reached = int(match[1]) - first + 1 if match else 1
    return reached, f"exit code {done.returncode}\n{done.stderr[-4000:]}"


def _cases() -> bytes:
    def numbers(*values: int) -> bytes:
        return struct.pack(f"={len(values)}q", *values)

    factors = np.array(wavelet.STEPS, np.int32)
    parts = [part for table in tables() for part in (numbers(table.nbytes), table.tobytes())]
    parts += [numbers(len(factors)), factors.tobytes()]
    rng = np.random.default_rng(1)
    cases = []
    for height, width, planes, levels in _SHAPES:
        for exact in (False, True):
            used = 0 if exact else levels
            values = np.rint(rng.laplace(scale=rng.choice((1, 900)), size=(height, width, planes))).astype(np.int32)
            stream = entropy_coder.encode_exact(values) if exact else entropy_coder.encode(values * 100, used, 0.5)
            subbands, room = bands(height, width, used)
            described = b"".join(struct.pack("=12i", *band) for band in subbands)
            for version in (1, 2):
                head = numbers(height, width, planes, 0 if exact else BIAS, int(exact), room, len(subbands))
                cases.append(head + described + numbers(version, used, len(stream)) + stream)
    return b"".join([*parts, numbers(len(cases)), *cases])
