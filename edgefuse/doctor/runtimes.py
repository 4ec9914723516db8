"""Check of each runtime: import it, load the default model and run its golden pair, in a child process that may crash."""

from __future__ import annotations

from functools import partial
from importlib import metadata

from edgefuse import registry
from edgefuse.doctor.environment import Environment, read_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.doctor.models import reinstall
from edgefuse.doctor.probe import ProbeResult, run_probe
from edgefuse.zoo import DEFAULT_MODEL

# runtime -> its packages; the first one installed counts
_PACKAGES = {"onnx": ("onnxruntime",), "litert": ("ai-edge-litert", "tflite-runtime"), "numpy": ("numpy",)}


def runtime_checks() -> dict[str, partial[list[Finding]]]:
    """Return a check for each known runtime, including plugins'."""
    return {f"runtime {name}": partial(check_runtime, name) for name in registry.names("edgefuse.runtimes")}


def check_runtime(name: str, host: Host) -> list[Finding]:
    return [runtime_finding(name, run_probe(host, "runtime", name), read_environment(), installed(name))]


def installed(name: str) -> tuple[str, str] | None:
    """Return (package, version) of a built-in runtime from package metadata, without importing it; None where it is not installed."""
    for package in _PACKAGES.get(name, ()):
        try:
            return package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def runtime_finding(name: str, answer: ProbeResult, e: Environment, package: tuple[str, str] | None) -> Finding:
    """Return the finding for the child's answer. package: the runtime's package and version."""
    title, values = f"runtime {name}", answer.values
    label = " ".join(package) if package else name
    facts = {"version": values.get("version") or (package[1] if package else None), "results": values.get("results", [])}
    if answer.error:
        return Finding(title, "fail", f"{label}: {answer.error}", _replace(e, package, answer.error), facts)
    if values.get("missing"):
        return _missing(name, values["missing"], e, facts)
    results = values.get("results", [])
    failed = [r for r in results if r["status"] != "ok"]
    if failed:
        what = f"{label}: the golden pair of {DEFAULT_MODEL} fails: " + "; ".join(f"{r['file']}: {r['note']}" for r in failed)
        return Finding(title, "fail", what, reinstall(e) if any("sha256" in r["note"] for r in failed) else _replace(e, package, ""), facts)
    if not results:
        return Finding(title, "ok", f"{label} can be imported; {DEFAULT_MODEL} has no file for it", None, facts)
    runs = ", ".join(f"{r['precision']} off by {r['difference']:.5f}" for r in results)
    allowed = max(r["tolerance"] for r in results)
    return Finding(title, "ok", f"{label} runs {DEFAULT_MODEL}'s golden pair: {runs} (allowed: {allowed:.5f})", None, facts)


def _missing(name: str, package: str, e: Environment, facts: dict[str, object]) -> Finding:
    what = f"{package} is not installed"
    if name == "onnx" and not e.arm32 and e.glibc:
        return Finding("runtime onnx", "warn", f"{what}; EdgeFuse requires it here", e.pip_install("onnxruntime"), facts)
    if name == "onnx":
        return Finding("runtime onnx", "ok", f"{what}: there is no wheel for this system", None, facts)
    what += f"; optional, faster for int8 models; install it with: {e.pip_install('edgefuse[litert]')}" if name == "litert" else ""
    return Finding(f"runtime {name}", "ok", what, None, facts)


def _replace(e: Environment, package: tuple[str, str] | None, error: str) -> str | None:
    """Return the command that installs another build of a package: an older one where the processor lacks an instruction."""
    if package is None:
        return None
    name, version = package
    if "SIGILL" in error:
        return e.pip_install(f"{name}<{version}")
    return e.pip_install("--force-reinstall", "--no-deps", f"{name}=={version}")
