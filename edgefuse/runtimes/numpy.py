"""Runs networks in NumPy with compiled convolutions: for small networks, and where no other runtime has a wheel.

A model's .npz holds its arrays (float32) and, under "graph", a JSON list of steps in UTF-8: {"op", "in", "out", ...}. Steps work
on single pictures, (channels, height, width). Convolutions, almost all of the work, are in `convolution`, compiled or in NumPy.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from edgefuse.errors import ModelError
from edgefuse.runtimes.base import Arrays, Runtime
from edgefuse.runtimes.convolution import MAX_CHANNELS, MAX_REACH, MAX_STRIDE, Convolution, best
from edgefuse.util.arrays import Float32Array
from edgefuse.zoo import Card, ModelFile

_MAX_STEPS = 4096
_MAX_BYTES = 1 << 28  # of all arrays of a file
_MAX_ELEMENTS = 1 << 28  # values that a step may take, or make of them; convolutions have a limit of their own


def _check_size(data: bytes) -> None:
    """Raise ValueError for an archive that unpacks to more than a model may have."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if (size := sum(member.file_size for member in archive.infolist())) > _MAX_BYTES:
            raise ValueError(f"its arrays take {size} bytes, more than {_MAX_BYTES}")


class NumpyRuntime(Runtime):
    """Executes the steps in `_OPERATIONS`."""

    package = "numpy"
    install = "numpy"

    def __init__(self, card: Card, file: ModelFile, threads: int) -> None:
        data, self._path = file.verified(), file.path
        try:
            _check_size(data)
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                self._weights = {k: np.ascontiguousarray(arrays[k], np.float32) for k in arrays.files if k != "graph"}
                self._steps: list[dict[str, Any]] = json.loads(arrays["graph"].tobytes().decode())
            self._inputs, self._outputs = [i.name for i in card.inputs], [o.name for o in card.outputs]
            self._check()
            self._convolutions = {s["out"]: self._convolution(s) for s in self._steps if s["op"] == "conv"}
        except Exception as e:  # damaged archives raise many exception types
            raise ModelError(f"{file.path}: not a model for the numpy runtime ({type(e).__name__}: {e})") from e
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @classmethod
    def version(cls) -> str:
        return np.__version__

    def _check(self) -> None:
        """Raises ValueError for steps that can't run, so that this is reported at load time and not at the first frame."""
        available = set(self._inputs)
        if not isinstance(self._steps, list) or len(self._steps) > _MAX_STEPS:
            raise ValueError(f"its graph is no list of at most {_MAX_STEPS} steps")
        for step in self._steps:
            inputs, arity = step["in"], _ARITY[step["op"]]
            if (len(inputs) < 2 if step["op"] == "concat" else len(inputs) != arity) or not available.issuperset(inputs):
                raise ValueError(f"step {step['out']!r} takes {arity} tensors made before it, not {inputs}")
            if step["op"] == "conv":
                self._check_convolution(step)
            if step["op"] == "attend" and (step["attention"] not in ("average", "max") or not math.isfinite(step["contrast"])):
                raise ValueError(f"step {step['out']!r}: attention {step['attention']!r} or contrast {step['contrast']!r} can't be run")
            available.add(step["out"])
        if not available.issuperset(self._outputs):
            raise ValueError(f"no step makes {', '.join(sorted(set(self._outputs) - available))}")

    def _check_convolution(self, step: dict[str, Any]) -> None:
        """Raises ValueError for a convolution with numbers that compiled code can't take."""
        weight, bias = self._weights[step["weight"]], self._weights[step["bias"]]
        if weight.ndim != 4 or weight.shape[3] != weight.shape[2] or weight.shape[2] % 2 == 0 or bias.shape != weight.shape[:1]:
            raise ValueError(f"step {step['out']!r}: weight {weight.shape} and bias {bias.shape} are no convolution's")
        outputs, each, kernel, _ = weight.shape
        given = {key: step.get(key, 1) for key in ("dilation", "stride", "groups")}
        # of type int: True is an int, too
        whole = all(type(value) is int and value >= 1 for value in given.values()) and type(step.get("relu", False)) in (bool, int)
        if not whole or given["groups"] not in (1, outputs) or given["dilation"] > MAX_REACH or given["stride"] > MAX_STRIDE:
            raise ValueError(f"step {step['out']!r}: {', '.join(f'{k} {v!r}' for k, v in given.items())} can't be run")
        if given["groups"] > 1 and each != 1:
            raise ValueError(f"step {step['out']!r}: {given['groups']} groups of {each} channels can't be run, only of one")
        if not (1 <= outputs <= MAX_CHANNELS and 1 <= each <= MAX_CHANNELS) or kernel // 2 * given["dilation"] > MAX_REACH:
            raise ValueError(f"step {step['out']!r}: weight {weight.shape} at dilation {given['dilation']} is too large")

    def _convolution(self, step: dict[str, Any]) -> Convolution:
        options = (step.get(key, default) for key, default in (("dilation", 1), ("stride", 1), ("groups", 1), ("relu", False)))
        return best()(self._weights[step["weight"]], self._weights[step["bias"]], *options)

    def run(self, inputs: Arrays) -> dict[str, Float32Array]:
        tensors: dict[str, Float32Array] = {name: inputs[name][0] for name in self._inputs}
        last_use = {name: k for k, step in enumerate(self._steps) for name in step["in"]}
        for k, step in enumerate(self._steps):
            given = [tensors[name] for name in step["in"]]
            size = sum(x.size for x in given) * (4 if step["op"] == "enlarge" else 1)
            if size > _MAX_ELEMENTS:
                raise ModelError(f"{self._path}: step {step['out']!r} takes or makes {size} values, more than {_MAX_ELEMENTS}")
            try:
                tensors[step["out"]] = _OPERATIONS[step["op"]](self, step, *given)
            except (ValueError, IndexError) as e:
                raise ModelError(f"{self._path}: step {step['out']!r} can't be run on {[x.shape for x in given]} ({e})") from None
            for name in step["in"]:
                if last_use[name] == k and name not in self._outputs:
                    tensors.pop(name, None)
        # copy, because a convolution reuses its output memory
        return {name: tensors[name][None].copy() if name in self._convolutions else tensors[name][None] for name in self._outputs}

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
            self._pool = None

    def _conv(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        convolution = self._convolutions[step["out"]]
        if x.shape[0] != convolution.inputs:
            # NumPy would silently broadcast a single channel
            raise ModelError(f"{self._path}: step {step['out']!r} takes {convolution.inputs} channels, not {x.shape[0]}")
        return convolution(x, self._pool)

    def _centre(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        return x - x.mean(axis=(1, 2), keepdims=True)

    def _concat(self, step: dict[str, Any], *parts: Float32Array) -> Float32Array:
        return np.concatenate(parts)

    def _largest(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """Max pooling of 2 x 2."""
        row_max = np.maximum(x[:, ::2], x[:, 1::2])
        return np.maximum(row_max[:, :, ::2], row_max[:, :, 1::2])

    def _enlarge(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """Nearest-neighbour upsampling by 2."""
        return x.repeat(2, axis=1).repeat(2, axis=2)

    def _shuffle(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """Depth to space: every four channels become 2 x 2 pixels, row by row."""
        channels, height, width = x.shape
        return x.reshape(2, 2, channels // 4, height, width).transpose(2, 3, 0, 4, 1).reshape(channels // 4, 2 * height, 2 * width)

    def _add(self, step: dict[str, Any], a: Float32Array, b: Float32Array) -> Float32Array:
        return a + b

    def _attend(self, step: dict[str, Any], a: Float32Array, b: Float32Array) -> Float32Array:
        """NestFuse's fusion: mean of spatial attention (channel mean at each pixel) and channel attention (over the frame)."""
        difference = (a.mean(axis=0) - b.mean(axis=0)) * np.float32(step["contrast"])
        p, q = (x.mean(axis=(1, 2)) if step["attention"] == "average" else x.max(axis=(1, 2)) for x in (a, b))
        weight = 0.25 * np.tanh(0.5 * difference) + np.float32(0.25) + (0.5 * p / (p + q + np.float32(1e-6)))[:, None, None]
        return b + weight * (a - b)

    def _widen(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """Dilation: maximum over each 3 x 3 neighbourhood."""
        vertical = x.copy()
        np.maximum(vertical[:, 1:], x[:, :-1], out=vertical[:, 1:])
        np.maximum(vertical[:, :-1], x[:, 1:], out=vertical[:, :-1])
        both = vertical.copy()
        np.maximum(both[:, :, 1:], vertical[:, :, :-1], out=both[:, :, 1:])
        np.maximum(both[:, :, :-1], vertical[:, :, 1:], out=both[:, :, :-1])
        return both

    def _max(self, step: dict[str, Any], a: Float32Array, b: Float32Array) -> Float32Array:
        return np.maximum(a, b)

    def _sigmoid(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        # tanh never overflows, 1 / (1 + exp(-x)) does
        return 0.5 * np.tanh(0.5 * x) + np.float32(0.5)

    def _clip(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        return np.clip(x, 0, 1)

    def _blend(self, step: dict[str, Any], visible: Float32Array, infrared: Float32Array, blending_map: Float32Array) -> Float32Array:
        """MobileFuse, Eq. 1: visible M + infrared (1 - M)."""
        return infrared + blending_map * (visible - infrared)


_ARITY = {
    "centre": 1, "concat": 2, "conv": 1, "max": 2, "widen": 1, "sigmoid": 1, "clip": 1, "blend": 3,
    "pool": 1, "enlarge": 1, "shuffle": 1, "add": 2, "attend": 2,
}  # fmt: skip
_OPERATIONS: dict[str, Callable[..., Float32Array]] = {
    "centre": NumpyRuntime._centre,
    "concat": NumpyRuntime._concat,
    "widen": NumpyRuntime._widen,
    "conv": NumpyRuntime._conv,
    "max": NumpyRuntime._max,
    "sigmoid": NumpyRuntime._sigmoid,
    "clip": NumpyRuntime._clip,
    "blend": NumpyRuntime._blend,
    "pool": NumpyRuntime._largest,
    "enlarge": NumpyRuntime._enlarge,
    "shuffle": NumpyRuntime._shuffle,
    "add": NumpyRuntime._add,
    "attend": NumpyRuntime._attend,
}
