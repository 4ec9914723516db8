"""The network in NumPy, its convolutions compiled: what small networks run on, and where no model runtime has a wheel.

A model's .npz holds its arrays (float32) and, under "graph", a JSON list of steps in UTF-8: {"op", "in", "out", ...}. Steps work
on single pictures, (channels, height, width). Convolutions, almost all of the work, are in `convolution`: compiled, or without
a C compiler NumPy's, too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from edgefuse.errors import ModelError
from edgefuse.runtimes.base import Arrays, Runtime
from edgefuse.runtimes.convolution import Convolution, best
from edgefuse.util.arrays import Float32Array
from edgefuse.zoo import Card, ModelFile


class NumpyRuntime(Runtime):
    """Executes the steps in `_OPERATIONS`."""

    package = "numpy"
    install = "numpy"

    def __init__(self, card: Card, file: ModelFile, threads: int) -> None:
        data, self._path = file.verified(), file.path
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                self._weights = {k: np.ascontiguousarray(arrays[k], np.float32) for k in arrays.files if k != "graph"}
                self._steps: list[dict[str, Any]] = json.loads(arrays["graph"].tobytes().decode())
            self._inputs, self._outputs = [i.name for i in card.inputs], [o.name for o in card.outputs]
            self._check()
            self._convolutions = {s["out"]: self._convolution(s) for s in self._steps if s["op"] == "conv"}
        except Exception as e:  # an archive can be wrong in more ways than zipfile has exceptions for
            raise ModelError(f"{file.path}: not a model for the numpy runtime ({type(e).__name__}: {e})") from e
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @classmethod
    def version(cls) -> str:
        return np.__version__

    def _check(self) -> None:
        """Raises where a step could not be run: better now than at the first frame."""
        made = set(self._inputs)
        for step in self._steps:
            inputs, arity = step["in"], _ARITY[step["op"]]
            if (len(inputs) < 2 if step["op"] == "concat" else len(inputs) != arity) or not made.issuperset(inputs):
                raise ValueError(f"step {step['out']!r} takes {arity} tensors made before it, not {inputs}")
            if step["op"] == "conv":
                weight, bias = self._weights[step["weight"]], self._weights[step["bias"]]
                kernel = weight.shape[2]
                dilation, stride = step.get("dilation", 1), step.get("stride", 1)
                if weight.ndim != 4 or weight.shape[3] != kernel or kernel % 2 == 0 or bias.shape != weight.shape[:1]:
                    raise ValueError(f"step {step['out']!r}: weight {weight.shape} and bias {bias.shape} are no convolution's")
                if not isinstance(dilation, int) or dilation < 1 or step.get("groups", 1) not in (1, weight.shape[0]):
                    raise ValueError(f"step {step['out']!r}: dilation {dilation!r} or groups {step.get('groups')!r} can't be run")
                if not isinstance(stride, int) or stride < 1:
                    raise ValueError(f"step {step['out']!r}: stride {stride!r} can't be run")
            made.add(step["out"])
        if not made.issuperset(self._outputs):
            raise ValueError(f"no step makes {', '.join(sorted(set(self._outputs) - made))}")

    def _convolution(self, step: dict[str, Any]) -> Convolution:
        how = (step.get(key, default) for key, default in (("dilation", 1), ("stride", 1), ("groups", 1), ("relu", False)))
        return best()(self._weights[step["weight"]], self._weights[step["bias"]], *how)

    def run(self, inputs: Arrays) -> dict[str, Float32Array]:
        held: dict[str, Float32Array] = {name: inputs[name][0] for name in self._inputs}
        last_use = {name: k for k, step in enumerate(self._steps) for name in step["in"]}
        for k, step in enumerate(self._steps):
            held[step["out"]] = _OPERATIONS[step["op"]](self, step, *(held[name] for name in step["in"]))
            for name in step["in"]:
                if last_use[name] == k and name not in self._outputs:
                    held.pop(name, None)
        # a convolution's own memory is not handed out
        return {name: held[name][None].copy() if name in self._convolutions else held[name][None] for name in self._outputs}

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
            self._pool = None

    def _conv(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        how = self._convolutions[step["out"]]
        if x.shape[0] != how.inputs:
            # NumPy would broadcast a single channel over all that the weight has
            raise ModelError(f"{self._path}: step {step['out']!r} takes {how.inputs} channels, not {x.shape[0]}")
        return how(x, self._pool)

    def _centre(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        return x - x.mean(axis=(1, 2), keepdims=True)

    def _concat(self, step: dict[str, Any], *parts: Float32Array) -> Float32Array:
        return np.concatenate(parts)

    def _largest(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """The largest of each 2 x 2."""
        tall = np.maximum(x[:, ::2], x[:, 1::2])
        return np.maximum(tall[:, :, ::2], tall[:, :, 1::2])

    def _enlarge(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """Each pixel as 2 x 2."""
        return x.repeat(2, axis=1).repeat(2, axis=2)

    def _shuffle(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """Four channels as the pixels of 2 x 2, row by row."""
        channels, height, width = x.shape
        return x.reshape(2, 2, channels // 4, height, width).transpose(2, 3, 0, 4, 1).reshape(channels // 4, 2 * height, 2 * width)

    def _add(self, step: dict[str, Any], a: Float32Array, b: Float32Array) -> Float32Array:
        return a + b

    def _attend(self, step: dict[str, Any], a: Float32Array, b: Float32Array) -> Float32Array:
        """NestFuse's fusion: the mean of spatial attention (by the features' mean in each pixel) and channel attention (over the frame)."""
        apart = (a.mean(axis=0) - b.mean(axis=0)) * np.float32(step["contrast"])
        p, q = (x.mean(axis=(1, 2)) if step["attention"] == "average" else x.max(axis=(1, 2)) for x in (a, b))
        share = 0.25 * np.tanh(0.5 * apart) + np.float32(0.25) + (0.5 * p / (p + q + np.float32(1e-6)))[:, None, None]
        return b + share * (a - b)

    def _widen(self, step: dict[str, Any], x: Float32Array) -> Float32Array:
        """The largest of each 3 x 3 neighbourhood."""
        tall = x.copy()
        np.maximum(tall[:, 1:], x[:, :-1], out=tall[:, 1:])
        np.maximum(tall[:, :-1], x[:, 1:], out=tall[:, :-1])
        wide = tall.copy()
        np.maximum(wide[:, :, 1:], tall[:, :, :-1], out=wide[:, :, 1:])
        np.maximum(wide[:, :, :-1], tall[:, :, 1:], out=wide[:, :, :-1])
        return wide

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
