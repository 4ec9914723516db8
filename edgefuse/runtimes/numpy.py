"""The network in NumPy alone: the fallback where no model runtime has a wheel (32-bit Raspberry Pi OS).

A model's .npz holds its arrays (float32) and, under "graph", a JSON list of steps in UTF-8: {"op", "in", "out", ...}. Steps work
on single pictures, (channels, height, width), a strip of rows at a time so that what they touch stays in the cache.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import ModelError
from edgefuse.runtimes.base import Arrays, Runtime
from edgefuse.zoo import Card, ModelFile

Floats = NDArray[np.float32]
_STRIP_BYTES = 1 << 18  # of one strip of a step's output: three of these fit a Cortex-A53's or a desktop core's L2


class NumpyRuntime(Runtime):
    """Executes the steps centre, concat, conv, max, widen, sigmoid, clip and blend."""

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
            if len(inputs) != arity or not made.issuperset(inputs):
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

    def run(self, inputs: Arrays) -> dict[str, Floats]:
        held: dict[str, Floats] = {name: inputs[name][0] for name in self._inputs}
        last_use = {name: k for k, step in enumerate(self._steps) for name in step["in"]}
        for k, step in enumerate(self._steps):
            held[step["out"]] = _OPERATIONS[step["op"]](self, step, *(held[name] for name in step["in"]))
            for name in step["in"]:
                if last_use[name] == k and name not in self._outputs:
                    held.pop(name, None)
        return {name: held[name][None] for name in self._outputs}

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
            self._pool = None

    def _conv(self, step: dict[str, Any], x: Floats) -> Floats:
        """Cross-correlation, zero padding of half the kernel's reach, any stride; depthwise or dense; bias; ReLU where asked for."""
        weight, bias = self._weights[step["weight"]], self._weights[step["bias"]][:, None, None]
        outputs, inputs, kernel, _ = weight.shape
        if x.shape[0] != inputs * step.get("groups", 1):
            # NumPy would broadcast a single channel over all that the weight has
            raise ModelError(f"{self._path}: step {step['out']!r} takes {inputs * step.get('groups', 1)} channels, not {x.shape[0]}")
        dilation, stride, relu = step.get("dilation", 1), step.get("stride", 1), step.get("relu", False)
        reach = dilation * (kernel // 2)
        height, width = (-(-n // stride) for n in x.shape[1:])
        y = np.empty((outputs, height, width), np.float32)
        rows = max(1, min(height, _STRIP_BYTES // (4 * width * max(outputs, x.shape[0]))))
        filtered = _depthwise if step.get("groups", 1) > 1 else _dense

        def strip(top: int) -> None:
            bottom = min(top + rows, height)
            first, last = top * stride, (bottom - 1) * stride + 1
            part = x[:, first:last] if reach == 0 else _padded(x, first, last, reach)
            out = filtered(part, weight, dilation, stride, bottom - top, width)
            out += bias
            if relu:
                np.maximum(out, 0, out=out)
            y[:, top:bottom] = out

        if self._pool:
            list(self._pool.map(strip, range(0, height, rows)))
        else:
            for top in range(0, height, rows):
                strip(top)
        return y

    def _centre(self, step: dict[str, Any], x: Floats) -> Floats:
        return x - x.mean(axis=(1, 2), keepdims=True)

    def _concat(self, step: dict[str, Any], a: Floats, b: Floats) -> Floats:
        return np.concatenate((a, b))

    def _widen(self, step: dict[str, Any], x: Floats) -> Floats:
        """The largest of each 3 x 3 neighbourhood."""
        rows = np.pad(x, ((0, 0), (1, 1), (0, 0)), "edge")
        tall = np.maximum(np.maximum(rows[:, :-2], rows[:, 2:]), x)
        columns = np.pad(tall, ((0, 0), (0, 0), (1, 1)), "edge")
        return np.maximum(np.maximum(columns[:, :, :-2], columns[:, :, 2:]), tall)

    def _max(self, step: dict[str, Any], a: Floats, b: Floats) -> Floats:
        return np.maximum(a, b)

    def _sigmoid(self, step: dict[str, Any], x: Floats) -> Floats:
        # tanh never overflows, 1 / (1 + exp(-x)) does
        return 0.5 * np.tanh(0.5 * x) + np.float32(0.5)

    def _clip(self, step: dict[str, Any], x: Floats) -> Floats:
        return np.clip(x, 0, 1)

    def _blend(self, step: dict[str, Any], visible: Floats, infrared: Floats, blending_map: Floats) -> Floats:
        """MobileFuse, Eq. 1: visible M + infrared (1 - M)."""
        return infrared + blending_map * (visible - infrared)


_ARITY = {"centre": 1, "concat": 2, "conv": 1, "max": 2, "widen": 1, "sigmoid": 1, "clip": 1, "blend": 3}
_OPERATIONS: dict[str, Callable[..., Floats]] = {
    "centre": NumpyRuntime._centre,
    "concat": NumpyRuntime._concat,
    "widen": NumpyRuntime._widen,
    "conv": NumpyRuntime._conv,
    "max": NumpyRuntime._max,
    "sigmoid": NumpyRuntime._sigmoid,
    "clip": NumpyRuntime._clip,
    "blend": NumpyRuntime._blend,
}


def _padded(x: Floats, top: int, bottom: int, reach: int) -> Floats:
    """Rows top - reach to bottom + reach of x, and `reach` columns either side, zero where x ends."""
    channels, height, width = x.shape
    part = np.zeros((channels, bottom - top + 2 * reach, width + 2 * reach), np.float32)
    first, last = max(0, top - reach), min(height, bottom + reach)
    part[:, first - top + reach : last - top + reach, reach : reach + width] = x[:, first:last]
    return part


def _depthwise(part: Floats, weight: Floats, dilation: int, stride: int, rows: int, width: int) -> Floats:
    channels, _, kernel, _ = weight.shape
    out = np.zeros((channels, rows, width), np.float32)
    product = np.empty_like(out)
    for dy in range(kernel):
        for dx in range(kernel):
            np.multiply(_tap(part, dy * dilation, dx * dilation, stride, rows, width), weight[:, 0, dy, dx, None, None], out=product)
            out += product
    return out


def _dense(part: Floats, weight: Floats, dilation: int, stride: int, rows: int, width: int) -> Floats:
    outputs, inputs, kernel, _ = weight.shape
    if kernel == 1 and stride == 1:
        columns = part.reshape(inputs, rows * width)
    else:
        taps = np.empty((inputs, kernel, kernel, rows, width), np.float32)
        for dy in range(kernel):
            for dx in range(kernel):
                taps[:, dy, dx] = _tap(part, dy * dilation, dx * dilation, stride, rows, width)
        columns = taps.reshape(inputs * kernel * kernel, rows * width)
    return (weight.reshape(outputs, -1) @ columns).reshape(outputs, rows, width)


def _tap(part: Floats, y: int, x: int, stride: int, rows: int, width: int) -> Floats:
    """What a kernel's tap at (y, x) meets in each of the outputs' `rows` x `width` places; a view."""
    return part[:, y : y + (rows - 1) * stride + 1 : stride, x : x + (width - 1) * stride + 1 : stride]
