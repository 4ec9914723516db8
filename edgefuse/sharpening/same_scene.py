"""Checks that a cube and an image show the same scene, before registration (registration.py), which would fit any two.

Compares details (differences of neighbouring pixels): any two scenes correlate at large scales, only the same scene in detail. As in
registration, the image is regressed on the cube's leading principal components.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening.details import Details, correlated, details, explained, known_in_both, overlap
from edgefuse.sharpening.pair import Mask, Pair
from edgefuse.sharpening.registration import central_window, components, farthest, reach_of, refuse_far, varying_bands

Doubles = NDArray[np.float64]
Offset = tuple[int, int]  # of the image from the cube, down and right, in half low-resolution pixels

# Thresholds on the share of the image's variance that the cube explains. In 9 scenes with 4 and 6 bands, the right image's details have
# 0.91 and more at 25 dB of noise, 0.80 at 15; another scene's best offset has at most 0.27 (12 x 12 pixels), 0.08 from 20 x 20 on
_SAME, _SAME_OF_FEW = 0.5, 0.7  # synthetic scenes of 8 x 8 to 12 x 12 pixels have one or two edges; other scenes reach 0.56 there
_SURE, _BETTER = 0.9, 0.05  # share that no wrong offset has; difference by which a far offset must be better than a near one
_FEW = 400  # known pixels below which _SAME_OF_FEW holds
_FAR = 0.75  # for details at the best of thousands of offsets: by chance other scenes reach 0.68
_LARGE = 0.9  # for pixels instead of details, where details are noise: other scenes reach 0.76
_OVERLAP = 0.5  # smallest share of the pixels that overlap at a far offset
_GROUPS = 32  # bands of the cube are averaged to at most this many
_TRIED = 3  # offsets with the highest correlation that are tried, for each half-pixel shift


def check_same_scene(pair: Pair, registers: bool = True) -> tuple[float, float]:
    """Return a first guess of the shift of the image, rows and columns in its pixels: 0 unless it is beyond what registration looks for
    around that. registers: a shift is to be corrected, so a far one that fits better is looked for.

    Raises CubeError where the image shows another scene, or the same one farther off than is corrected."""
    scene, offsets = _Scene(pair), _offsets(pair.psf.ratio)
    least = _SAME_OF_FEW if scene.known < _FEW else _SAME
    near = scene.nearest(offsets, _SURE if registers else least)
    if not scene.tells or near >= (_SURE if registers else least):
        return 0.0, 0.0
    share, (down, across) = scene.far_off()
    half = pair.psf.ratio / 2
    # a coast, say, looks alike at many offsets
    if near >= least and ((down, across) in offsets or share < max(_FAR, near + _BETTER)):
        return 0.0, 0.0
    if share >= _FAR:
        first = down * half, across * half
        if max(map(abs, first)) > farthest(pair.psf.ratio):
            refuse_far(*first, pair.psf.ratio)
        return first
    if not any(scene.pixel_share(at) >= _LARGE for at in offsets):
        raise CubeError(
            f"the cube explains {100 * max(0.0, scene.share((0, 0))):.0f} % of the image's details: they do not show the same scene, or "
            "one of them is rotated, mirrored, far off or clouded (declare clouds as no data)"
        )
    return 0.0, 0.0


def _offsets(ratio: int) -> list[Offset]:
    """Return all offsets within registration's search range, the nearest first."""
    count = math.ceil(reach_of(ratio) / (ratio / 2))
    steps = range(-count, count + 1)
    return sorted(itertools.product(steps, steps), key=lambda at: at[0] ** 2 + at[1] ** 2)


class _Picture(NamedTuple):
    """Components or bands with their details."""

    pixels: Doubles
    """(h, w, n)"""
    known: Mask
    """(h, w)"""
    details: Details


class _Moments(NamedTuple):
    """Means of bands, and which of them vary."""

    mean: Doubles
    """(n,)"""
    varying: Mask
    """(n,): which bands are not flat"""


def _grouped(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average neighbouring bands of (h, w, B) to at most `_GROUPS`: the image's bands are as wide, and it saves time."""
    edges = np.linspace(0, spectra.shape[2], min(spectra.shape[2], _GROUPS) + 1).astype(int)
    return np.asarray(np.add.reduceat(spectra, edges[:-1], axis=2) / np.diff(edges).astype(np.float32))


def _moments(pixels: NDArray[np.floating], known: Mask) -> _Moments:
    """Return the moments of pixels (h, w, n) over the `known` (h, w) ones."""
    if not known.any():
        return _Moments(np.zeros(pixels.shape[2]), np.zeros(pixels.shape[2], bool))
    values = pixels[known].astype(np.float64)
    mean = values.mean(0)
    return _Moments(mean, varying_bands(mean, values.std(0)))


def _picture(pixels: Doubles, known: Mask) -> _Picture:
    return _Picture(pixels, known, details(pixels, known))


class _Scene:
    """A pair's central window in memory: the cube's leading components, and the image degraded to the cube's resolution."""

    def __init__(self, pair: Pair) -> None:
        self._pair = central_window(pair)
        self._spans = (0, self._pair.low_shape[0]), (0, self._pair.low_shape[1])
        spectra, known = self._pair.compared(*self._spans)
        known = known & spectra.any(2)  # pixels that are 0 in every band may be missing: no evidence for another scene
        spectra = _grouped(spectra)
        moments = _moments(spectra, known)
        self._images: dict[Offset, _Picture] = {}
        self._cube = _picture(np.zeros((*known.shape, 1)), known)
        if moments.varying.any():
            centred = spectra - moments.mean
            self._cube = _picture(centred @ components(centred[known]), known)
        image = self._image((0, 0))
        image_details = self._compared((0, 0))[1]
        # the details of a constant slope are rounding error
        detailed = len(image_details) > 0 and varying_bands(_moments(image.pixels, image.known).mean, image_details.std(0)).any()
        self.known = int(known.sum())
        self.tells = bool(moments.varying.any() and image.known.any() and (detailed or not image.pixels.shape[2]))

    def share(self, at: Offset) -> float:
        """Return the share of the variance of the image's details that the cube explains at an offset."""
        return explained(*self._compared(at))

    def nearest(self, offsets: list[Offset], enough: float) -> float:
        """Return the largest explained share over offsets; it stops at the first that is `enough`."""
        best = 0.0
        for at in offsets:
            best = max(best, self.share(at))
            if best >= enough:
                break
        return best

    def pixel_share(self, at: Offset) -> float:
        """Return the share of the variance of the image's pixels that the cube explains at an offset."""
        (down, half_down), (across, half_across) = (divmod(n, 2) for n in at)
        image = self._image((half_down, half_across))
        cube_part, image_part = overlap(image.known.shape, down, across), overlap(image.known.shape, -down, -across)
        known = self._cube.known[cube_part] & image.known[image_part]
        if not known.any():
            return 0.0
        x, y = self._cube.pixels[cube_part][known], image.pixels[image_part][known]
        return explained(x - x.mean(0), y - y.mean(0))

    def _compared(self, at: Offset) -> tuple[Doubles, Doubles]:
        (down, half_down), (across, half_across) = (divmod(n, 2) for n in at)
        image = self._image((half_down, half_across)).details
        return known_in_both(self._cube.details.overlap(down, across), image.overlap(-down, -across))

    def _image(self, half: Offset) -> _Picture:
        """Return the degraded image's varying bands, shifted by 0 or 1 half low-resolution pixels down and across."""
        if half not in self._images:
            psf = self._pair.psf
            down, across = (offset + n * psf.ratio / 2 for offset, n in zip((psf.dy, psf.dx), half, strict=True))
            seen = replace(self._pair, psf=replace(psf, dy=down, dx=across)).observed(*self._spans)
            known = seen.seen & seen.pixels.any(2)
            self._images[half] = _picture(seen.pixels[..., _moments(seen.pixels, known).varying].astype(np.float64), known)
        return self._images[half]

    def far_off(self) -> tuple[float, Offset]:
        """Return the largest explained share over far offsets, and its offset."""
        candidates = [(self.share(at), at) for half in itertools.product((0, 1), (0, 1)) for at in self._likely(half)]
        return max(candidates, default=(0.0, (0, 0)))

    def _likely(self, half: Offset) -> list[Offset]:
        """Return candidate offsets at whole pixels from `half`, by cross-correlation."""
        offsets = correlated(self._cube.details, self._image(half).details, _OVERLAP, _TRIED)
        return [(2 * down + half[0], 2 * across + half[1]) for down, across in offsets]
