"""Compiles edgefuse/**/*.c into edgefuse/libedgefuse-MACHINE.so, where there is a C compiler.

The library is optional and chosen when it is loaded, so one wheel serves every machine: it holds this machine's, and those of the cross
compilers that are installed (Debian's gcc-aarch64-linux-gnu: a Raspberry Pi's wheel from a PC). $CC names another compiler for this
machine. EDGEFUSE_COMPILED=0 leaves all of them out.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ["-std=gnu99", "-O2", "-ftree-vectorize", "-fno-math-errno", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall"]
CROSS = {"aarch64": "aarch64-linux-gnu-gcc"}


class CompiledCore(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or os.environ.get("EDGEFUSE_COMPILED") == "0":
            return
        root, editable = Path(self.root), version == "editable"
        sources = sorted(root.glob("edgefuse/**/*.c"))
        compilers = {platform.machine(): os.environ.get("CC", "cc")}
        if not editable:
            compilers = CROSS | compilers
        # an editable install runs from the checkout
        folder = root / "edgefuse" if editable else Path(tempfile.mkdtemp(prefix="edgefuse-"))
        for machine, compiler in compilers.items():
            library = folder / f"libedgefuse-{machine}.so"
            if not compiled(shlex.split(compiler), sources, library):
                library.unlink(missing_ok=True)  # an older one of the checkout's
            elif not editable:
                build_data["force_include"][str(library)] = f"edgefuse/{library.name}"


def compiled(compiler: list[str], sources: list[Path], library: Path) -> bool:
    """Make `library`, whole or not at all; without it the same is done with NumPy and OpenCV."""
    if not shutil.which(compiler[0]):
        return False
    made = library.with_suffix(f".{os.getpid()}")
    done = subprocess.run([*compiler, *FLAGS, *map(str, sources), "-o", str(made)], capture_output=True, text=True)
    if done.returncode:
        print(f"edgefuse: {shlex.join(compiler)} failed, so nothing is compiled\n{done.stderr}", file=sys.stderr)
        made.unlink(missing_ok=True)
        return False
    made.replace(library)
    return True
