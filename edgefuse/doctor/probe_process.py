"""Probes that may crash, hang or print, run in their own process: `python -m edgefuse.doctor.probe_process SECONDS PROBE [ARGUMENT]`.

A probe writes one JSON object per line to standard output before each risky step, so that the last line says where it died.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from edgefuse.util.child_process import answers

Report = Callable[..., None]

# package -> the module whose import shows why the installed package does not work
_MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def runtime(report: Report, name: str) -> None:
    """Import a runtime, load the default model with it, run its golden pair."""
    from importlib import import_module, metadata

    from edgefuse import registry, zoo
    from edgefuse.errors import EdgeFuseError, MissingDependencyError
    from edgefuse.runtimes.golden import verify

    report(step="import")
    try:
        kind = registry.get("edgefuse.runtimes", name)
        report(version=kind.version())
    except MissingDependencyError as e:
        for package in (e.package, "tflite-runtime") if name == "litert" else (e.package,):
            try:
                there = metadata.version(package)
                import_module(_MODULES.get(package, package.replace("-", "_")))
            except metadata.PackageNotFoundError:
                continue
            except Exception as cause:
                report(broken=_describe(cause), package=package, version=there)
                return
        report(missing=e.package)
        return
    except EdgeFuseError as e:
        report(broken=str(e))
        return
    except Exception as e:
        report(broken=_describe(e))
        return
    report(step="run")
    report(results=[asdict(r) for r in verify(zoo.find(zoo.DEFAULT_MODEL), name)])


def library(report: Report, name: str) -> None:
    """Import one of the libraries that EdgeFuse requires, and use it."""
    report(step="import")
    {"numpy": _numpy, "opencv": _opencv, "psutil": _psutil}[name](report)


def _numpy(report: Report) -> None:
    import numpy as np

    from edgefuse.util.blas import blas_threads

    report(version=np.__version__, file=np.__file__, step="run")
    # the BLAS chooses its kernels by the processor, and a wrong choice gives wrong results
    a = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    if not np.allclose(a @ a, np.einsum("ij,jk->ik", a.astype(np.float64), a.astype(np.float64)), rtol=1e-3):
        raise ArithmeticError("wrong result of a matrix product")
    report(blas_threads=blas_threads())
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload,index,unused-ignore]
        report(within={str(blas["name"]): str(blas["version"])})
    except (TypeError, KeyError):
        report(within={})  # NumPy 1.24 has no such table


def _opencv(report: Report) -> None:
    import re

    import cv2
    import numpy as np

    report(version=cv2.__version__, file=cv2.__file__, step="run")
    if cv2.resize(np.full((8, 8), 7, np.uint8), (4, 4), interpolation=cv2.INTER_AREA).tolist() != [[7] * 4] * 4:
        raise ArithmeticError("wrong result of resizing an image")
    parts = re.findall(r"^\s+(avcodec|avformat|swscale):\s+YES \(([\d.]+)\)", cv2.getBuildInformation(), re.MULTILINE)
    report(within=dict(parts))


def _psutil(report: Report) -> None:
    import psutil

    report(version=psutil.__version__, file=psutil.__file__, step="run", within={})
    psutil.Process().memory_info()


def picamera2(report: Report) -> None:
    """Import apt's picamera2 beside our NumPy, and list its cameras without opening one."""
    from importlib import import_module, metadata

    import numpy as np

    report(numpy=np.__version__, numpy_file=np.__file__, step="import")
    module = import_module("picamera2")
    cameras = module.Picamera2.global_camera_info

    try:
        version = metadata.version("picamera2")
    except metadata.PackageNotFoundError:
        version = None
    report(version=version, file=module.__file__, step="list")
    report(cameras=[{"model": str(c.get("Model")), "id": str(c.get("Id"))} for c in cameras()])


def cameras(report: Report, root: str) -> None:
    """Query every video device."""
    from pathlib import Path

    from edgefuse.cameras import v4l2_devices

    report(step="ask")
    report(devices=[asdict(d) for d in v4l2_devices.devices(Path(root))], usb=v4l2_devices.usb_ids(Path(root)))


_PROBES: dict[str, Report] = {"runtime": runtime, "library": library, "picamera2": picamera2, "cameras": cameras}


def _describe(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def main() -> None:
    seconds, probe, *arguments = sys.argv[1:]
    signal.alarm(int(seconds))  # ends this process if its parent was killed
    said = answers()

    def report(**answer: Any) -> None:
        said(answer)

    try:
        _PROBES[probe](report, *arguments)
    except BaseException as e:
        report(broken=_describe(e), absent=e.name if isinstance(e, ModuleNotFoundError) else None)
    # skip the libraries' own teardown, whose faults do not matter here
    os._exit(0)


if __name__ == "__main__":
    main()
