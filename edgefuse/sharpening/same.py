"""Do a cube and an image show the same scene? Asked before how far one is shifted (registration.py), which says nothing unless they do.

What counts is detail. Any two scenes are somewhat alike in the large, as one half is brighter than the other; in detail only the same ones
are. As in registration, the cube's leading components explain the image.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.sharpening.details import Details, correlated, details, explained, overlap, together
from edgefuse.sharpening.pair import Mask, Pair
from edgefuse.sharpening.registration import amid, components, reach_of, varied

Doubles = NDArray[np.float64]
Offset = tuple[int, int]  # half low-resolution pixels down and right that the image lies off the cube

# Shares of the image that the cube explains. Of its details, in 9 scenes, 4 and 6 bands: the right image has 0.91 and more with 25 dB of
# noise, 0.80 with 15; another scene's, where it is most alike within reach, at most 0.27 (12 x 12 pixels), 0.08 from 20 x 20 on
_SAME, _SAME_OF_FEW = 0.5, 0.7  # made-up scenes of 8 x 8 to 12 x 12 pixels have one edge or two, and another's up to 0.56
_FEW = 400  # pixels
_FAR = 0.75  # of its details at one of thousands of offsets: by chance some are rather alike, other scenes' by up to 0.68
_LARGE = 0.9  # of its pixels: tells where details are noise. Other scenes' have up to 0.76
_OVERLAP = 0.5  # of the pixels, where the two lie far off each other
_GROUPS = 32
_TRIED = 3  # of the offsets at which the two correlate most, for each of no and of half a pixel


def check_same_scene(pair: Pair) -> None:
    """Raises CubeError where the image shows another scene than the cube, or the same one further off than registration looks."""
    scene, offsets = _Scene(pair), _offsets(pair.psf.ratio)
    least = _SAME_OF_FEW if scene.known < _FEW else _SAME
    if not scene.tells or any(scene.share(at) >= least for at in offsets):
        return
    share, (down, across) = scene.far_off()
    half = pair.psf.ratio / 2
    if share >= _FAR:
        raise CubeError(
            f"the image lies about {down * half:+g} rows and {across * half:+g} columns off the cube, which is more than is looked for; "
            "register them first, or turn the one that is turned or mirrored"
        )
    if not any(scene.share_in_the_large(at) >= _LARGE for at in offsets):
        raise CubeError(
            f"the cube explains {100 * max(0.0, scene.share((0, 0))):.0f} % of the image's details: they do not show the same scene, or "
            "one of them is turned, mirrored, far off or clouded (name clouds as no data)"
        )


def _offsets(ratio: int) -> list[Offset]:
    """All that registration looks at, the nearest first."""
    count = math.ceil(reach_of(ratio) / (ratio / 2))
    steps = range(-count, count + 1)
    return sorted(itertools.product(steps, steps), key=lambda at: at[0] ** 2 + at[1] ** 2)


class _Picture(NamedTuple):
    pixels: Doubles
    """(h, w, n)"""
    known: Mask
    """(h, w)"""
    details: Details


class _Moments(NamedTuple):
    mean: Doubles
    """(n,)"""
    varied: Mask
    """(n,): not flat"""


def _grouped(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, B) -> means of neighbouring bands, at most `_GROUPS`: the image's are as wide, and components are found sooner."""
    edges = np.linspace(0, spectra.shape[2], min(spectra.shape[2], _GROUPS) + 1).astype(int)
    return np.asarray(np.add.reduceat(spectra, edges[:-1], axis=2) / np.diff(edges).astype(np.float32))


def _moments(pixels: NDArray[np.floating], known: Mask) -> _Moments:
    """Of pixels (h, w, n), where known (h, w)."""
    if not known.any():
        return _Moments(np.zeros(pixels.shape[2]), np.zeros(pixels.shape[2], bool))
    found = pixels[known].astype(np.float64)
    mean = found.mean(0)
    return _Moments(mean, varied(mean, found.std(0)))


def _picture(pixels: Doubles, known: Mask) -> _Picture:
    return _Picture(pixels, known, details(pixels, known))


class _Scene:
    """A pair's middle, in memory: the cube's leading components, and the image as the cube's camera sees it."""

    def __init__(self, pair: Pair) -> None:
        self._pair = amid(pair)
        self._spans = (0, self._pair.low_shape[0]), (0, self._pair.low_shape[1])
        spectra, known = self._pair.spectra(*self._spans)
        spectra = _grouped(spectra)
        moments = _moments(spectra, known)
        self._images: dict[Offset, _Picture] = {}
        self._cube = _picture(np.zeros((*known.shape, 1)), known)
        if moments.varied.any():
            away = spectra - moments.mean
            self._cube = _picture(away @ components(away[known]), known)
        image = self._image((0, 0))
        found = self._compared((0, 0))[1]
        # of a slope rounding is left, which says nothing
        detailed = len(found) > 0 and varied(_moments(image.pixels, image.known).mean, found.std(0)).any()
        self.known = int(known.sum())
        self.tells = bool(moments.varied.any() and image.known.any() and (detailed or not image.pixels.shape[2]))

    def share(self, at: Offset) -> float:
        """Of the image's details, that the cube explains."""
        return explained(*self._compared(at))

    def share_in_the_large(self, at: Offset) -> float:
        """Of the image's pixels."""
        (down, half_down), (across, half_across) = (divmod(n, 2) for n in at)
        image = self._image((half_down, half_across))
        mine, its = overlap(image.known.shape, down, across), overlap(image.known.shape, -down, -across)
        known = self._cube.known[mine] & image.known[its]
        if not known.any():
            return 0.0
        x, y = self._cube.pixels[mine][known], image.pixels[its][known]
        return explained(x - x.mean(0), y - y.mean(0))

    def _compared(self, at: Offset) -> tuple[Doubles, Doubles]:
        (down, half_down), (across, half_across) = (divmod(n, 2) for n in at)
        image = self._image((half_down, half_across)).details
        return together(self._cube.details.overlap(down, across), image.overlap(-down, -across))

    def _image(self, half: Offset) -> _Picture:
        """Half a pixel off, or none, down and across: bands that are not flat."""
        if half not in self._images:
            down, across = (n * self._pair.psf.ratio / 2 for n in half)
            seen = replace(self._pair, psf=replace(self._pair.psf, dy=down, dx=across)).observed(*self._spans)
            self._images[half] = _picture(seen.pixels[..., _moments(seen.pixels, seen.seen).varied].astype(np.float64), seen.seen)
        return self._images[half]

    def far_off(self) -> tuple[float, Offset]:
        """Where the two are most alike, if anywhere, and how much."""
        found = [(self.share(at), at) for half in itertools.product((0, 1), (0, 1)) for at in self._likely(half)]
        return max(found, default=(0.0, (0, 0)))

    def _likely(self, half: Offset) -> list[Offset]:
        """Among offsets by whole pixels from `half`."""
        found = correlated(self._cube.details, self._image(half).details, _OVERLAP, _TRIED)
        return [(2 * down + half[0], 2 * across + half[1]) for down, across in found]
