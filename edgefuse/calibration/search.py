"""Coarse search for the infrared frame's position: a grid of rotations and scales, and all shifts at once by Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgefuse.calibration.registration import Array, Size, centred_homography, corners, project
from edgefuse.calibration.structure import reduced, structure, warped
from edgefuse.calibration.views import View

_WIDTH = 160  # width of the reduced visible frame in pixels
_ANGLES = np.arange(-8, 8.1, 2)  # degrees
_SCALES = 1.06 ** np.arange(-4, 4.1)
_REACH = 0.25  # largest shift as a fraction of the frame
_MIN_DISTANCE = 0.05  # least mean distance of the corners between two candidates, as a fraction of the width


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate position. score: correlation of the structures in the overlap, -1..1. homography: float64 (3, 3), full-size pixels."""

    score: float
    homography: Array


def search(views: Sequence[View], view: float, count: int = 3) -> list[Candidate]:
    """Return the `count` best distinct candidates, best first. view: fraction of the visible width that the infrared view fills."""
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    size = _WIDTH, max(8, round(visible_size[1] * _WIDTH / visible_size[0]))
    down = resize_matrix(visible_size, size)
    base = centred_homography(visible_size, infrared_size, view)
    # resized to about the resolution of the comparison, so that rotating it mixes few pixels
    small = tuple(max(8, min(n, round(n * view * _WIDTH / infrared_size[0]))) for n in infrared_size)
    up = np.linalg.inv(resize_matrix(infrared_size, (small[0], small[1])))
    pictures = [(reduced(v.infrared, (small[0], small[1])), reduced(v.seen, (small[0], small[1]))) for v in views]
    padded = tuple(cv2.getOptimalDFTSize(int(n * (1 + _REACH)) + 1) for n in size[::-1])
    whole = np.ones(size[::-1], np.float32)
    spectra = []
    for v in views:
        s = structure(reduced(v.visible, size), whole)
        spectra.append((np.fft.fft2(s.cos + 1j * s.sin, padded), np.fft.rfft2(s.energy, padded), np.fft.rfft2(s.mask, padded)))
    reach = int(size[1] * _REACH), int(size[0] * _REACH)
    candidates = []
    for angle in _ANGLES:
        for scale in _SCALES:
            placed = down @ _similarity(visible_size, float(angle), float(scale)) @ base
            sums = np.zeros((3, *padded))
            for (direction, energy, mask), (picture, seen) in zip(spectra, pictures, strict=True):
                s = structure(warped(picture, placed @ up, size), warped(seen, placed @ up, size, cv2.BORDER_CONSTANT))
                sums[0] += np.fft.ifft2(direction * np.conj(np.fft.fft2(s.cos + 1j * s.sin, padded))).real
                # each camera's own energy inside the other's view
                sums[1] += np.fft.irfft2(energy * np.conj(np.fft.rfft2(s.mask, padded)), padded)
                sums[2] += np.fft.irfft2(mask * np.conj(np.fft.rfft2(s.energy, padded)), padded)
            score = sums[0] / np.sqrt(np.maximum(sums[1], 1) * np.maximum(sums[2], 1))
            score = np.roll(score, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
            y, x = np.unravel_index(score.argmax(), score.shape)
            shift = np.array([[1, 0, x - reach[1]], [0, 1, y - reach[0]], [0, 0, 1.0]])
            candidates.append(Candidate(float(score[y, x]), np.asarray(np.linalg.inv(down) @ shift @ placed)))
    return _distinct(candidates, infrared_size, _MIN_DISTANCE * visible_size[0], count)


def resize_matrix(size: Size, to: Size) -> Array:
    """Return the change of pixel coordinates when a frame of `size` is resized to another."""
    sx, sy = to[0] / size[0], to[1] / size[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def _similarity(size: Size, degrees: float, scale: float) -> Array:
    """Return a rotation and scaling about the frame's centre."""
    c, s = np.cos(np.deg2rad(degrees)) * scale, np.sin(np.deg2rad(degrees)) * scale
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y], [0, 0, 1]])


def _distinct(candidates: list[Candidate], infrared_size: Size, distance: float, count: int) -> list[Candidate]:
    kept: list[tuple[Candidate, Array]] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        place = project(candidate.homography, corners(infrared_size))
        if all(np.hypot(*(place - other).T).mean() > distance for _, other in kept):
            kept.append((candidate, place))
        if len(kept) == count:
            break
    return [candidate for candidate, _ in kept]
