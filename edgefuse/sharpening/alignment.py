"""Refines the shift between image and cube to a fraction of a pixel, and estimates a rotation and a scale.

Gauss-Newton on the regression that registration.py tries shifts with: the image, seen through the point spread function, is a linear
function of the cube; the displacement that makes it so follows from the derivatives of what is seen. Pixels with large errors (clouds,
shadows, changes) lose their weight in the course of the iterations.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.sharpening.motion import Motion
from edgefuse.sharpening.pair import Mask, Pair, Span, grown
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.registration import WINDOW, components, middle, reach_of, varying_bands
from edgefuse.util.arrays import Float32Array, Float64Array

_ITERATIONS, _ENOUGH = 12, 2e-3  # at most, and the step in the image's pixels that ends them
_TUNING = 3.0  # errors of so many typical ones have a quarter of the weight
_ALIEN = 10.0  # and of so many none
_LARGEST_STEP = 0.5  # of an iteration, in low-resolution pixels
_OUTSIDE = 0.02  # share of a pixel's weight that may fall outside of the image
_MISSING = 1e-3  # and on missing pixels
_SLACK = 6.0  # displacements beyond the expected ones for which pixels are read, in the image's pixels
_PARTS = 3  # parts of a large scene along each axis
_PER_REGRESSOR = 3  # low-resolution pixels needed for each regressor
_PIXELS = 2048  # low-resolution pixels used, at most
_CHUNK = 1_000_000  # samples of the image gathered at a time
# A rotation and a scale are believed if they move the scene's corner by so many pixels of the image and so many standard errors
_TURNED, _PLAIN = 0.2, 6.0
_MOST_TURNED, _MOST_GROWN = math.radians(1.2), 0.012  # that are corrected: 1 degree and 1 %, and what the estimate may be wrong by
_UNSURE = 0.25  # standard error of a shift, in the image's pixels, from which on it is not refined
_MOST_LEFT = 0.5  # share of an image band's deviation above which nothing is estimated
_ROUND, _ROUNDED = 0.5, 0.05  # a shift that is so near to a multiple of half a pixel is taken for it


class Part(NamedTuple):
    """A window of the scene: its low-resolution pixels that are known, and the image around them."""

    at: Float64Array
    """(n, 2): rows and columns of the low-resolution pixels' centres, in pixels of the image, without displacement"""
    spectra: Float64Array
    """(n, B)"""
    image: Float32Array
    """(H, W, b)"""
    known: Mask
    """(H, W)"""
    corner: tuple[int, int]
    """the image's pixel where `image` begins"""


class Estimate(NamedTuple):
    motion: Motion
    errors: Float64Array
    """(4,): standard errors of dy, dx, and of growth and turn in pixels at the scene's corner"""
    left: float
    """share of the deviation of a typical band that the cube leaves unexplained"""
    corner: float
    """distance of the scene's corner from its centre, in pixels of the image"""


def aligned(pair: Pair) -> Motion:
    """Return the displacement of a pair whose point spread function has it to a pixel. Raises CubeError where it is too large."""
    start = Motion(pair.psf.dy, pair.psf.dx, centre=_centre(pair)[0])
    turned = refined(pair, True)
    if turned is None or turned.left > _MOST_LEFT:
        return start
    if _is_turned(turned):
        _check_turned(turned.motion)
        return turned.motion
    found = refined(pair, False)
    if found is None or found.left > _MOST_LEFT or max(found.errors) > _UNSURE:
        return start
    motion = replace(start, dy=_rounded(found.motion.dy), dx=_rounded(found.motion.dx))
    if max(abs(motion.dy - start.dy), abs(motion.dx - start.dx)) > reach_of(pair.psf.ratio):
        return start
    return motion


def _is_turned(found: Estimate) -> bool:
    by = math.hypot(found.motion.turn, found.motion.growth) * found.corner
    return by > max(_TURNED, _PLAIN * float(found.errors[2:].max()))


def _check_turned(motion: Motion) -> None:
    if abs(motion.turn) > _MOST_TURNED or abs(motion.growth) > _MOST_GROWN:
        raise CubeError(
            f"the image is turned by {math.degrees(motion.turn):+.2f} degrees against the cube, and its scale differs by "
            f"{100 * motion.growth:+.2f} %: only rotations up to 1 degree and scales within 1 % are corrected; register them first"
        )


def _rounded(shift: float) -> float:
    whole = _ROUND * round(shift / _ROUND)
    return whole if abs(shift - whole) < _ROUNDED else shift


def refined(pair: Pair, turned: bool) -> Estimate | None:
    """Return the displacement, starting from the pair's point spread function; with `turned` also a rotation and a scale. None where too
    few pixels are known."""
    centre, corner = _centre(pair)
    start = Motion(pair.psf.dy, pair.psf.dx, centre=centre)
    spans = [middle(count) for count in pair.low_shape[:2]]
    found = _solved([_part(pair, (spans[0], spans[1]), start, _PIXELS)], pair.psf, start, corner, turned)
    if found is None or max(pair.low_shape[:2]) <= WINDOW:
        return found
    windows = _windows(pair)
    parts = [_part(pair, window, found.motion, _PIXELS // len(windows)) for window in windows]
    return _solved(parts, pair.psf, found.motion, corner, turned) or found


def _centre(pair: Pair) -> tuple[tuple[float, float], float]:
    height, width, _ = pair.high_shape
    return ((height - 1) / 2, (width - 1) / 2), math.hypot(height, width) / 2


def _windows(pair: Pair) -> list[tuple[Span, Span]]:
    """Return windows in all parts of a large scene, which together are as large as the central window of registration.py."""
    side = WINDOW // _PARTS + 1
    spans = []
    for count in pair.low_shape[:2]:
        starts = np.unique(np.linspace(0, max(0, count - side), _PARTS).astype(int)).tolist()
        spans.append([(start, min(count, start + side)) for start in starts])
    return list(itertools.product(spans[0], spans[1]))


def _part(pair: Pair, window: tuple[Span, Span], expected: Motion, most: int) -> Part:
    spectra, known = pair.compared(*window)
    ratio = pair.psf.ratio
    known = _some(known, most)
    rows, columns = np.nonzero(known)
    at = np.stack([rows + window[0][0], columns + window[1][0]], 1) * float(ratio) + (ratio - 1) / 2
    corners = np.array(list(itertools.product(*window)), np.float64) * ratio
    moved = corners + expected(corners)
    reach = replace(pair.psf, dy=0.0, dx=0.0).reach + math.ceil(_SLACK + ratio / 2)
    spans = []
    for (low, high), count in zip(zip(moved.min(0), moved.max(0), strict=True), pair.high_shape[:2], strict=True):
        begin, end = grown((math.floor(low), math.ceil(high)), reach, count)
        spans.append((min(begin, count - 1), max(end, min(begin, count - 1) + 1)))
    pixels, valid = pair.pixels(spans[0], spans[1])
    return Part(np.asarray(at, np.float64), spectra[known].astype(np.float64), pixels, valid, (spans[0][0], spans[1][0]))


def _some(known: Mask, most: int) -> Mask:
    """Return at most `most` of the known pixels, from all over the window."""
    at = np.flatnonzero(known)
    if len(at) <= most:
        return known
    chosen = np.zeros(known.size, bool)
    chosen[np.random.default_rng(0).permutation(at)[:most]] = True
    return chosen.reshape(known.shape)


class _Seen(NamedTuple):
    """What the image shows at displaced low-resolution pixels."""

    pixels: Float64Array
    """(n, b)"""
    slopes: Float64Array
    """(2, n, b): derivatives by the displacement down and right"""
    known: Mask
    """(n,)"""


def _seen(part: Part, psf: Psf, motion: Motion) -> _Seen:
    centres = part.at + motion(part.at) - part.corner
    bands = part.image.shape[2]
    step = max(1, _CHUNK // ((2 * psf.radius + 2) ** 2 * bands))
    chunks = [_seen_at(part, psf, centres[first : first + step]) for first in range(0, max(1, len(centres)), step)]
    pixels, slopes, known = (list(each) for each in zip(*chunks, strict=True))
    return _Seen(np.concatenate(pixels), np.concatenate(slopes, 1), np.concatenate(known))


def _seen_at(part: Part, psf: Psf, centres: Float64Array) -> _Seen:
    axes = [_taps(centres[:, axis], part.known.shape[axis], psf) for axis in (0, 1)]
    (rows, down, down_slope, in_rows), (columns, across, across_slope, in_columns) = axes
    at = rows[:, :, None], columns[:, None, :]
    missing = np.zeros(len(centres))
    if not part.known.all():
        missing = np.einsum("ni,nij,nj->n", down, ~part.known[at], across)
    # (n, k, 2, b), then (n, 2, 2, b): weighted, or with the weights' derivative, down and across
    by_columns = np.stack([across, across_slope], 1).astype(np.float32)[:, None] @ part.image[at]
    both = np.stack([down, down_slope], 1).astype(np.float32) @ by_columns.reshape(*rows.shape, -1)
    both = both.reshape(len(rows), 2, 2, -1).astype(np.float64)
    return _Seen(both[:, 0, 0], np.stack([both[:, 1, 0], both[:, 0, 1]]), in_rows & in_columns & (missing < _MISSING))


def _taps(centres: Float64Array, count: int, psf: Psf) -> tuple[np.ndarray, Float64Array, Float64Array, Mask]:
    """Return pixels (n, k) of an axis of `count`, their weights and the derivatives of these by the centre, and which centres (n,) see
    nearly nothing outside of the axis."""
    sigma = psf.sigma
    radius = psf.radius
    at = np.floor(centres).astype(np.intp)[:, None] + np.arange(-radius, radius + 2)
    away = at - centres[:, None]
    weights = np.where(np.abs(away) <= radius + 1e-6, np.exp(-0.5 * np.square(away / sigma)), 0)
    weights /= weights.sum(1, keepdims=True)
    slopes = weights * (away - (weights * away).sum(1, keepdims=True)) / sigma**2
    inside = (at >= 0) & (at < count)
    return np.clip(at, 0, count - 1), weights, slopes, np.asarray((weights * ~inside).sum(1) < _OUTSIDE)


def _solved(parts: list[Part], psf: Psf, start: Motion, corner: float, turned: bool) -> Estimate | None:
    spectra = np.concatenate([part.spectra for part in parts])
    if not len(spectra):
        return None
    centred = spectra - spectra.mean(0)
    regressors = np.concatenate([centred @ components(centred), np.ones((len(spectra), 1))], 1)
    at = np.concatenate([part.at for part in parts]) - start.centre
    motion, trust = start, np.ones(len(spectra))
    for _ in range(_ITERATIONS):
        seen = [_seen(part, psf, motion) for part in parts]
        known = np.concatenate([s.known for s in seen])
        if known.sum() < _PER_REGRESSOR * (regressors.shape[1] + 4):
            return None
        pixels, slopes = np.concatenate([s.pixels for s in seen]), np.concatenate([s.slopes for s in seen], 1)
        step, errors, left, trust = _step(
            regressors[known], pixels[known], _jacobian(slopes[:, known], at[known] / corner, turned), trust, known
        )
        size = max(1.0, float(np.abs(step).max()) / (_LARGEST_STEP * psf.ratio))
        dy, dx, growth, turn = np.pad(step / size, (0, 4 - len(step))).tolist()
        motion = Motion(motion.dy + dy, motion.dx + dx, motion.turn + turn / corner, motion.growth + growth / corner, motion.centre)
        if max(map(abs, (dy, dx, growth, turn))) < _ENOUGH:
            break
    return Estimate(motion, np.pad(errors, (0, 4 - len(errors))), left, corner)


def _jacobian(slopes: Float64Array, at: Float64Array, turned: bool) -> Float64Array:
    """Return the derivatives (p, n, b) of what is seen by dy, dx and, with `turned`, growth and turn, both in pixels at the corner."""
    if not turned:
        return slopes
    (by_row, by_column), (y, x) = slopes, at.T[:, :, None]
    return np.stack([by_row, by_column, by_row * y + by_column * x, by_row * x - by_column * y])


def _step(
    x: Float64Array, y: Float64Array, jacobian: Float64Array, trust: Float64Array, known: Mask
) -> tuple[Float64Array, Float64Array, float, Float64Array]:
    """Return the step (p,), its standard errors, the share of a band's deviation that is left and the new weights of all pixels.
    x: (n, k), y: (n, b), jacobian: (p, n, b)."""
    varying = varying_bands(y.mean(0), y.std(0))
    y, jacobian = y[:, varying], jacobian[..., varying]
    count, bands = len(jacobian), y.shape[1]
    zero = np.zeros(count)
    if not bands:
        return zero, zero + np.inf, 1.0, trust
    weight = trust[known]
    scale = y.std(0)
    for _ in range(2):
        root = np.sqrt(weight)[:, None]
        basis = np.linalg.qr(x * root)[0]
        both = np.concatenate([y[None], jacobian]) * root
        both -= basis @ (basis.T @ both)
        goal, slopes = both[0] / scale, both[1:] / scale
        normal = np.einsum("pnb,qnb->pq", slopes, slopes)
        step = -np.linalg.lstsq(normal, np.einsum("pnb,nb->p", slopes, goal), rcond=1e-9)[0]
        error = (both[0] + np.tensordot(step, both[1:], 1)) / np.maximum(root, 1e-9)
        # a trusted band is one that the cube explains well
        scale = np.maximum(1.4826 * np.median(np.abs(error), 0), 1e-5 * y.std(0))
        size = np.sqrt(np.square(error / scale).mean(1))
        weight = np.where(size < _ALIEN, 1 / np.square(1 + np.square(size / _TUNING)), 1e-12)
    trust = trust.copy()
    trust[known] = weight
    squared = float(np.square(goal + np.tensordot(step, slopes, 1)).sum()) / max(1.0, bands * float(weight.sum()) - x.shape[1] * bands)
    left = float(np.median(scale / y.std(0)))
    return step, np.sqrt(np.maximum(squared * np.diagonal(np.linalg.pinv(normal)), 0)), left, trust
