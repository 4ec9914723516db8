"""Writes ONNX files without the package onnx: the few fields of onnx.proto that a small graph needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _integer(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _number(field << 3 | 2) + _number(len(data)) + data


def _tensor(name: str, values: NDArray[np.generic]) -> bytes:
    dims = b"".join(_integer(1, n) for n in values.shape)
    return dims + _integer(2, _TYPES[values.dtype]) + _bytes(8, name) + _bytes(9, values.tobytes())


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_bytes(1, _integer(1, n) if isinstance(n, int) else _bytes(2, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _integer(1, 1) + _bytes(2, dims)))


def node(kind: str, inputs: Sequence[str], output: str, **integers: Sequence[int]) -> bytes:
    """Return a node with one output, whose attributes are lists of integers."""
    attributes = b"".join(
        _bytes(5, _bytes(1, name) + b"".join(_integer(8, n) for n in values) + _integer(20, 7)) for name, values in integers.items()
    )
    return b"".join(_bytes(1, name) for name in inputs) + _bytes(2, output) + _bytes(3, output) + _bytes(4, kind) + attributes


def model(
    nodes: Sequence[bytes], constants: Mapping[str, NDArray[np.generic]], inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
) -> bytes:  # fmt: skip
    """Return a file of operator set 13 with float32 inputs and outputs of these shapes; a text stands for any size."""
    graph = b"".join(_bytes(1, one) for one in nodes) + _bytes(2, "graph")
    graph += b"".join(_bytes(5, _tensor(name, values)) for name, values in constants.items())
    graph += b"".join(_bytes(11, _value(name, shape)) for name, shape in inputs.items())
    graph += b"".join(_bytes(12, _value(name, shape)) for name, shape in outputs.items())
    return _integer(1, 8) + _bytes(2, "edgefuse") + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _integer(2, 13))
