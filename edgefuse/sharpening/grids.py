"""The common part of a georeferenced cube and image, on two grids whose pixels nest, from any two grids and coordinate systems.

Where the axes are parallel and a whole number of the image's pixels makes one of the cube's, the image is cropped, and the part of a pixel
by which the grids differ becomes the offset of the point spread function. Otherwise the image is resampled (resampled_image.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.crs import converter
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.sharpening.pair import Mask, Span
from edgefuse.util.arrays import Float64Array

_NODES = 16  # pixels of the cube between places that PROJ converts; between them the conversion is linear
_ALIKE = 0.05  # of the image's pixels: differences over the whole scene that do not matter
_EXACT = 1e-3  # of the image's pixels: the same for the offset
_WHOLE = 0.05  # a ratio so near to a whole one is taken for it, as a share of it
_LEAST = 6  # smallest side of the common part, in the cube's pixels


class Lattice:
    """Maps places in the cube's pixels, (column, row) from its upper left corner, to those in the image's pixels.

    nodes: (m, n, 2), image places at every `_NODES`-th corner of the cube's pixels, not finite where there is none.
    """

    def __init__(self, nodes: Float64Array) -> None:
        self._nodes = nodes

    @classmethod
    def between(cls, cube: CubeInfo, image: CubeInfo) -> Lattice:
        """Raises CubeError for georeferences that can't be used."""
        assert cube.georeference is not None
        assert image.georeference is not None
        forth, back = _matrix(cube.georeference), _matrix(image.georeference)
        if min(abs(np.linalg.det(forth[:, :2])), abs(np.linalg.det(back[:, :2]))) < 1e-18:
            raise CubeError("a georeference has pixels without area; correct the file's header")
        x, y = (np.arange(0, count + _NODES, _NODES, dtype=np.float64) for count in (cube.shape[1], cube.shape[0]))
        pixels = np.stack(np.meshgrid(x, y), 2).reshape(-1, 2)
        places = converter(cube.georeference.crs, image.georeference.crs)(pixels @ forth[:, :2].T + forth[:, 2])
        with np.errstate(invalid="ignore"):
            nodes = (places - back[:, 2]) @ np.linalg.inv(back[:, :2]).T
        return cls(np.where(np.isfinite(nodes), nodes, np.nan).reshape(len(y), len(x), 2))

    def __call__(self, rows: Float64Array, columns: Float64Array) -> Float64Array:
        """Return the image places (m, n, 2) of the places rows (m,) x columns (n,) in the cube's pixels."""
        (top, down), (left, across) = (_parts(at, count) for at, count in zip((rows, columns), self._nodes.shape, strict=False))
        upper, lower = ((1 - across) * n[:, left] + across * n[:, left + 1] for n in (self._nodes[top], self._nodes[top + 1]))
        return np.asarray((1 - down.swapaxes(0, 1)) * upper + down.swapaxes(0, 1) * lower)

    def moved(self, rows: int, columns: int) -> Moved:
        """Return the mapping for a cube without its first rows and columns."""
        return Moved(self, rows, columns)


@dataclass(frozen=True)
class Moved:
    """A lattice whose cube begins at `rows`, `columns`."""

    lattice: Lattice
    rows: int
    columns: int

    def __call__(self, rows: Float64Array, columns: Float64Array) -> Float64Array:
        return self.lattice(rows + self.rows, columns + self.columns)


def _parts(at: Float64Array, count: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Float64Array]:
    """Return the nodes before places (n,) and what is left, (1, n, 1)."""
    node = np.clip(np.floor(at / _NODES).astype(np.intp), 0, count - 2)
    return node, (at / _NODES - node)[None, :, None]


def _matrix(place: Georeference) -> Float64Array:
    a, b, c, d, e, f = place.transform
    return np.array([[a, b, c], [d, e, f]])


@dataclass(frozen=True)
class Common:
    """The common part. rows, columns: of the cube. ratio: of the nested grid. window: rows and columns of the image where it is
    cropped; None where it is resampled by `mapping`. dy, dx: offset of the point spread function, in pixels of the nested grid.
    georeference: of the nested grid."""

    rows: Span
    columns: Span
    ratio: int
    window: tuple[Span, Span] | None
    dy: float
    dx: float
    mapping: Moved
    georeference: Georeference

    def whole(self, cube: CubeInfo, image: CubeInfo) -> bool:
        """Return whether nothing has to be done."""
        spans = ((0, cube.shape[0]), (0, cube.shape[1])), ((0, image.shape[0]), (0, image.shape[1]))
        return (self.rows, self.columns) == spans[0] and self.window == spans[1] and not self.dy and not self.dx


def common(cube: CubeInfo, image: CubeInfo, names: tuple[str, str]) -> Common | None:
    """Return the common part of a cube and an image; None where one of them has no georeference.

    Raises CubeError where they do not overlap, or the image's pixels are larger than the cube's.
    """
    if cube.georeference is None or image.georeference is None:
        return None
    lattice, (h, w, _) = Lattice.between(cube, image), cube.shape
    inside = _inside(lattice, cube, image)
    if not inside.any():
        raise CubeError(
            f"{names[0]} and {names[1]} do not cover the same ground: {_apart(lattice, cube, image)}; if that is wrong, correct their "
            "georeferences (gdal_edit.py), or warp one of them (gdalwarp)"
        )
    corners = lattice(np.array([0.0, h]), np.array([0.0, w]))
    across, down = (corners[0, 1] - corners[0, 0]) / w, (corners[1, 0] - corners[0, 0]) / h
    nested = _nested(lattice, cube, image, names)
    if nested is not None:
        return nested
    scale = math.sqrt(abs(float(across[0] * down[1] - across[1] * down[0])))
    if scale < 1 - _WHOLE or math.isnan(scale):
        raise CubeError(f"the pixels of {names[1]} are larger than those of {names[0]}; give the cube first, then the image")
    ratio = round(scale) if abs(scale - round(scale)) < _WHOLE * scale else math.ceil(scale)
    rows, columns = _box(inside, names)
    moved = lattice.moved(rows[0], columns[0])
    return Common(rows, columns, ratio, None, 0.0, 0.0, moved, _part(cube.georeference, rows[0], columns[0], 1 / ratio))


def _inside(lattice: Lattice, cube: CubeInfo, image: CubeInfo) -> Mask:
    """Return the cube's pixels (h, w) whose centre is inside the image."""
    h, w, _ = cube.shape
    places = lattice(np.arange(h, dtype=np.float64) + 0.5, np.arange(w, dtype=np.float64) + 0.5)
    with np.errstate(invalid="ignore"):
        return np.asarray(((places >= 0) & (places <= (image.shape[1], image.shape[0]))).all(2))


def _apart(lattice: Lattice, cube: CubeInfo, image: CubeInfo) -> str:
    h, w, _ = cube.shape
    middle, right, below = (lattice(np.array([y]), np.array([x]))[0, 0] for y, x in ((h / 2, w / 2), (h / 2, w), (h, w / 2)))
    axes = np.stack([(right - middle) / (w / 2), (below - middle) / (h / 2)], 1)
    if not np.isfinite(axes).all() or abs(np.linalg.det(axes)) < 1e-18:
        return "the cube's places do not exist in the image's coordinate system"
    columns, rows = np.linalg.solve(axes, np.array([image.shape[1], image.shape[0]]) / 2 - middle)
    return f"by their georeferences the image's centre is {rows:+.0f} rows and {columns:+.0f} columns of the cube off the cube's"


def _nested(lattice: Lattice, cube: CubeInfo, image: CubeInfo, names: tuple[str, str]) -> Common | None:
    """Return the common part where the image need not be resampled; None where it must be."""
    assert image.georeference is not None
    h, w, _ = cube.shape
    x, y = np.linspace(0, w, 9), np.linspace(0, h, 9)
    places = lattice(y, x)
    ratio = round(float(places[0, -1, 0] - places[0, 0, 0]) / w) if np.isfinite(places).all() else 0
    if ratio < 1:
        return None
    difference = places - np.stack(np.meshgrid(ratio * x, ratio * y), 2)
    if np.ptp(difference, (0, 1)).max() > _ALIKE:
        return None
    left, top = (float(v) for v in difference.mean((0, 1)))
    spans, window, offsets = [], [], []
    for at, count, size in ((top, h, image.shape[0]), (left, w, image.shape[1])):
        first = round(at)
        begin, end = max(0, -(first // ratio)), min(count, (size - first) // ratio)
        spans.append((begin, end))
        window.append((first + begin * ratio, first + end * ratio))
        offsets.append(at - first if abs(at - first) > _EXACT else 0.0)
    _check_size(spans, names)
    georeference = _part(image.georeference, window[0][0], window[1][0], 1.0)
    moved = lattice.moved(spans[0][0], spans[1][0])
    return Common(spans[0], spans[1], ratio, (window[0], window[1]), offsets[0], offsets[1], moved, georeference)


def _box(inside: Mask, names: tuple[str, str]) -> tuple[Span, Span]:
    at = [np.flatnonzero(inside.any(axis)) for axis in (1, 0)]
    spans = [(int(a[0]), int(a[-1]) + 1) for a in at]
    _check_size(spans, names)
    return spans[0], spans[1]


def _check_size(spans: list[Span], names: tuple[str, str]) -> None:
    sizes = [max(0, end - begin) for begin, end in spans]
    if min(sizes) < _LEAST:
        raise CubeError(
            f"{names[0]} and {names[1]} do not cover the same ground but for {sizes[0]} x {sizes[1]} of the cube's pixels; at least "
            f"{_LEAST} x {_LEAST} are needed (gdalwarp -te crops to the same ground)"
        )


def _part(place: Georeference, row: int, column: int, scale: float) -> Georeference:
    """Return the georeference of a grid that begins at a pixel, with pixels `scale` times as large."""
    a, b, c, d, e, f = place.transform
    return Georeference((a * scale, b * scale, a * column + b * row + c, d * scale, e * scale, d * column + e * row + f), place.crs)
