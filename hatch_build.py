"""Compiles edgefuse/**/*.c into edgefuse/libedgefuse.so where there is a C compiler; where there is none, the wheel is pure Python.

$CC names another compiler, and _PYTHON_HOST_PLATFORM another platform: with aarch64-linux-gnu-gcc and linux-aarch64, a wheel for a
Raspberry Pi is made on a PC. EDGEFUSE_COMPILED=0 makes the pure wheel.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ["-std=gnu99", "-O2", "-ftree-vectorize", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall"]
LIBRARY = "edgefuse/libedgefuse.so"


class CompiledCore(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        # an editable install runs from the checkout; a wheel may be another machine's, so it leaves the checkout's library alone
        folder = root if version == "editable" else Path(tempfile.mkdtemp(prefix="edgefuse-"))
        library = folder / (LIBRARY if version == "editable" else Path(LIBRARY).name)
        if not compiled(sorted(root.glob("edgefuse/**/*.c")), library):
            library.unlink(missing_ok=True)
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        if version != "editable":
            build_data["force_include"][str(library)] = LIBRARY


def compiled(sources: list[Path], library: Path) -> bool:
    """Make `library`, at once or not at all."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if os.environ.get("EDGEFUSE_COMPILED") == "0" or not shutil.which(compiler[0]):
        print("edgefuse: no C compiler: pure Python, slower", file=sys.stderr)
        return False
    made = library.with_suffix(f".{os.getpid()}")
    done = subprocess.run([*compiler, *FLAGS, *map(str, sources), "-o", str(made)], capture_output=True, text=True)
    if done.returncode:
        print(f"edgefuse: {shlex.join(compiler)} failed: pure Python, slower\n{done.stderr}", file=sys.stderr)
        made.unlink(missing_ok=True)
        return False
    made.replace(library)
    return True
