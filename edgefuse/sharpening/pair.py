"""A low-resolution cube and a high-resolution image of the same scene, read in windows, with masks of missing samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening.motion import Motion
from edgefuse.sharpening.psf import Psf, apply
from edgefuse.util.arrays import Float32Array

Mask = NDArray[np.bool_]
Span = tuple[int, int]  # first, one past the last

_SEEN = 1e-3  # share of a low-resolution pixel's weight that may fall on missing pixels
_NEARLY = 0.2  # difference from a whole ratio that is taken for a border too much or too few
_INSIDE = 0.65  # share of it that must fall inside the image; the rest uses the mirrored image
_LARGEST = 1e12  # largest sample, so that squares can be summed in single precision
_FILLED = 0.5  # share of a pixel's bands with a fill value, above which the pixel is missing
_FILLS = -9999, -999, -32768, -32767  # common fill values that some files do not declare as no data


class Samples(Protocol):
    """Anything that slices like an array (H, W, B): a NumPy array or a `CubeSource`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any) -> NDArray[Any]: ...


class Observed(NamedTuple):
    """The image degraded to low resolution."""

    pixels: Float32Array
    """(m, n, b)"""
    seen: Mask
    """(m, n): True where at most 0.1 % of the weight falls on missing pixels"""


class Low(NamedTuple):
    """Low-resolution pixels of the cube and of the degraded image."""

    spectra: Float32Array
    """(m, n, B); 0 where missing"""
    image: Float32Array
    """(m, n, b), degraded by the point spread function"""
    known: Mask
    """(m, n): True where both are complete"""


class Expected(Protocol):
    """What the image shows at low resolution, as the cube has it."""

    @property
    def hidden(self) -> Mask:
        """(h, w): low-resolution pixels where the image shows something else, such as a cloud"""

    def predicted(self, spectra: Float32Array) -> Float32Array:
        """Predict the image's pixels (n, b), at low resolution, from spectra (n, B)."""


def grown(span: Span, by: int, count: int) -> Span:
    """Extend a span of an axis of `count` pixels by `by` on either side, clipped to the axis."""
    return max(0, span[0] - by), min(count, span[1] + by)


def ratio_of(low: tuple[int, ...], high: tuple[int, ...]) -> int:
    """Return the ratio of the shapes' sides. Raises CubeError where it is not one integer."""
    (h, w, bands), (height, width, image_bands) = low, high
    sizes = f"the cube has {h} x {w} pixels and {bands} bands, the image {height} x {width} and {image_bands}"
    if height % h or width % w or height // h != width // w:
        advice = _advice((h, w), (height, width))
        raise CubeError(f"{sizes}: the ratio is not one whole number in both directions ({height / h:.4g} and {width / w:.4g}); {advice}")
    if height == h and image_bands > bands:
        raise CubeError(f"{sizes}, on one grid; give the cube, which has more bands, first, then the image")
    return height // h


def _advice(low: tuple[int, int], high: tuple[int, int]) -> str:
    """Return what to do about sizes without a common integer ratio."""
    ratios = [count / small for small, count in zip(low, high, strict=True)]
    nearest = round(math.sqrt(ratios[0] * ratios[1]))
    if nearest < 1 or max(ratios) < 1:
        return "give the cube first, then the image"
    if all(abs(ratio - nearest) < _NEARLY for ratio in ratios):
        (h, w), r = (min(small, count // nearest) for small, count in zip(low, high, strict=True)), nearest
        parts = [f"the cube to {h} x {w}"] * ((h, w) != low) + [f"the image to {r * h} x {r * w}"] * ((r * h, r * w) != high)
        return f"crop {' and '.join(parts)} pixels, so that both show the same ground"
    if abs(ratios[0] - ratios[1]) < _NEARLY:
        finer = math.ceil(max(ratios) - 1e-9)
        return f"resample the image to {finer * low[0]} x {finer * low[1]} pixels if both show the same ground"
    return "crop them to the same ground"


@dataclass(frozen=True)
class Pair:
    """cube: (h, w, B). image: (h ratio, w ratio, b). Samples that equal the no-data value or are not finite are missing. within: rows and
    columns of the cube that are compared with the image; None: all. unused: (h, w), low-resolution pixels that are not compared with the
    image either; None: none. motion: displacement that was taken out of the original pair; None: none was looked for. expected: what
    the image would show without clouds; None: it has none."""

    cube: Samples
    image: Samples
    psf: Psf
    cube_nodata: float | None = None
    image_nodata: float | None = None
    within: tuple[Span, Span] | None = None
    unused: Mask | None = None
    motion: Motion | None = None
    expected: Expected | None = None

    @property
    def low_shape(self) -> tuple[int, int, int]:
        h, w, bands = self.cube.shape
        return h, w, bands

    @property
    def high_shape(self) -> tuple[int, int, int]:
        height, width, bands = self.image.shape
        return height, width, bands

    @property
    def shift(self) -> tuple[float, float]:
        """Return by how many pixels of the image the cube lies further down and right in it."""
        return (self.psf.dy, self.psf.dx) if self.motion is None else (self.motion.dy, self.motion.dx)

    def spectra(self, rows: Span, columns: Span) -> tuple[Float32Array, Mask]:
        """Return the cube's samples (m, n, B), 0 where missing, and a mask (m, n), True where all bands are known."""
        return _masked(self.cube[slice(*rows), slice(*columns)], self.cube_nodata, "the cube")

    def compared(self, rows: Span, columns: Span) -> tuple[Float32Array, Mask]:
        """Return the cube's samples, and which of its pixels are known and compared with the image."""
        spectra, known = self.spectra(rows, columns)
        return spectra, known if self.unused is None else known & ~self.unused[slice(*rows), slice(*columns)]

    def pixels(self, rows: Span, columns: Span) -> tuple[Float32Array, Mask]:
        """Return the image's samples and mask, likewise."""
        return _masked(self.image[slice(*rows), slice(*columns)], self.image_nodata, "the image")

    def observed(self, rows: Span, columns: Span) -> Observed:
        """Return the image degraded to the low-resolution pixels of a window."""
        height, width, _ = self.high_shape
        top, down = self.psf.rows(*rows, height)
        left, across = self.psf.columns(*columns, width)
        pixels, known = self.pixels((top, top + down.shape[1]), (left, left + across.shape[1]))
        image = apply(down, across, pixels)
        inside = self.psf.inside(*rows, height, self.psf.dy)[:, None] * self.psf.inside(*columns, width, self.psf.dx)
        seen = inside >= _INSIDE
        if known.all():
            return Observed(image, seen)
        missing = apply(down, across, (~known)[..., None].astype(np.float32))[..., 0]
        image /= np.maximum(1 - missing, np.float32(_SEEN))[..., None]
        return Observed(image, seen & (missing <= _SEEN))

    def low(self, rows: Span, columns: Span) -> Low:
        """Return the low-resolution pixels of a window, from cube and image."""
        spectra, known = self.compared(rows, columns)
        image, seen = self.observed(rows, columns)
        known &= seen
        if self.expected is not None:
            hidden = self.expected.hidden[slice(*rows), slice(*columns)]
            if hidden.any():
                image[hidden] = self.expected.predicted(spectra[hidden])
        if self.within is not None:
            inside = (_inside(span, kept) for span, kept in zip((rows, columns), self.within, strict=True))
            known &= np.logical_and.outer(*inside)
        return Low(spectra, image, known)


def _inside(span: Span, kept: Span) -> Mask:
    at = np.arange(*span)
    return np.asarray((at >= kept[0]) & (at < kept[1]))


def is_known(samples: NDArray[Any], nodata: float | None) -> Mask:
    """Return which pixels (m, n) of samples (m, n, B) have no missing sample."""
    known = np.isfinite(samples).all(2) if samples.dtype.kind == "f" else np.ones(samples.shape[:2], bool)
    return known if nodata is None or math.isnan(nodata) else np.asarray(known & (samples != nodata).all(2))


def _masked(samples: NDArray[Any], nodata: float | None, whose: str) -> tuple[Float32Array, Mask]:
    known = np.ones(samples.shape[:2], bool)
    if nodata is not None and not math.isnan(nodata):
        known &= (samples != nodata).all(2)
    looked_at = samples[..., [0, samples.shape[2] // 2, -1]]  # the first bands of some sensors are 0 everywhere
    if samples.dtype.kind in "if" and (suspect := np.isin(looked_at, _FILLS).any(2) & known).any():
        _refuse_fills(samples[suspect], whose)
    with np.errstate(over="ignore"):
        converted = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        known &= np.isfinite(converted).all(2)
        if not known.all():
            converted[~known] = 0
        if np.abs(converted).max(initial=0) > _LARGEST:
            raise CubeError(f"samples above {_LARGEST:g} can't be sharpened; scale the cube, or declare that value as no data")
    elif not known.all():
        converted[~known] = 0
    return converted, known


def _refuse_fills(pixels: NDArray[Any], whose: str) -> None:
    """Raises CubeError where one of the pixels (n, B) has the same fill value in most bands."""
    for value in _FILLS:
        share = (pixels == value).mean(1).max()
        if share > _FILLED:
            most = "every band" if share == 1 else "most bands"
            raise CubeError(
                f"pixels of {whose} are {value:g} in {most}, a fill value that its file does not declare; declare that value as no data in "
                "its header"
            )
