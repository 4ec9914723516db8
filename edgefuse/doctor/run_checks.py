"""Run all checks in parallel threads, so that one that hangs does not block the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping

from edgefuse.doctor.cameras import check_cameras
from edgefuse.doctor.clock import check_clock
from edgefuse.doctor.compiled_core import check_core
from edgefuse.doctor.disk import check_disk
from edgefuse.doctor.environment import check_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.doctor.libraries import library_checks
from edgefuse.doctor.memory import check_memory
from edgefuse.doctor.model_memory import check_fit
from edgefuse.doctor.models import check_models
from edgefuse.doctor.picamera import check_picamera2
from edgefuse.doctor.power import check_power
from edgefuse.doctor.runtimes import runtime_checks
from edgefuse.doctor.systemd_unit import check_unit

Check = Callable[[Host], list[Finding]]

_POLL_S = 0.1
_TIMEOUT_S = 200.0  # for all checks; a child is killed after 60 s, and three run at a time


def checks() -> dict[str, Check]:
    """Return every check by name, in the order of the report."""
    return {
        "environment": check_environment,
        **library_checks(),
        "compiled core": check_core,
        **runtime_checks(),
        "models": check_models,
        "picamera2": check_picamera2,
        "cameras": check_cameras,
        "power": check_power,
        "memory": check_memory,
        "large models": check_fit,
        "disk": check_disk,
        "clock": check_clock,
        "service": check_unit,
    }


def examine(
    host: Host, checks_to_run: Mapping[str, Check], progress: Callable[[int], None] = lambda _: None, timeout_s: float = _TIMEOUT_S
) -> list[Finding]:
    """Run the checks in parallel; `progress` gets the number that are done. Raises KeyboardInterrupt after `host.stop()`."""
    done: queue.Queue[tuple[str, list[Finding] | BaseException]] = queue.Queue()

    def work(name: str, check: Check) -> None:
        try:
            done.put((name, check(host)))
        except BaseException as e:
            done.put((name, e))

    for name, check in checks_to_run.items():
        # daemon threads: a read that never returns (a dead network disk) must not keep the process alive
        try:
            threading.Thread(target=work, args=(name, check), name=name, daemon=True).start()
        except RuntimeError:
            work(name, check)  # thread or memory limit reached: run the checks one after the other
    findings: dict[str, list[Finding]] = {}
    until = time.monotonic() + timeout_s
    while len(findings) < len(checks_to_run):
        try:
            name, result = done.get(timeout=_POLL_S)
        except queue.Empty:
            if host.stopped:
                raise KeyboardInterrupt from None
            if time.monotonic() > until:
                break
            continue
        if isinstance(result, KeyboardInterrupt):
            raise result
        findings[name] = [_failed_check(name, result)] if isinstance(result, BaseException) else result
        progress(len(findings))
    message = f"no answer in {timeout_s:.0f} s"
    return [f for name in checks_to_run for f in findings.get(name, [Finding(name, "fail", message)])]


def _failed_check(name: str, error: BaseException) -> Finding:
    """Turn an exception in a check into a finding, so that the other checks still report."""
    if isinstance(error, OSError | MemoryError):
        return Finding(name, "fail", f"not checked: {error or 'out of memory'}")
    return Finding(name, "fail", f"this check itself failed ({type(error).__name__}: {error}); please report it")
