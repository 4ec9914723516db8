"""Covariances between points and low-resolution pixels, for the stationary part of `Kernel` (without its product terms).

In NumPy, and compiled (covariance.c); both agree to single-precision rounding.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array

_ROUND = np.float32(2e-3)  # added to squared feature distances, far above their rounding error; it smooths the kernel's cusp
_LANES, _MOST = 16, 16  # covariance.c's COLUMNS, and its MOST features


@dataclass(frozen=True, slots=True)
class Grid:
    """Points on a grid: features (p, r, d), scale of the residual (p, r), row coordinates y (p,) and column coordinates x (r,) in
    low-resolution pixels."""

    features: Float32Array
    scale: Float32Array
    y: Float32Array
    x: Float32Array


def covariances(points: Grid, cells: Grid, weights: tuple[Float32Array, Float32Array], near: float) -> Float32Array:
    """Return covariances (p, m n, r) of points (p, r) with low-resolution pixels (m, n), which average cells (s, t) with weights (m, s)
    and (n, t). near: correlation length in low-resolution pixels."""
    compute = _compiled if compiled.library() and points.features.shape[2] <= _MOST else _plain
    return compute(points, cells, weights, (_nearness(points.y, cells.y, near), _nearness(points.x, cells.x, near)))


def _nearness(a: Float32Array, b: Float32Array, near: float) -> Float32Array:
    return np.exp(-np.abs(a[:, None] - b) / np.float32(near))


def _plain(points: Grid, cells: Grid, weights: tuple[Float32Array, Float32Array], near: tuple[Float32Array, Float32Array]) -> Float32Array:
    down, across = weights
    from_, to = _rows(points.features), _rows(cells.features)
    to = np.concatenate([-2 * to, np.square(to).sum(1, keepdims=True) + _ROUND, np.ones((len(to), 1), np.float32)], 1).T
    count = len(points.x)
    out = np.empty((len(points.y), len(down) * len(across), count), np.float32)
    buffer = np.empty((count, to.shape[1]), np.float32)
    for row, near_y in enumerate(near[0]):
        features = from_[row * count : (row + 1) * count]
        # squared distances in one matrix product; _ROUND keeps them above 0, as features are bounded
        square = np.square(features).sum(1, keepdims=True)
        np.matmul(np.concatenate([features, np.ones_like(square), square], 1), to, out=buffer)
        np.sqrt(buffer, out=buffer)
        buffer += 1
        weighted = np.divide(
            near[1][:, None, :], buffer.reshape(count, len(cells.y), len(cells.x)), out=buffer.reshape(count, len(cells.y), -1)
        )
        weighted *= cells.scale
        seen = (down * near_y) @ (weighted.reshape(-1, len(cells.x)) @ across.T).reshape(count, len(cells.y), -1)
        np.multiply(seen.reshape(count, -1).T, points.scale[row], out=out[row])
    return out


def _rows(features: Float32Array) -> Float32Array:
    return features.reshape(-1, features.shape[2])


_SPANS = "down_from", "down_to", "across_from", "across_to"


class _Job(ctypes.Structure):
    """`Covariance` of covariance.c, field by field."""

    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in ("points", "cells", "scale_points", "scale_cells", "near_y", "near_x", "down", "across", *_SPANS, "out")
        ),
        *((name, ctypes.c_int32) for name in ("rows", "columns", "height", "width", "low_rows", "low_columns", "features")),
    ]


def _compiled(
    points: Grid, cells: Grid, weights: tuple[Float32Array, Float32Array], near: tuple[Float32Array, Float32Array]
) -> Float32Array:
    down, across = (np.ascontiguousarray(w, np.float32) for w in weights)
    rows, count, features = points.features.shape
    padding = -count % _LANES
    height, width, _ = cells.features.shape
    squares = np.square(points.features).sum(2, keepdims=True)
    from_ = np.pad(np.concatenate([points.features, squares], 2), ((0, 0), (0, padding), (0, 0)))
    to = np.concatenate([-2 * cells.features, np.square(cells.features).sum(2, keepdims=True) + _ROUND], 2)
    out = np.empty((rows, len(down) * len(across), count + padding), np.float32)
    scratch = np.empty((width + len(down) * len(across)) * _LANES, np.float32)
    inputs = [
        np.ascontiguousarray(part, kind) for part, kind in (
            (from_.transpose(0, 2, 1), np.float32), (to, np.float32), (np.pad(points.scale, ((0, 0), (0, padding))), np.float32),
            (cells.scale, np.float32), (near[0], np.float32),
            (np.pad(near[1], ((0, padding), (0, 0))).reshape(-1, _LANES, width).transpose(0, 2, 1), np.float32), (down.T, np.float32),
            (across, np.float32), *((span, np.int32) for span in (*_span(down.T), *_span(across))),
        )
    ]  # fmt: skip
    sizes = rows, count + padding, height, width, len(down), len(across), features
    job = _Job(*(part.ctypes.data for part in inputs), out.ctypes.data, *sizes)
    _function()(ctypes.addressof(job), scratch.ctypes.data)
    return out[:, :, :count]


def _span(weights: Float32Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and one past the last nonzero column of each row."""
    nonzero = weights != 0
    nonempty = nonzero.any(1)
    return np.where(nonempty, nonzero.argmax(1), 0), np.where(nonempty, weights.shape[1] - nonzero[:, ::-1].argmax(1), 0)


@functools.cache
def _function() -> ctypes._NamedFuncPointer:
    library = compiled.library()
    assert library is not None
    library.edgefuse_covariance.argtypes = ctypes.c_void_p, ctypes.c_void_p
    library.edgefuse_covariance.restype = None
    return library.edgefuse_covariance
