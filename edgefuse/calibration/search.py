"""Where the infrared frame lies, roughly: every turn and scale of a grid, every shift at once by Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.calibration.registration import Array, Size, corners, fill, project
from edgefuse.calibration.structure import reduced, structure, warped
from edgefuse.calibration.views import View

_WIDTH = 160  # pixels that the visible frame is reduced to
_ANGLES = np.arange(-8, 8.1, 2)  # degrees
_SCALES = 1.06 ** np.arange(-4, 4.1)
_REACH = 0.25  # of the frame: the largest shift
_APART = 0.05  # of the width: corners' mean distance from which two candidates are two


@dataclass(frozen=True, slots=True)
class Candidate:
    """score: correlation of the two cameras' structure where both see, -1..1. homography: float64 (3, 3), full-size pixels."""

    score: float
    homography: Array


def search(views: Sequence[View], view: float, count: int = 3) -> list[Candidate]:
    """The `count` best that differ, best first. view: share of the visible frame's width that the infrared one's is taken to fill."""
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    size = _WIDTH, max(8, round(visible_size[1] * _WIDTH / visible_size[0]))
    down = grid(visible_size, size)
    base = fill(visible_size, infrared_size, view)
    # of about the resolution that it is compared at, so that turning it mixes few pixels
    small = tuple(max(8, min(n, round(n * view * _WIDTH / infrared_size[0]))) for n in infrared_size)
    up = np.linalg.inv(grid(infrared_size, (small[0], small[1])))
    pictures = [(reduced(v.infrared, (small[0], small[1])), reduced(v.seen, (small[0], small[1]))) for v in views]
    padded = tuple(cv2.getOptimalDFTSize(int(n * (1 + _REACH)) + 1) for n in size[::-1])
    whole = np.ones(size[::-1], np.float32)
    spectra = []
    for v in views:
        s = structure(reduced(v.visible, size), whole)
        spectra.append((np.fft.fft2(s.cos + 1j * s.sin, padded), np.fft.rfft2(s.energy, padded), np.fft.rfft2(s.mask, padded)))
    reach = int(size[1] * _REACH), int(size[0] * _REACH)
    found = []
    for angle in _ANGLES:
        for scale in _SCALES:
            placed = down @ _similarity(visible_size, float(angle), float(scale)) @ base
            sums = np.zeros((3, *padded))
            for (direction, energy, mask), (picture, seen) in zip(spectra, pictures, strict=True):
                s = structure(warped(picture, placed @ up, size), warped(seen, placed @ up, size, cv2.BORDER_CONSTANT))
                sums[0] += np.fft.ifft2(direction * np.conj(np.fft.fft2(s.cos + 1j * s.sin, padded))).real
                # each camera's own energy where the other one sees
                sums[1] += np.fft.irfft2(energy * np.conj(np.fft.rfft2(s.mask, padded)), padded)
                sums[2] += np.fft.irfft2(mask * np.conj(np.fft.rfft2(s.energy, padded)), padded)
            score = sums[0] / np.sqrt(np.maximum(sums[1], 1) * np.maximum(sums[2], 1))
            score = np.roll(score, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
            y, x = np.unravel_index(score.argmax(), score.shape)
            shift = np.array([[1, 0, x - reach[1]], [0, 1, y - reach[0]], [0, 0, 1.0]])
            found.append(Candidate(float(score[y, x]), np.asarray(np.linalg.inv(down) @ shift @ placed)))
    return _different(found, infrared_size, _APART * visible_size[0], count)


def grid(size: Size, to: Size) -> Array:
    """The change of pixel coordinates when a frame of `size` is resized `to` another."""
    sx, sy = to[0] / size[0], to[1] / size[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def _similarity(size: Size, degrees: float, scale: float) -> Array:
    """Turned and scaled about a frame's middle."""
    c, s = np.cos(np.deg2rad(degrees)) * scale, np.sin(np.deg2rad(degrees)) * scale
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y], [0, 0, 1]])


def _different(found: list[Candidate], infrared_size: Size, apart: float, count: int) -> list[Candidate]:
    kept: list[tuple[Candidate, Array]] = []
    for candidate in sorted(found, key=lambda c: -c.score):
        place = project(candidate.homography, corners(infrared_size))
        if all(np.hypot(*(place - other).T).mean() > apart for _, other in kept):
            kept.append((candidate, place))
        if len(kept) == count:
            break
    return [candidate for candidate, _ in kept]
