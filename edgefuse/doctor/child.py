"""What may crash, hang or print, in a process of its own: `python -m edgefuse.doctor.child SECONDS PROBE [ARGUMENT]`.

Each step is one JSON object on a line of standard output, before what may not come back, so that the last one names where it died.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

Tell = Callable[..., None]

# what to import to learn why a package that is installed can't be
_MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def runtime(tell: Tell, name: str) -> None:
    """Import a runtime, load the default model with it, run its golden pair."""
    from importlib import import_module, metadata

    from edgefuse import registry, zoo
    from edgefuse.errors import EdgeFuseError, MissingDependencyError
    from edgefuse.runtimes.golden import verify

    tell(step="import")
    try:
        kind = registry.get("edgefuse.runtimes", name)
        tell(version=kind.version())
    except MissingDependencyError as e:
        for package in (e.package, "tflite-runtime") if name == "litert" else (e.package,):
            try:
                there = metadata.version(package)
                import_module(_MODULES.get(package, package.replace("-", "_")))
            except metadata.PackageNotFoundError:
                continue
            except Exception as cause:
                tell(broken=_words(cause), package=package, version=there)
                return
        tell(missing=e.package)
        return
    except EdgeFuseError as e:
        tell(broken=str(e))
        return
    except Exception as e:
        tell(broken=_words(e))
        return
    tell(step="run")
    tell(results=[asdict(r) for r in verify(zoo.find(zoo.DEFAULT_MODEL), name)])


def library(tell: Tell, name: str) -> None:
    """Import one of the libraries that EdgeFuse can't do without, and use it."""
    tell(step="import")
    {"numpy": _numpy, "opencv": _opencv, "psutil": _psutil}[name](tell)


def _numpy(tell: Tell) -> None:
    import numpy as np

    tell(version=np.__version__, file=np.__file__, step="run")
    # the BLAS chooses its kernels by the processor, and may choose wrong
    a = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    if not np.allclose(a @ a, np.einsum("ij,jk->ik", a.astype(np.float64), a.astype(np.float64)), rtol=1e-3):
        raise ArithmeticError("a matrix product is wrong")
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload,index,unused-ignore]
        tell(within={str(blas["name"]): str(blas["version"])})
    except (TypeError, KeyError):
        tell(within={})  # NumPy 1.24 has no such table


def _opencv(tell: Tell) -> None:
    import re

    import cv2
    import numpy as np

    tell(version=cv2.__version__, file=cv2.__file__, step="run")
    if cv2.resize(np.full((8, 8), 7, np.uint8), (4, 4), interpolation=cv2.INTER_AREA).tolist() != [[7] * 4] * 4:
        raise ArithmeticError("a resized image is wrong")
    parts = re.findall(r"^\s+(avcodec|avformat|swscale):\s+YES \(([\d.]+)\)", cv2.getBuildInformation(), re.MULTILINE)
    tell(within=dict(parts))


def _psutil(tell: Tell) -> None:
    import psutil

    tell(version=psutil.__version__, file=psutil.__file__, step="run", within={})
    psutil.Process().memory_info()


def picamera2(tell: Tell) -> None:
    """Import apt's picamera2 beside our NumPy, and list its cameras without opening one."""
    from importlib import import_module, metadata

    import numpy as np

    tell(numpy=np.__version__, numpy_file=np.__file__, step="import")
    module = import_module("picamera2")
    cameras = module.Picamera2.global_camera_info

    try:
        version = metadata.version("picamera2")
    except metadata.PackageNotFoundError:
        version = None
    tell(version=version, file=module.__file__, step="list")
    tell(cameras=[{"model": str(c.get("Model")), "id": str(c.get("Id"))} for c in cameras()])


def cameras(tell: Tell, root: str) -> None:
    """Ask every video device what it is."""
    from pathlib import Path

    from edgefuse.cameras import v4l2_devices

    tell(step="ask")
    tell(devices=[asdict(d) for d in v4l2_devices.devices(Path(root))], usb=v4l2_devices.usb_ids(Path(root)))


_PROBES: dict[str, Tell] = {"runtime": runtime, "library": library, "picamera2": picamera2, "cameras": cameras}


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def main() -> None:
    seconds, probe, *arguments = sys.argv[1:]
    signal.alarm(int(seconds))  # should our parent be gone
    # what libraries print is no answer of ours
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        _PROBES[probe](tell, *arguments)
    except BaseException as e:
        tell(broken=_words(e), absent=e.name if isinstance(e, ModuleNotFoundError) else None)
    # what a library does while it is torn down is no finding of ours
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
