"""LiteRT (TensorFlow Lite): ai-edge-litert, or tflite-runtime if only that is installed."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import MissingDependencyError, ModelError
from edgefuse.runtimes import tflite_graph
from edgefuse.runtimes.base import Arrays, Runtime
from edgefuse.runtimes.graph import Limiter
from edgefuse.util.native_stderr import native_stderr
from edgefuse.zoo import Card, ModelFile


class LitertRuntime(Runtime):
    """The LiteRT interpreter with its default XNNPACK delegate. Tensors are resized when the frame's size changes."""

    package = "ai-edge-litert"
    install = "'edgefuse[litert]'"

    def __init__(self, card: Card, file: ModelFile, threads: int) -> None:
        interpreter, _ = _import()
        # the interpreter reads from this buffer as long as it lives
        self._content, self._path = file.verified(), file.path
        self._limiter = Limiter(file.path, tflite_graph.read, self._content)
        try:
            # suppress its start-up log; errors are raised as exceptions, too
            with native_stderr():
                self._interpreter = interpreter(model_content=self._content, num_threads=threads)
            self._inputs = {i.name: self._index(self._interpreter.get_input_details(), i.name) for i in card.inputs}
            self._outputs = {o.name: self._index(self._interpreter.get_output_details(), o.name) for o in card.outputs}
        except (ValueError, RuntimeError) as e:
            raise ModelError(f"{file.path}: LiteRT can't load it ({str(e).splitlines()[0][:160]})") from e
        self._shapes: dict[str, tuple[int, ...]] = {}

    @staticmethod
    def _index(details: list[dict[str, Any]], name: str) -> int:
        # exported names are SIGNATURE_NAME or SIGNATURE_NAME_output, with or without a ":0"
        for d in details:
            if d["name"].split(":")[0].removesuffix("_output").endswith(f"_{name}"):
                return int(d["index"])
        raise ValueError(f"no tensor called {name}; known: {', '.join(d['name'] for d in details)}")

    @classmethod
    def version(cls) -> str:
        return _import()[1]

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        shapes = {name: array.shape for name, array in inputs.items()}
        if shapes != self._shapes:
            self._limiter.check({str(index): shapes[name] for name, index in self._inputs.items()})
        try:
            if shapes != self._shapes:
                self._resize(shapes)
            for name, index in self._inputs.items():
                self._interpreter.set_tensor(index, inputs[name])
            self._interpreter.invoke()
            return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}
        except (ValueError, RuntimeError) as e:
            sizes = ", ".join(map(str, shapes.values()))
            raise ModelError(f"{self._path}: LiteRT can't run it on {sizes} ({str(e).splitlines()[0][:160]})") from e

    def _resize(self, shapes: dict[str, tuple[int, ...]]) -> None:
        with native_stderr():
            for name, index in self._inputs.items():
                self._interpreter.resize_tensor_input(index, shapes[name])
            self._interpreter.allocate_tensors()
        self._shapes = shapes


def _import() -> tuple[Any, str]:
    """(the Interpreter class, the package's version)."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, metadata.version("ai-edge-litert")
    except ImportError:
        pass
    try:
        from tflite_runtime.interpreter import Interpreter

        return Interpreter, metadata.version("tflite-runtime")
    except ImportError as e:
        raise MissingDependencyError("ai-edge-litert", "the litert runtime", LitertRuntime.install) from e
