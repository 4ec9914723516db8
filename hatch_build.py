"""Compiles edgefuse/**/*.c into edgefuse/libedgefuse-MACHINE.so, and tags the wheel for the machine that it was compiled for.

Without a C compiler, and with EDGEFUSE_COMPILED=0, the wheel is for every machine (py3-none-any) and has no compiled core: NumPy and
OpenCV do the same, slower. $CC names another compiler for this machine. EDGEFUSE_PLATFORM=manylinux_2_17_aarch64 builds for that platform,
with Debian's cross compiler where it is another machine's, and fails where it can't (scripts/build-packages).
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# no path of this machine, and no name of a temporary file, is left in the library: it is the same wherever it is built
FLAGS = ["-std=gnu99", "-O2", "-ftree-vectorize", "-fno-math-errno", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-s"]
# a write past an array ends the process; the addresses of functions are resolved when the library is loaded, and not writable afterwards
HARDENING = ["-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
if sys.platform == "linux":
    HARDENING += ["-Wl,-z,relro,-z,now,-z,noexecstack"]
CROSS = {"aarch64": "aarch64-linux-gnu-gcc", "x86_64": "x86_64-linux-gnu-gcc"}
_PLATFORM = re.compile(r"(?:manylinux_\d+_\d+|linux)_(\w+)\Z")


class CompiledCore(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or os.environ.get("EDGEFUSE_COMPILED") == "0":
            return
        root, editable, asked = Path(self.root), version == "editable", os.environ.get("EDGEFUSE_PLATFORM", "")
        machine, compiler = compiler_of(asked)
        # an editable install runs from the checkout
        folder = root / "edgefuse" if editable else Path(tempfile.mkdtemp(prefix="edgefuse-"))
        library = folder / f"libedgefuse-{machine}.so"
        if not compiled(shlex.split(compiler), root, library):
            library.unlink(missing_ok=True)  # an older one of the checkout's
            if asked:
                raise SystemExit(f"EDGEFUSE_PLATFORM={asked}: {compiler} is missing or failed; sudo apt install gcc-{machine}-linux-gnu")
        elif not editable:
            build_data["force_include"][str(library)] = f"edgefuse/{library.name}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{asked or own_platform()}"


def compiler_of(wanted: str) -> tuple[str, str]:
    """(machine, compiler) of a wheel's platform; this machine's where it is empty."""
    here, own = platform.machine(), os.environ.get("CC", "cc")
    if not wanted:
        return here, own
    found = _PLATFORM.match(wanted)
    if not found or (found[1] != here and found[1] not in CROSS):
        raise SystemExit(f"EDGEFUSE_PLATFORM={wanted}: expected manylinux_2_17_MACHINE, MACHINE one of {', '.join({here: '', **CROSS})}")
    return found[1], own if found[1] == here else CROSS[found[1]]


def own_platform() -> str:
    """The platform tag of a wheel that is built and installed on one machine; for 32 bits where a 32-bit Python runs on a 64-bit kernel."""
    from packaging.tags import platform_tags

    every = list(platform_tags())
    return next((tag for tag in every if tag.startswith("linux_")), every[0])


def compiled(compiler: list[str], root: Path, library: Path) -> bool:
    """Make `library` of the C sources below `root`, whole or not at all; without it the same is done with NumPy and OpenCV."""
    if not shutil.which(compiler[0]):
        return False
    sources = sorted(str(path.relative_to(root)) for path in root.glob("edgefuse/**/*.c"))
    made = library.with_suffix(f".{os.getpid()}")
    done = subprocess.run([*compiler, *FLAGS, *HARDENING, *sources, "-o", str(made)], capture_output=True, text=True, cwd=root)
    if done.returncode:
        print(f"edgefuse: {shlex.join(compiler)} failed, so nothing is compiled\n{done.stderr}", file=sys.stderr)
        made.unlink(missing_ok=True)
        return False
    made.replace(library)
    return True
