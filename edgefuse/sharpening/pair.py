"""A low-resolution cube and a high-resolution image of the same scene, read a window at a time, with what is missing in either."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening.psf import Psf, apply
from edgefuse.util.arrays import Float32Array

Mask = NDArray[np.bool_]
Span = tuple[int, int]  # from, to

_SEEN = 1e-3  # of a low-resolution pixel's weight may lie on missing pixels
_INSIDE = 0.65  # of it must lie within the image, whose reflection stands for the rest
_LARGEST = 1e12  # what single precision squares and sums
_FILLS = -9999, -999, -32768, -32767  # what files put where nothing is, and some forget to say so


class Samples(Protocol):
    """What slices as an array (H, W, B): a NumPy array, or a `CubeSource`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any) -> NDArray[Any]: ...


class Observed(NamedTuple):
    pixels: Float32Array
    """(m, n, b)"""
    seen: Mask
    """(m, n): of which next to nothing lies on missing pixels"""


class Low(NamedTuple):
    """Low-resolution pixels, and what the image shows there."""

    spectra: Float32Array
    """(m, n, B); 0 where missing"""
    image: Float32Array
    """(m, n, b), through the point spread function"""
    known: Mask
    """(m, n): where both are whole"""


def grown(span: Span, by: int, count: int) -> Span:
    """A span of an axis of `count` pixels, and `by` more to either side, as far as there are."""
    return max(0, span[0] - by), min(count, span[1] + by)


def ratio_of(low: tuple[int, ...], high: tuple[int, ...]) -> int:
    """High-resolution pixels to a low-resolution one. Raises CubeError where that is not one whole number."""
    (h, w, bands), (height, width, few) = low, high
    told = f"the cube has {h} x {w} pixels and {bands} bands, the image {height} x {width} and {few}"
    if height % h or width % w or height // h != width // w:
        nearest = round(math.sqrt(height * width / (h * w)))
        words = f"crop the image to {nearest * h} x {nearest * w}" if nearest > 1 else "give the cube first, then the image"
        raise CubeError(f"{told}: the ratio is not one whole number in both directions ({height / h:.4g} and {width / w:.4g}); {words}")
    if height == h and few > bands:
        raise CubeError(f"{told}, on one grid; give the cube, which has more bands, first, then the image")
    return height // h


@dataclass(frozen=True)
class Pair:
    """cube: (h, w, B). image: (h ratio, w ratio, b). Missing is what equals their no-data values, and what is no finite number. within:
    rows and columns of the cube that the image is compared with; None: all."""

    cube: Samples
    image: Samples
    psf: Psf
    cube_nodata: float | None = None
    image_nodata: float | None = None
    within: tuple[Span, Span] | None = None

    @property
    def low_shape(self) -> tuple[int, int, int]:
        h, w, bands = self.cube.shape
        return h, w, bands

    @property
    def high_shape(self) -> tuple[int, int, int]:
        height, width, bands = self.image.shape
        return height, width, bands

    def spectra(self, rows: Span, columns: Span) -> tuple[Float32Array, Mask]:
        """(m, n, B), 0 where missing, and (m, n): where all bands are there."""
        return _taken(self.cube[slice(*rows), slice(*columns)], self.cube_nodata, "the cube")

    def pixels(self, rows: Span, columns: Span) -> tuple[Float32Array, Mask]:
        """The image's, likewise."""
        return _taken(self.image[slice(*rows), slice(*columns)], self.image_nodata, "the image")

    def observed(self, rows: Span, columns: Span) -> Observed:
        """The image as low-resolution pixels of a window see it."""
        height, width, _ = self.high_shape
        top, down = self.psf.rows(*rows, height)
        left, across = self.psf.columns(*columns, width)
        pixels, there = self.pixels((top, top + down.shape[1]), (left, left + across.shape[1]))
        image = apply(down, across, pixels)
        inside = self.psf.inside(*rows, height, self.psf.dy)[:, None] * self.psf.inside(*columns, width, self.psf.dx)
        seen = inside >= _INSIDE
        if there.all():
            return Observed(image, seen)
        missing = apply(down, across, (~there)[..., None].astype(np.float32))[..., 0]
        image /= np.maximum(1 - missing, np.float32(_SEEN))[..., None]
        return Observed(image, seen & (missing <= _SEEN))

    def low(self, rows: Span, columns: Span) -> Low:
        """Low-resolution pixels of a window."""
        spectra, known = self.spectra(rows, columns)
        image, seen = self.observed(rows, columns)
        known &= seen
        if self.within is not None:
            inside = (_inside(span, kept) for span, kept in zip((rows, columns), self.within, strict=True))
            known &= np.logical_and.outer(*inside)
        return Low(spectra, image, known)


def _inside(span: Span, kept: Span) -> Mask:
    at = np.arange(*span)
    return np.asarray((at >= kept[0]) & (at < kept[1]))


def _taken(samples: NDArray[Any], nodata: float | None, whose: str) -> tuple[Float32Array, Mask]:
    known = np.ones(samples.shape[:2], bool)
    if nodata is not None and not math.isnan(nodata):
        known &= (samples != nodata).all(2)
    if samples.dtype.kind in "if" and (doubtful := np.isin(samples[..., 0], _FILLS) & known).any():
        _refuse_fills(samples[doubtful], whose)
    with np.errstate(over="ignore"):
        taken = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        known &= np.isfinite(taken).all(2)
        if not known.all():
            taken[~known] = 0
        if np.abs(taken).max(initial=0) > _LARGEST:
            raise CubeError(f"samples beyond {_LARGEST:g} can't be sharpened; scale the cube, or name such samples as nodata")
    elif not known.all():
        taken[~known] = 0
    return taken, known


def _refuse_fills(pixels: NDArray[Any], whose: str) -> None:
    """Raises CubeError where one of (n, B) holds the same in every band."""
    if (same := (pixels == pixels[:, :1]).all(1)).any():
        raise CubeError(
            f"pixels of {whose} are {pixels[same][0, 0]:g} in every band, and its file doesn't say that these are missing; name that value "
            "as no data in its header"
        )
