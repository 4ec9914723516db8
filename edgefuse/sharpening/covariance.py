"""Covariances of places with what low-resolution pixels see, where the kernel is `Kernel` without its products.

In NumPy, and compiled (covariance.c), the same but for single precision's rounding.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.util import compiled
from edgefuse.util.arrays import Float32Array

_ROUND = np.float32(2e-3)  # squared distance of features below which the cusp is blunt: far more than rounding makes of their squares
_LANES, _MOST = 16, 16  # covariance.c's COLUMNS, and its MOST features


@dataclass(frozen=True, slots=True)
class Grid:
    """Places in rows and columns: features (p, r, d), how large the residual is (p, r), rows y (p,) and columns x (r,) in low-resolution
    pixels."""

    features: Float32Array
    loud: Float32Array
    y: Float32Array
    x: Float32Array


def covariances(points: Grid, cells: Grid, weights: tuple[Float32Array, Float32Array], near: float) -> Float32Array:
    """Of points (p, r) with low-resolution pixels (m, n), which see cells (s, t) by weights (m, s) and (n, t): (p, m n, r)."""
    found = _compiled if compiled.library() and points.features.shape[2] <= _MOST else _plain
    return found(points, cells, weights, (_nearness(points.y, cells.y, near), _nearness(points.x, cells.x, near)))


def _nearness(a: Float32Array, b: Float32Array, near: float) -> Float32Array:
    return np.exp(-np.abs(a[:, None] - b) / np.float32(near))


def _plain(points: Grid, cells: Grid, weights: tuple[Float32Array, Float32Array], near: tuple[Float32Array, Float32Array]) -> Float32Array:
    down, across = weights
    from_, to = _rows(points.features), _rows(cells.features)
    to = np.concatenate([-2 * to, np.square(to).sum(1, keepdims=True) + _ROUND, np.ones((len(to), 1), np.float32)], 1).T
    count = len(points.x)
    found = np.empty((len(points.y), len(down) * len(across), count), np.float32)
    room = np.empty((count, to.shape[1]), np.float32)
    for row, near_y in enumerate(near[0]):
        part = from_[row * count : (row + 1) * count]
        # the squared distance in one product, never below 0: features are bounded
        square = np.square(part).sum(1, keepdims=True)
        np.matmul(np.concatenate([part, np.ones_like(square), square], 1), to, out=room)
        np.sqrt(room, out=room)
        room += 1
        solid = np.divide(near[1][:, None, :], room.reshape(count, len(cells.y), len(cells.x)), out=room.reshape(count, len(cells.y), -1))
        solid *= cells.loud
        seen = (down * near_y) @ (solid.reshape(-1, len(cells.x)) @ across.T).reshape(count, len(cells.y), -1)
        np.multiply(seen.reshape(count, -1).T, points.loud[row], out=found[row])
    return found


def _rows(features: Float32Array) -> Float32Array:
    return features.reshape(-1, features.shape[2])


_SPANS = "down_from", "down_to", "across_from", "across_to"


class _Job(ctypes.Structure):
    """`Covariance` of covariance.c, field by field."""

    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in ("points", "cells", "loud_points", "loud_cells", "near_y", "near_x", "down", "across", *_SPANS, "out")
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
    room = np.empty((width + len(down) * len(across)) * _LANES, np.float32)
    read = [
        np.ascontiguousarray(part, kind) for part, kind in (
            (from_.transpose(0, 2, 1), np.float32), (to, np.float32), (np.pad(points.loud, ((0, 0), (0, padding))), np.float32),
            (cells.loud, np.float32), (near[0], np.float32),
            (np.pad(near[1], ((0, padding), (0, 0))).reshape(-1, _LANES, width).transpose(0, 2, 1), np.float32), (down.T, np.float32),
            (across, np.float32), *((span, np.int32) for span in (*_span(down.T), *_span(across))),
        )
    ]  # fmt: skip
    sizes = rows, count + padding, height, width, len(down), len(across), features
    job = _Job(*(part.ctypes.data for part in read), out.ctypes.data, *sizes)
    _function()(ctypes.addressof(job), room.ctypes.data)
    return out[:, :, :count]


def _span(weights: Float32Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """From where to where each row is not zero."""
    there = weights != 0
    some = there.any(1)
    return np.where(some, there.argmax(1), 0), np.where(some, weights.shape[1] - there[:, ::-1].argmax(1), 0)


@functools.cache
def _function() -> ctypes._NamedFuncPointer:
    library = compiled.library()
    assert library is not None
    library.edgefuse_covariance.argtypes = ctypes.c_void_p, ctypes.c_void_p
    library.edgefuse_covariance.restype = None
    return library.edgefuse_covariance
