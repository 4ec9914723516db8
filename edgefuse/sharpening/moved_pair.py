"""A pair whose image's displacement is taken out: other pixels of the cube for a shift, or the image resampled for a rotation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening.motion import Motion, Nested, after
from edgefuse.sharpening.pair import Mask, Pair, Samples
from edgefuse.sharpening.resampled_image import Resampled, nearest


def without(pair: Pair, motion: Motion) -> Pair:
    """Return a registered pair. A shift is left to the point spread function, and beyond half a pixel of the cube to another choice of the
    cube's pixels; a rotated image is resampled to the grid that nests the cube's."""
    psf = pair.psf
    if motion.rigid:
        down, across = (_whole(shift, psf.ratio) for shift in (motion.dy, motion.dx))
        psf = replace(psf, dy=motion.dy - down * psf.ratio, dx=motion.dx - across * psf.ratio)
        cube = Shifted(pair.cube, down, across, pair.cube_nodata) if down or across else pair.cube
        return replace(pair, cube=cube, psf=psf, motion=motion)
    source = pair.image
    if isinstance(source, Resampled):
        resampled = Resampled(source.image, source.nodata, after(source.mapping, motion, psf.ratio), pair.low_shape[:2], psf.ratio)
    else:
        mapping = after(Nested(psf.ratio), motion, psf.ratio)
        resampled = Resampled(source, pair.image_nodata, mapping, pair.low_shape[:2], psf.ratio)
    return replace(pair, image=resampled, image_nodata=None, psf=replace(psf, dy=0.0, dx=0.0), motion=motion)


def on_grid(mask: Mask, pair: Pair) -> Mask:
    """Return a mask (H, W) of the original image's grid on that of the registered pair."""
    if pair.motion is None or pair.motion.rigid:
        return mask
    return nearest(mask, after(Nested(pair.psf.ratio), pair.motion, pair.psf.ratio), pair.high_shape, pair.psf.ratio)


def _whole(shift: float, ratio: int) -> int:
    return 0 if abs(shift) <= ratio / 2 else round(shift / ratio)


class Shifted:
    """A cube by whole pixels further down and right; missing (its no-data value, or NaN) where it does not reach."""

    def __init__(self, samples: Samples, down: int, across: int, nodata: float | None) -> None:
        self._samples, self._by, self._nodata, self.shape = samples, (down, across), nodata, samples.shape

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        wanted = [s.indices(count)[:2] for s, count in zip((rows, columns), self.shape[:2], strict=True)]
        spans = [(begin - by, end - by) for (begin, end), by in zip(wanted, self._by, strict=True)]
        inside = [(min(max(0, begin), count), max(0, min(end, count))) for (begin, end), count in zip(spans, self.shape[:2], strict=True)]
        (top, bottom), (left, right) = ((begin, max(begin, end)) for begin, end in inside)
        part = self._samples[top:bottom, left:right]
        if inside == spans:
            return part
        missing = math.nan if self._nodata is None else self._nodata
        whole = np.full((*(end - begin for begin, end in spans), self.shape[2]), missing, np.float32 if math.isnan(missing) else part.dtype)
        y, x = top - spans[0][0], left - spans[1][0]
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
        return whole
