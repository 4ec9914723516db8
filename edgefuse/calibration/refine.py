"""Refines a rough homography to sub-pixel accuracy: small blocks vote for shifts, and one homography maximises the sum of votes.

A block's vote is the correlation of its structure for every small shift. A block with only an edge, or with no structure, gives a
correspondingly elongated or flat vote, so no block has to name a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.calibration.registration import Array, Size, centred_homography, project
from edgefuse.calibration.search import resize_matrix
from edgefuse.calibration.structure import reduced, structure, warped
from edgefuse.calibration.views import View
from edgefuse.util.arrays import Float32Array

# Two mounted cameras differ mainly by rotation, scale and shift. These are standard deviations of the other four parameters, as movement of
# the picture's sides relative to its width.
_SPREAD = np.array([4.0, 4.0, 3.0, 3.0]) / 640
_PRIOR_WEIGHT = 30.0  # weight of this prior, in blocks
_MIN_ENERGY = 1e-4  # regularisation that keeps blocks without structure from voting


@dataclass(frozen=True, slots=True)
class Level:
    """Settings of one pyramid level.

    width: width of the reduced visible frame in pixels. reach: largest shift of a block in pixels. block: side of a block in pixels.
    blurs: blur of the votes in each round. free: number of free parameters, 6 (affine) or 8.
    """

    width: int
    reach: int
    block: int
    blurs: tuple[float, ...]
    free: int


LEVELS = (Level(240, 10, 48, (2.5, 1.2), 6), Level(320, 5, 48, (1.2, 0.7), 8), Level(640, 5, 64, (1.2, 0.6), 8))


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes of N blocks.

    surfaces: float32 (2 reach + 1, 2 reach + 1, N), correlation by shift (y, x). where: float64 (N, 2), the blocks' centres in full-size
    visible pixels. step: full-size pixels in a shift by one.
    """

    surfaces: Float32Array
    where: Array
    step: float

    @property
    def reach(self) -> int:
        return self.surfaces.shape[0] // 2


def refine(views: Sequence[View], homography: Array, levels: Sequence[Level] = LEVELS) -> tuple[Array, Votes, float]:
    """Refine a homography. Returns it (float64 (3, 3)), the last level's votes, and their mean for it."""
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    for level in levels:
        votes = collect_votes(views, homography, level)
        move, mean = best_motion(votes, visible_size, level, higher_order_terms(homography, visible_size, infrared_size))
        homography = motion_homography(move, visible_size) @ homography
        homography = homography / homography[2, 2]
    return homography, votes, mean


def collect_votes(views: Sequence[View], homography: Array, level: Level) -> Votes:
    """Compute each block's correlation for every shift of the infrared frame within reach."""
    visible_size = views[0].visible_size
    width = min(level.width, visible_size[0])
    size = width, round(visible_size[1] * width / visible_size[0])
    blocks = max(2, round(size[0] / level.block)), max(2, round(size[1] / level.block))
    placed, reach = resize_matrix(visible_size, size) @ homography, level.reach
    count = 2 * reach + 1
    surfaces = np.zeros((count, count, len(views), blocks[1], blocks[0]), np.float32)
    for k, v in enumerate(views):
        one = structure(reduced(v.visible, size), np.ones(size[::-1], np.float32))
        two = structure(warped(v.infrared, placed, size), warped(v.seen, placed, size, cv2.BORDER_CONSTANT))
        energy = one.energy
        cos, sin, mask, other = (
            cv2.copyMakeBorder(p, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
            for p in (two.cos, two.sin, two.mask, two.energy)
        )
        for dy in range(count):
            for dx in range(count):
                part = np.s_[2 * reach - dy : 2 * reach - dy + size[1], 2 * reach - dx : 2 * reach - dx + size[0]]
                agreement = _by_block(one.cos * cos[part] + one.sin * sin[part], blocks)
                powers = _by_block(energy * mask[part], blocks) * _by_block(other[part] * one.mask, blocks)
                surfaces[dy, dx, k] = agreement / np.sqrt(powers + _MIN_ENERGY)
    ys, xs = np.mgrid[: blocks[1], : blocks[0]]
    where = np.stack(
        [(xs.ravel() + 0.5) / blocks[0] * visible_size[0] - 0.5, (ys.ravel() + 0.5) / blocks[1] * visible_size[1] - 0.5], axis=1
    )
    return Votes(surfaces.reshape(count, count, -1), np.tile(where, (len(views), 1)), visible_size[0] / size[0])


def _by_block(picture: Float32Array, blocks: Size) -> Float32Array:
    return np.asarray(cv2.resize(picture, blocks, interpolation=cv2.INTER_AREA), np.float32)


def best_motion(votes: Votes, size: Size, level: Level, prior_terms: Array, weights: Array | None = None) -> tuple[Array, float]:
    """Find the parameters, float64 (8,) of `motion_homography`, with the highest sum of votes, starting from none. Returns the mean vote
    too.

    weights: float64 (N,), per block. prior_terms: the start homography's last four parameters, which the prior keeps small.
    """
    weight = np.ones(votes.where.shape[0]) if weights is None else weights
    basis = _motion_derivatives(votes.where, size) / votes.step
    spread = _SPREAD * size[0]
    hold = np.zeros(8)
    hold[4:] = _PRIOR_WEIGHT / spread**2
    offset = np.concatenate([np.zeros(4), prior_terms])
    move = np.zeros(8)
    value = 0.0
    for blur in level.blurs:
        surface = _blurred(votes.surfaces, blur)
        (value, slope, curve), damping = _vote(surface, basis @ move, weight), 1e-2
        for _ in range(8):
            goal = value - 0.5 * float(hold @ (move + offset) ** 2)
            gradient = np.einsum("bik,bi->k", basis, slope) - hold * (move + offset)
            curvature = -np.einsum("bik,bij,bjl->kl", basis, curve, basis) + np.diag(hold)
            step = np.zeros(8)
            for _ in range(5):
                damped = curvature + np.diag(damping * np.diag(curvature) + 1e-9)
                step[: level.free] = np.linalg.solve(damped[: level.free, : level.free], gradient[: level.free])
                new = _vote(surface, basis @ (move + step), weight)
                if new[0] - 0.5 * float(hold @ (move + step + offset) ** 2) > goal:
                    break
                damping *= 6
            else:
                break
            move, (value, slope, curve), damping = move + step, new, max(damping / 4, 1e-4)
            if np.abs(step).max() < 0.005 * votes.step:
                break
    return move, value / float(weight.sum())


def _blurred(surfaces: Float32Array, sigma: float) -> Float32Array:
    """Blur along the two axes of shifts."""
    kernel = cv2.getGaussianKernel(int(6 * sigma) | 1, sigma, cv2.CV_32F).ravel()
    reach = len(kernel) // 2
    for axis in (0, 1):
        padded = np.pad(surfaces, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        surfaces = sum(k * padded[_along(axis, j, surfaces.shape[axis])] for j, k in enumerate(kernel))
    return surfaces


def _along(axis: int, begin: int, length: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(begin, begin + length),)


def _vote(surface: Float32Array, shifts: Array, weight: Array) -> tuple[float, Array, Array]:
    """Return the weighted sum of the blocks' votes for their `shifts` (N, 2), and its first (N, 2) and second (N, 2, 2) derivatives.

    Votes are interpolated by the parabola through the nearest grid shift and its eight neighbours. Upward curvature counts as zero.
    """
    reach, n = surface.shape[0] // 2, np.arange(len(shifts))
    at = shifts + reach
    nearest = np.clip(np.rint(at), 1, 2 * reach - 1)
    x, y = nearest.astype(np.intp).T
    here, left, right, above, below = (surface[y + j, x + i, n] for i, j in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)))
    cross = (surface[y + 1, x + 1, n] - surface[y + 1, x - 1, n] - surface[y - 1, x + 1, n] + surface[y - 1, x - 1, n]) / 4
    curve = np.stack([right - 2 * here + left, cross, cross, below - 2 * here + above], axis=1).reshape(-1, 2, 2).astype(np.float64)
    slope = np.stack([(right - left) / 2, (below - above) / 2], axis=1).astype(np.float64)
    off = np.clip(at - nearest, -1, 1)
    bend = np.einsum("bij,bj->bi", curve, off)
    value = float(weight @ (here + ((slope + bend / 2) * off).sum(axis=1)))
    values, vectors = np.linalg.eigh(curve)
    return (
        value,
        weight[:, None] * (slope + bend),
        weight[:, None, None] * ((vectors * np.minimum(values, 0)[:, None, :]) @ vectors.transpose(0, 2, 1)),
    )


def _motion_derivatives(points: Array, size: Size) -> Array:
    """Return the derivatives of the points (N, 2) by each of the eight parameters: float64 (N, 2, 8)."""
    half = size[0] / 2
    u, v = ((points - (np.array(size) - 1) / 2) / half).T
    one, none = np.ones_like(u), np.zeros_like(u)
    return np.array(
        [(one, none), (none, one), (u, v), (-v, u), (u, -v), (v, u), (u * u, u * v), (u * v, v * v)]
    ).transpose(2, 1, 0)  # fmt: skip


def motion_homography(move: Array, size: Size) -> Array:
    """Return the homography of eight parameters: two shifts, scale, rotation, stretch, shear and two tilts.

    Each is in pixels of movement at the middle of the frame's side.
    """
    half = size[0] / 2
    right, down, scale, turn, stretch, shear, tilt_x, tilt_y = move / half
    generator = np.array([[scale + stretch, shear - turn, right], [shear + turn, scale - stretch, down], [-tilt_x, -tilt_y, 0]])
    power, total = np.eye(3), np.eye(3)
    for k in range(1, 9):
        power = power @ generator / k
        total = total + power
    unit = np.array([[1 / half, 0, (1 - size[0]) / 2 / half], [0, 1 / half, (1 - size[1]) / 2 / half], [0, 0, 1]])
    total = np.linalg.inv(unit) @ total @ unit
    return total / total[2, 2]


def higher_order_terms(homography: Array, visible_size: Size, infrared_size: Size) -> Array:
    """Return a homography's stretch, shear and tilts, float64 (4,), that is its parameters in `motion_homography` beyond a similarity."""
    half = visible_size[0] / 2
    xs, ys = np.meshgrid(np.linspace(-0.7, 0.7, 5), np.linspace(-0.7, 0.7, 5) * visible_size[1] / visible_size[0])
    points = np.stack([xs.ravel(), ys.ravel()], axis=1) * half + (np.array(visible_size) - 1) / 2
    moved = project(homography @ np.linalg.inv(centred_homography(visible_size, infrared_size)), points)
    before, after = (p[:, 0] + 1j * p[:, 1] for p in (points, moved))
    turn_and_scale, shift = np.linalg.lstsq(np.stack([before, np.ones_like(before)], axis=1), after, rcond=None)[0]
    left = (after - shift) / turn_and_scale - before
    fields = _motion_derivatives(points, visible_size).reshape(-1, 8)
    solution: NDArray[np.float64] = np.linalg.lstsq(fields, np.stack([left.real, left.imag], axis=1).ravel(), rcond=None)[0]
    return solution[4:]
