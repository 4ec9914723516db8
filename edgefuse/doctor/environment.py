"""The Python environment that runs EdgeFuse: its kind, its architecture, and the pip command that changes it."""

from __future__ import annotations

import os
import platform
import shlex
import struct
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

Kind = Literal["venv", "venv with system site packages", "conda", "externally managed", "none"]

# creates an environment that sees apt's packages; package names follow
NEW = "/usr/bin/python3 -m venv --system-site-packages ~/edgefuse && ~/edgefuse/bin/pip install"
# glibc that the newest aarch64 wheels of onnxruntime and OpenCV need
_NEEDED_GLIBC = (2, 28)


@dataclass(frozen=True, slots=True)
class Environment:
    """The Python environment of a process.

    kind: "externally managed" is a system's Python that pip refuses to change (PEP 668); "none" is any other outside an environment.
    bits: of the interpreter, not the kernel. glibc: version, or None for another C library.
    """

    kind: Kind
    prefix: str
    executable: str
    python: str
    machine: str
    bits: int
    glibc: str | None

    @property
    def arm32(self) -> bool:
        """Whether the user land is 32-bit ARM; the kernel may be 64-bit."""
        return self.bits == 32 and self.machine.startswith(("arm", "aarch64"))

    def pip_install(self, *arguments: str) -> str:
        """Return the command that installs into this environment, or where pip refuses, the one that creates an environment first."""
        words = " ".join(shlex.quote(a) for a in arguments)
        if self.kind == "externally managed":
            packages = " ".join(shlex.quote(a) for a in arguments if not a.startswith("-"))
            return f"{NEW} edgefuse {packages}".rstrip()
        # on a 64-bit kernel pip would choose 64-bit packages
        linux32 = "linux32 " if self.arm32 and self.machine == "aarch64" else ""
        return f"{linux32}{shlex.quote(self.executable)} -m pip install {words}"


def read_environment() -> Environment:
    """Return this process's environment."""
    return Environment(
        kind(Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))), sys.prefix, sys.executable,
        platform.python_version(), platform.machine(), struct.calcsize("P") * 8, _glibc(),
    )  # fmt: skip


def kind(prefix: Path, base: Path, stdlib: Path) -> Kind:
    """Return the kind of environment of an interpreter with these folders."""
    if (prefix / "conda-meta").is_dir():
        return "conda"
    if prefix != base:
        try:
            settings = (prefix / "pyvenv.cfg").read_text("utf-8", "replace")
        except OSError:
            settings = ""
        pairs = {key.strip().lower(): value.strip().lower() for key, _, value in (line.partition("=") for line in settings.splitlines())}
        return "venv with system site packages" if pairs.get("include-system-site-packages") == "true" else "venv"
    return "externally managed" if (stdlib / "EXTERNALLY-MANAGED").exists() else "none"


def _glibc() -> str | None:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    return version if name == "glibc" and version else None


def check_environment(_: Host) -> list[Finding]:
    e = read_environment()
    return [environment_finding(e), platform_finding(e)]


def environment_finding(e: Environment) -> Finding:
    facts = asdict(e)
    what = {
        "venv": f"Python {e.python}, virtual environment {e.prefix}, without system site packages",
        "venv with system site packages": f"Python {e.python}, virtual environment {e.prefix}, with system site packages",
        "conda": f"Python {e.python}, conda environment {e.prefix}; apt's packages (picamera2) can't be seen from it",
        "externally managed": f"Python {e.python}, the system's own, which pip refuses to change (PEP 668)",
        "none": f"Python {e.python} in {e.prefix}, no virtual environment",
    }[e.kind]
    if e.kind == "externally managed":
        return Finding("environment", "warn", what, e.pip_install(), facts)
    return Finding("environment", "ok", what, None, facts)


def platform_finding(e: Environment) -> Finding:
    """Return whether the model runtimes have wheels for this architecture and C library."""
    name = f"{e.machine}, {e.bits}-bit, {f'glibc {e.glibc}' if e.glibc else 'no glibc'}"
    if e.arm32:
        tflite = "tflite-runtime" if tuple(map(int, e.python.split(".")[:2])) < (3, 12) else "none (tflite-runtime ends at Python 3.11)"
        what = f"{name}: no onnxruntime wheel for 32-bit ARM; LiteRT: {tflite}; the numpy runtime is used, slower than on a 64-bit system"
        return Finding("platform", "warn", what)
    if e.glibc is None:
        return Finding("platform", "warn", f"{name}: onnxruntime and LiteRT have wheels for glibc only; the numpy runtime is used")
    if tuple(map(int, e.glibc.split(".")[:2])) < _NEEDED_GLIBC:
        oldest = ".".join(map(str, _NEEDED_GLIBC))
        return Finding("platform", "warn", f"{name}: current wheels need glibc {oldest}; use older wheels or a newer system")
    if e.bits == 64 and e.machine in ("x86_64", "aarch64"):
        return Finding("platform", "ok", f"{name}: every runtime has wheels")
    return Finding("platform", "warn", f"{name}: onnxruntime and LiteRT have wheels for x86_64 and aarch64 only; the numpy runtime is used")
