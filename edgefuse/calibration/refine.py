"""From roughly to a fraction of a pixel: small blocks vote for where they would move, and one homography takes most of their votes.

A block's vote is a picture: the correlation of its structure for every small shift. Blocks that are sure of one direction only (an
edge) or of nothing at all (a lawn) vote so, and are never made to name a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.calibration.registration import Array, Size, fill, project
from edgefuse.calibration.search import grid
from edgefuse.calibration.structure import reduced, structure, warped
from edgefuse.calibration.views import Floats, View

# two mounted cameras differ by little more than a turn, a scale and a shift; the rest may move the picture's sides by about these
# standard deviations, shares of its width
_SPREAD = np.array([4.0, 4.0, 3.0, 3.0]) / 640
_TRUST = 30.0  # how many blocks' votes the above is worth
_EVIDENCE = 1e-4  # keeps blocks with nothing in them from voting


@dataclass(frozen=True, slots=True)
class Level:
    """width: pixels the visible frame is reduced to. reach: pixels a block may move. block: pixels of its side. blurs: of the votes, one
    round each. free: parameters that may change, 6 (affine) or 8."""

    width: int
    reach: int
    block: int
    blurs: tuple[float, ...]
    free: int


LEVELS = (Level(240, 10, 48, (2.5, 1.2), 6), Level(320, 5, 48, (1.2, 0.7), 8), Level(640, 5, 64, (1.2, 0.6), 8))


@dataclass(frozen=True, slots=True)
class Votes:
    """surfaces: float32 (2 reach + 1, 2 reach + 1, N), correlation by shift (y, x), of N blocks. where: float64 (N, 2), the blocks'
    centres, full-size visible pixels. step: full-size pixels of a shift by one."""

    surfaces: Floats
    where: Array
    step: float

    @property
    def reach(self) -> int:
        return self.surfaces.shape[0] // 2


def refine(views: Sequence[View], homography: Array, levels: Sequence[Level] = LEVELS) -> tuple[Array, Votes, float]:
    """The homography (float64 (3, 3)) that the votes around `homography` lead to, the last level's votes, and their mean for it."""
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    for level in levels:
        votes = poll(views, homography, level)
        move, mean = settle(votes, visible_size, level, bent(homography, visible_size, infrared_size))
        homography = motion(move, visible_size) @ homography
        homography = homography / homography[2, 2]
    return homography, votes, mean


def poll(views: Sequence[View], homography: Array, level: Level) -> Votes:
    """Each block's correlation for every shift of the infrared frame within reach."""
    visible_size = views[0].visible_size
    width = min(level.width, visible_size[0])
    size = width, round(visible_size[1] * width / visible_size[0])
    blocks = max(2, round(size[0] / level.block)), max(2, round(size[1] / level.block))
    placed, reach = grid(visible_size, size) @ homography, level.reach
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
                alike = _by_block(one.cos * cos[part] + one.sin * sin[part], blocks)
                powers = _by_block(energy * mask[part], blocks) * _by_block(other[part] * one.mask, blocks)
                surfaces[dy, dx, k] = alike / np.sqrt(powers + _EVIDENCE)
    ys, xs = np.mgrid[: blocks[1], : blocks[0]]
    where = np.stack(
        [(xs.ravel() + 0.5) / blocks[0] * visible_size[0] - 0.5, (ys.ravel() + 0.5) / blocks[1] * visible_size[1] - 0.5], axis=1
    )
    return Votes(surfaces.reshape(count, count, -1), np.tile(where, (len(views), 1)), visible_size[0] / size[0])


def _by_block(picture: Floats, blocks: Size) -> Floats:
    return np.asarray(cv2.resize(picture, blocks, interpolation=cv2.INTER_AREA), np.float32)


def settle(votes: Votes, size: Size, level: Level, bent_by: Array, weights: Array | None = None) -> tuple[Array, float]:
    """The motion, float64 (8,) of `motion`, with the most votes near none, and the mean vote for it. weights: float64 (N,), blocks'.

    bent_by: what the homography at hand has of the four parameters that are held back.
    """
    weight = np.ones(votes.where.shape[0]) if weights is None else weights
    basis = _fields(votes.where, size) / votes.step
    spread = _SPREAD * size[0]
    hold = np.zeros(8)
    hold[4:] = _TRUST / spread**2
    offset = np.concatenate([np.zeros(4), bent_by])
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


def _blurred(surfaces: Floats, sigma: float) -> Floats:
    """Along the two axes of shifts."""
    kernel = cv2.getGaussianKernel(int(6 * sigma) | 1, sigma, cv2.CV_32F).ravel()
    reach = len(kernel) // 2
    for axis in (0, 1):
        padded = np.pad(surfaces, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        surfaces = sum(k * padded[_along(axis, j, surfaces.shape[axis])] for j, k in enumerate(kernel))
    return surfaces


def _along(axis: int, begin: int, length: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(begin, begin + length),)


def _vote(surface: Floats, shifts: Array, weight: Array) -> tuple[float, Array, Array]:
    """The weighted sum of what the blocks say to their `shifts` (N, 2), and its first (N, 2) and second (N, 2, 2) derivatives for each
    block: of the parabola through the nearest shift of the grid and the eight around it. In the second, hollows count as flat."""
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


def _fields(points: Array, size: Size) -> Array:
    """How each of the eight parameters moves the points (N, 2), to first order: float64 (N, 2, 8), pixels a pixel."""
    half = size[0] / 2
    u, v = ((points - (np.array(size) - 1) / 2) / half).T
    one, none = np.ones_like(u), np.zeros_like(u)
    return np.array(
        [(one, none), (none, one), (u, v), (-v, u), (u, -v), (v, u), (u * u, u * v), (u * v, v * v)]
    ).transpose(2, 1, 0)  # fmt: skip


def motion(move: Array, size: Size) -> Array:
    """The homography of eight parameters: two shifts, scale, turn, stretch, shear and two tilts, each the pixels by which it moves the
    middle of the frame's side."""
    half = size[0] / 2
    right, down, scale, turn, stretch, shear, tilt_x, tilt_y = move / half
    generator = np.array([[scale + stretch, shear - turn, right], [shear + turn, scale - stretch, down], [-tilt_x, -tilt_y, 0]])
    power, made = np.eye(3), np.eye(3)
    for k in range(1, 9):
        power = power @ generator / k
        made = made + power
    unit = np.array([[1 / half, 0, (1 - size[0]) / 2 / half], [0, 1 / half, (1 - size[1]) / 2 / half], [0, 0, 1]])
    made = np.linalg.inv(unit) @ made @ unit
    return made / made[2, 2]


def bent(homography: Array, visible_size: Size, infrared_size: Size) -> Array:
    """Stretch, shear and tilts, float64 (4,) as in `motion`, that a homography has beside its shift, turn and scale."""
    half = visible_size[0] / 2
    xs, ys = np.meshgrid(np.linspace(-0.7, 0.7, 5), np.linspace(-0.7, 0.7, 5) * visible_size[1] / visible_size[0])
    points = np.stack([xs.ravel(), ys.ravel()], axis=1) * half + (np.array(visible_size) - 1) / 2
    moved = project(homography @ np.linalg.inv(fill(visible_size, infrared_size)), points)
    before, after = (p[:, 0] + 1j * p[:, 1] for p in (points, moved))
    turn_and_scale, shift = np.linalg.lstsq(np.stack([before, np.ones_like(before)], axis=1), after, rcond=None)[0]
    left = (after - shift) / turn_and_scale - before
    fields = _fields(points, visible_size).reshape(-1, 8)
    found: NDArray[np.float64] = np.linalg.lstsq(fields, np.stack([left.real, left.imag], axis=1).ravel(), rcond=None)[0]
    return found[4:]
