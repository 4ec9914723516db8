"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import MissingDependencyError, ModelError
from edgefuse.runtimes import onnx_graph
from edgefuse.runtimes.base import Arrays, Runtime
from edgefuse.runtimes.graph import Limiter
from edgefuse.zoo import Card, ModelFile

# of a tensor whose values are in another file: key of an entry in protobuf (field 1, 8 bytes)
_ELSEWHERE = b"\x0a\x08location"


class OnnxRuntime(Runtime):
    """onnxruntime's CPU provider with sequential execution; threads do not spin between frames."""

    package = "onnxruntime"
    install = "onnxruntime"

    def __init__(self, card: Card, file: ModelFile, threads: int) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        # cached memory plans per frame size would save a twentieth of the time and cost a third of the peak memory
        options.enable_mem_pattern = False
        # spinning threads heat a Pi's cores without benefit
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        data, self._path = checked(file.verified(), file.path), file.path
        self._limiter = Limiter(file.path, onnx_graph.read, data)
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise ModelError(f"{file.path}: onnxruntime {ort.__version__} can't load it ({str(e).splitlines()[0][:160]})") from e
        self._outputs = [o.name for o in self._session.get_outputs()]

    @classmethod
    def version(cls) -> str:
        return str(import_onnxruntime().__version__)

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        self._limiter.check({name: array.shape for name, array in inputs.items()})
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))
        except Exception as e:  # its own types, which are not documented
            sizes = ", ".join(str(array.shape) for array in inputs.values())
            raise ModelError(f"{self._path}: onnxruntime can't run it on {sizes} ({str(e).splitlines()[0][:160]})") from e


def checked(data: bytes, path: Path) -> bytes:
    """Return a model's bytes. Raises ModelError if it takes values from other files: they have no sha256, and may be any file's."""
    if _ELSEWHERE in data:
        raise ModelError(f"{path}: its values are in other files (external data), or a tensor is called location; save it as one file")
    return data


def import_onnxruntime(what: str = "the onnx runtime") -> Any:
    """The module onnxruntime, quiet and with its telemetry off.

    From version 1.29 on it writes a device identifier to ~/.cache and sends usage to Microsoft; it reads ORT_DISABLE_TELEMETRY once,
    while it is imported. Somebody who sets that variable keeps their choice. Raises MissingDependencyError, saying what needs it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as e:
        raise MissingDependencyError("onnxruntime", what, "onnxruntime") from e
    onnxruntime.set_default_logger_severity(3)
    return onnxruntime
