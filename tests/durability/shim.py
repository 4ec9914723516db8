"""Compiles shim.c, and runs commands of edgefuse under it."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

COMMAND_S = 120.0
# what each call may fail with
ERRORS = {
    "write": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
    "rename": (errno.EIO, errno.ENOSPC),
    "open": (errno.EMFILE, errno.EIO),
    "unlink": (errno.EIO,),
    "fork": (errno.EAGAIN, errno.ENOMEM),
    "memory": (errno.ENOMEM,),
}


class Ended(NamedTuple):
    """How a command ended: its exit status, its standard error, whether a call failed in it, and how many of that kind it made."""

    code: int
    said: str
    failed: bool
    calls: int


def compiled(folder: Path) -> Path:
    """The shim as a shared library in `folder`; skips the test where it can't be made, or can't be loaded."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("the shim needs Linux and a C compiler")
    library = folder / "shim.so"
    command = [compiler, "-O1", "-shared", "-fPIC", str(Path(__file__).with_name("shim.c")), "-o", str(library), "-ldl"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if made.returncode:
        pytest.skip(f"the shim can't be compiled here: {made.stderr.splitlines()[-1]}")
    trial = subprocess.run([sys.executable, "-c", ""], env=os.environ | {"LD_PRELOAD": str(library)}, check=False, timeout=COMMAND_S)
    if trial.returncode:
        pytest.skip("Python does not start with the shim")
    return library


def run(
    library: Path | None, folder: Path, arguments: list[str], kind: str = "", nth: int = 0, error: int = 0, log: Path | None = None
) -> Ended:
    """Run `edgefuse ARGUMENTS` in `folder`; under the shim, its `nth` call of `kind` fails with `error`, or what it does is logged."""
    count = folder.with_name(folder.name + ".count")
    count.write_bytes(bytes(16))
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    if library:
        env |= {"LD_PRELOAD": str(library), "SHIM_ROOT": str(folder.resolve()), "SHIM_COUNT": str(count)}
        env |= {"SHIM_KIND": kind, "SHIM_NTH": str(nth), "SHIM_ERRNO": str(error)}
        if log:
            log.touch()
            env["SHIM_LOG"] = str(log)
    command = [sys.executable, "-m", "edgefuse", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    calls, failures = struct.unpack("<qq", count.read_bytes())
    return Ended(done.returncode, done.stderr, failures > 0, calls)


def cubes(folder: Path, count: int = 2) -> dict[str, bytes]:
    """Small cubes in `folder`, and the bytes of each one's samples file."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    contents = {}
    for k in range(count):
        path = folder / f"{'abcdef'[k]}.npy"
        np.save(path, rng.integers(0, 900, (24, 20 + k, 16)).astype(np.uint16))
        contents[path.name] = path.read_bytes()
    return contents
