"""NumPy, OpenCV and psutil, imported and used in a child: do they fit this machine and one another?"""

from __future__ import annotations

from functools import partial
from importlib import metadata

from edgefuse.board.libraries import PACKAGES
from edgefuse.doctor.ask import Answer, ask
from edgefuse.doctor.environment import Environment, read_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

_OURS = {"numpy": "numpy", "opencv": "opencv-python-headless", "psutil": "psutil"}


def library_checks() -> dict[str, partial[list[Finding]]]:
    return {name: partial(check_library, name) for name in _OURS}


def check_library(name: str, host: Host) -> list[Finding]:
    packages = {}
    for package in PACKAGES[name]:
        try:
            packages[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return [library_finding(name, ask(host, "library", name), read_environment(), packages)]


def library_finding(name: str, answer: Answer, e: Environment, packages: dict[str, str]) -> Finding:
    """packages: those installed that bring the library, with their versions."""
    told, ours = answer.told, _OURS[name]
    label = ", ".join(f"{p} {v}" for p, v in packages.items()) or told.get("version") or ours
    facts = {"version": told.get("version"), "file": told.get("file"), "versions": told.get("within", {})}
    if answer.absent in ("numpy", "cv2", "psutil"):
        return Finding(name, "fail", f"{answer.absent} is not installed", e.pip_install(ours), facts)
    if answer.trouble:
        if "libGL" in answer.trouble or len(packages) > 1:
            return Finding(name, "fail", f"{label}: {answer.trouble}", _only_headless(e, packages), facts)
        version = next(iter(packages.values()), None)
        older = "SIGILL" in answer.trouble and version is not None
        mend = e.pip_install(f"{ours}<{version}") if older else e.pip_install("--force-reinstall", ours)
        # where /proc is hidden, another build of psutil would not see it either
        hidden = name == "psutil" and told.get("step") == "run"
        return Finding(name, "fail", f"{label}: {answer.trouble}", None if hidden else mend, facts)
    if len(packages) > 1:
        what = f"{label}: several packages bring one module, and overwrite one another's files"
        return Finding(name, "warn", what, _only_headless(e, packages), facts)
    within = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    return Finding(name, "ok", f"{label} works, {told.get('file')}" + (f" (with {within})" if within else ""), None, facts)


def _only_headless(e: Environment, packages: dict[str, str]) -> str:
    """OpenCV without windows, alone: the others need libraries that a server lacks."""
    uninstall = e.pip_install().removesuffix("install ") + f"uninstall -y {' '.join(packages)}"
    return f"{uninstall} && {e.pip_install('opencv-python-headless')}"
