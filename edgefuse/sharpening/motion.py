"""Displacement of an image from the grid that nests a cube's: a shift, a rotation and a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgefuse.util.arrays import Float64Array


class Mapping(Protocol):
    """Maps places in the cube's pixels to those in the image's."""

    def __call__(self, rows: Float64Array, columns: Float64Array) -> Float64Array:
        """Return the image places (m, n, 2), column and row, of the places rows (m,) x columns (n,)."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Displacement of the cube's pixels in the image, from the nested grids, in pixels of the image: down and right by dy, dx at the
    scene's `centre` (row, column), farther by the share `growth` and turned clockwise by `turn` (radians) about it."""

    dy: float
    dx: float
    turn: float = 0.0
    growth: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)

    def __call__(self, at: Float64Array) -> Float64Array:
        """Return the displacement (n, 2) of places (n, 2), down and right."""
        y, x = (at - self.centre).T
        return np.stack([self.dy + self.growth * y + self.turn * x, self.dx + self.growth * x - self.turn * y], 1)

    @property
    def rigid(self) -> bool:
        """Return whether it is a shift alone."""
        return not self.turn and not self.growth


@dataclass(frozen=True)
class Nested:
    """Maps places in the cube's pixels to those of an image whose grid nests the cube's."""

    ratio: int

    def __call__(self, rows: Float64Array, columns: Float64Array) -> Float64Array:
        return np.stack(np.meshgrid(columns * self.ratio, rows * self.ratio), 2)


@dataclass(frozen=True)
class Moved:
    """Maps places (column, row) in the cube's pixels to those in the image's: `before`, then an affine map: matrix (2, 2), offset (2,)."""

    before: Mapping
    matrix: Float64Array
    offset: Float64Array

    def __call__(self, rows: Float64Array, columns: Float64Array) -> Float64Array:
        return np.asarray(self.before(rows, columns) @ self.matrix.T + self.offset)


def after(inner: Mapping, motion: Motion, ratio: int) -> Moved:
    """Return `inner` for places that are displaced first; `inner` is nearly linear."""
    y, x = ((at + 0.5) / ratio for at in motion.centre)
    # the derivatives of `inner` by the nested grid's columns and rows
    step = 1.0 / ratio
    corner = inner(np.array([y - step, y, y + step]), np.array([x - step, x, x + step]))
    slopes = np.stack([(corner[1, 2] - corner[1, 0]) / 2, (corner[2, 1] - corner[0, 1]) / 2], 1)
    linear = slopes @ np.array([[motion.growth, -motion.turn], [motion.turn, motion.growth]]) @ np.linalg.inv(slopes)
    return Moved(inner, np.eye(2) + linear, slopes @ np.array([motion.dx, motion.dy]) - linear @ corner[1, 1])


def turned(place: tuple[float, ...], motion: Motion, ratio: int) -> tuple[float, float, float, float, float, float]:
    """Return the affine transform of the grid that nests the cube's, from that of the image (`place`), on which it is displaced."""
    mapping = after(Nested(ratio), motion, ratio)
    a, b, c, d, e, f = place
    forth = np.array([[a, b], [d, e]])
    matrix, offset = forth @ mapping.matrix, forth @ mapping.offset + (c, f)
    (a, b), (d, e) = matrix.tolist()
    return a, b, float(offset[0]), d, e, float(offset[1])
