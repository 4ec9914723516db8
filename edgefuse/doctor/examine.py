"""All checks at once, none of which can hold the others up."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping

from edgefuse.doctor.cameras import check_cameras
from edgefuse.doctor.clock import check_clock
from edgefuse.doctor.core import check_core
from edgefuse.doctor.disk import check_disk
from edgefuse.doctor.environment import check_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.fit import check_fit
from edgefuse.doctor.host import Host
from edgefuse.doctor.libraries import library_checks
from edgefuse.doctor.memory import check_memory
from edgefuse.doctor.models import check_models
from edgefuse.doctor.picamera import check_picamera2
from edgefuse.doctor.power import check_power
from edgefuse.doctor.runtimes import runtime_checks
from edgefuse.doctor.unit import check_unit

Check = Callable[[Host], list[Finding]]

_LOOK_S = 0.1
_PATIENCE_S = 200.0  # for all of them; a child is killed after 60, and three run at a time


def checks() -> dict[str, Check]:
    """Every check by name, in the report's order."""
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
    host: Host, wanted: Mapping[str, Check], progress: Callable[[int], None] = lambda _: None, patience_s: float = _PATIENCE_S
) -> list[Finding]:
    """Run the checks side by side; `progress` is told how many are done. Raises KeyboardInterrupt where `host` was stopped."""
    done: queue.Queue[tuple[str, list[Finding] | BaseException]] = queue.Queue()

    def work(name: str, check: Check) -> None:
        try:
            done.put((name, check(host)))
        except BaseException as e:
            done.put((name, e))

    for name, check in wanted.items():
        # daemons: a read that never returns, as of a dead network disk, must not keep the process
        try:
            threading.Thread(target=work, args=(name, check), name=name, daemon=True).start()
        except RuntimeError:
            work(name, check)  # a limit on threads or memory: then one after the other
    found: dict[str, list[Finding]] = {}
    until = time.monotonic() + patience_s
    while len(found) < len(wanted):
        try:
            name, result = done.get(timeout=_LOOK_S)
        except queue.Empty:
            if host.stopped:
                raise KeyboardInterrupt from None
            if time.monotonic() > until:
                break
            continue
        if isinstance(result, KeyboardInterrupt):
            raise result
        found[name] = [_broken(name, result)] if isinstance(result, BaseException) else result
        progress(len(found))
    late = f"no answer in {patience_s:.0f} s"
    return [f for name in wanted for f in found.get(name, [Finding(name, "fail", late)])]


def _broken(name: str, error: BaseException) -> Finding:
    """A check of ours that has a fault is no reason to lose the others."""
    if isinstance(error, OSError | MemoryError):
        return Finding(name, "fail", f"not checked: {error or 'out of memory'}")
    return Finding(name, "fail", f"this check itself failed ({type(error).__name__}: {error}); please report it")
