"""Checks that NumPy, OpenCV and psutil work here, by importing and using them in a child process."""

from __future__ import annotations

from functools import partial
from importlib import metadata

from edgefuse.board.libraries import PACKAGES, opencv_ignores_ffmpeg_options
from edgefuse.doctor.environment import Environment, read_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.doctor.probe import ProbeResult, run_probe

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
    return [library_finding(name, run_probe(host, "library", name), read_environment(), packages)]


def library_finding(name: str, answer: ProbeResult, e: Environment, packages: dict[str, str]) -> Finding:
    """Return the finding about a library. packages: the installed packages that provide it, with their versions."""
    values, ours = answer.values, _OURS[name]
    label = ", ".join(f"{p} {v}" for p, v in packages.items()) or values.get("version") or ours
    facts = {"version": values.get("version"), "file": values.get("file"), "versions": values.get("within", {})}
    if answer.absent in ("numpy", "cv2", "psutil"):
        return Finding(name, "fail", f"{answer.absent} is not installed", e.pip_install(ours), facts)
    if answer.error:
        if "libGL" in answer.error or len(packages) > 1:
            return Finding(name, "fail", f"{label}: {answer.error}", _only_headless(e, packages), facts)
        version = next(iter(packages.values()), None)
        older = "SIGILL" in answer.error and version is not None
        mend = e.pip_install(f"{ours}<{version}") if older else e.pip_install("--force-reinstall", ours)
        # where /proc is hidden, another build of psutil would not help
        hidden = name == "psutil" and values.get("step") == "run"
        return Finding(name, "fail", f"{label}: {answer.error}", None if hidden else mend, facts)
    if len(packages) > 1:
        what = f"{label}: several packages provide the same module and overwrite each other's files"
        return Finding(name, "warn", what, _only_headless(e, packages), facts)
    if name == "opencv" and opencv_ignores_ffmpeg_options(values.get("version") or ""):
        what = f"{label} ignores the options for network cameras: one that is silent is noticed after 30 s instead of 5"
        return Finding(name, "warn", what, e.pip_install(f"{ours}>=4.12"), facts)
    if "blas_threads" in values:
        facts["blas_threads"] = values["blas_threads"]
    within = ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    return Finding(name, "ok", f"{label} works, {values.get('file')}" + (f" (with {within})" if within else ""), None, facts)


def _only_headless(e: Environment, packages: dict[str, str]) -> str:
    """Return the command that leaves only headless OpenCV, because the other builds need libraries that a server lacks."""
    uninstall = e.pip_install().removesuffix("install ") + f"uninstall -y {' '.join(packages)}"
    return f"{uninstall} && {e.pip_install('opencv-python-headless')}"
