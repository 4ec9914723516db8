"""Finds pixels of raw infrared frames that hold no measurement, and fills them from their neighbours for a picture.

They are dead pixels, masked columns and borders (counts of 0 or 65535), and rows or columns at the edges that hold a sensor's parameters or
telemetry. A camera's own list (`bad_pixels`) is set to 0 where the frame is read, so that it counts everywhere.
"""

from __future__ import annotations

import weakref

import cv2
import numpy as np
from numpy.typing import NDArray

DEAD, SATURATED = 0, 65535
_DEEPEST = 8  # rows or columns at an edge that may hold parameters
_ROUGH, _LEAST = 8.0, 64.0  # mean step along a row of parameters: at least this many times the picture's, and counts
_PASSES = 4  # of filling from a ring of neighbours
_FEW = 0.05  # share of pixels up to which they are filled one by one
_COARSE = 8
_SQUARE = np.ones((3, 3), np.uint8)

_latest: tuple[weakref.ref[NDArray[np.uint16]], NDArray[np.uint8] | None] | None = None


def mask(counts: NDArray[np.uint16]) -> NDArray[np.uint8] | None:
    """Return 255 where a pixel of counts, uint16 (H, W), holds no measurement, else 0; None where all do. The last answer is kept.

    A compact region at 65535 away from the edges is a saturated source, not dead pixels: it stays.
    """
    global _latest
    last = _latest
    if last is not None and last[0]() is counts:
        return last[1]
    mask = _find(counts)
    _latest = weakref.ref(counts), mask
    return mask


def alive(counts: NDArray[np.uint16]) -> NDArray[np.uint8] | None:
    """Return 1 where a pixel can be measured, else 0; None where all can. Unlike in a picture, a saturated source has no temperature."""
    dead = mask(counts)
    if dead is None and int(counts.max(initial=0)) < SATURATED:
        return None
    able = counts < SATURATED
    return (able if dead is None else able & (dead == 0)).view(np.uint8)


def _find(counts: NDArray[np.uint16]) -> NDArray[np.uint8] | None:
    alive = cv2.inRange(counts, DEAD + 1, SATURATED - 1)
    some = cv2.countNonZero(alive) < counts.size
    dead: NDArray[np.uint8] | None = None
    if some:
        dead = _without_sources(counts, np.asarray(cv2.bitwise_not(alive), np.uint8))
    for side in _edges(counts):
        dead = np.zeros(counts.shape, np.uint8) if dead is None else dead
        dead[side] = 255
    return dead if dead is not None and cv2.countNonZero(dead) else None


def _without_sources(counts: NDArray[np.uint16], dead: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take compact saturated regions away from the edges, such as a fire, out of the mask."""
    saturated = cv2.inRange(counts, SATURATED, SATURATED)
    if not cv2.countNonZero(saturated):
        return dead
    core = cv2.erode(saturated, _SQUARE, borderValue=0)
    if not cv2.countNonZero(core):
        return dead
    count, labels = cv2.connectedComponents(saturated, connectivity=8, ltype=cv2.CV_16U)
    compact = np.zeros(count, bool)
    compact[np.unique(labels[core > 0])] = True
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        compact[np.bincount(side, minlength=count) > len(side) // 3] = False
    compact[0] = False
    dead[compact[labels]] = 0
    return dead


def _edges(counts: NDArray[np.uint16]) -> list[tuple[slice, slice]]:
    """Return the rows and columns at the edges that hold no picture, as slices of the frame."""
    borders: list[tuple[slice, slice]] = []
    for axis in (0, 1):
        lines = counts if axis == 0 else counts.T
        length = len(lines)
        if length < 4 * _DEEPEST or lines.shape[1] < 4 * _DEEPEST:
            continue
        inner = lines[_DEEPEST : length - _DEEPEST : max(1, length // 16)].astype(np.int32)
        usual = float(np.median(np.abs(np.diff(inner, axis=1)).mean(axis=1)))
        for step in (1, -1):
            depth = 0
            while depth < _DEEPEST and _is_data(lines[depth if step > 0 else -1 - depth], usual):
                depth += 1
            if depth:
                side = slice(0, depth) if step > 0 else slice(length - depth, length)
                borders.append((side, slice(None)) if axis == 0 else (slice(None), side))
    return borders


def _is_data(line: NDArray[np.uint16], usual: float) -> bool:
    """Return whether a row at the edge is not of the picture, whose rows have a mean step of `usual` between neighbours."""
    idle = int(np.count_nonzero(line == DEAD)) + int(np.count_nonzero(line == SATURATED))
    if 2 * idle > line.size:
        return True
    rough = float(np.abs(np.diff(line.astype(np.int32))).mean())
    return rough > _ROUGH * usual + _LEAST or (rough == 0 and usual >= 1)


class Fill:
    """Fills masked pixels from their neighbours. Which neighbours fill which pixels is computed again only when the mask changes."""

    def __init__(self) -> None:
        self._dead: NDArray[np.uint8] | None = None
        self._inner, self._margins = (slice(None), slice(None)), (0, 0, 0, 0)
        self._plan: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]] = []
        self._holes: NDArray[np.uint8] | None = None

    def __call__(self, counts: NDArray[np.uint16], dead: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Return a copy of counts, uint16 (H, W), with the masked pixels (255) filled."""
        if self._dead is None or not np.array_equal(self._dead, dead):
            self._dead = dead
            self._prepare(dead)
        made = np.array(counts[self._inner], order="C")
        if not made.size:
            return counts.copy()
        flat = made.reshape(-1)
        for at, around, weights in self._plan:
            flat[at] = np.einsum("ij,ij->j", flat[around], weights, dtype=np.float32) + np.float32(0.5)
        if self._holes is not None:
            _fill_coarsely(made, self._holes)
        if any(self._margins):
            return np.asarray(cv2.copyMakeBorder(made, *self._margins, cv2.BORDER_REPLICATE), np.uint16)
        return made

    def _prepare(self, dead: NDArray[np.uint8]) -> None:
        height, width = dead.shape
        top, bottom = _margin(dead), _margin(dead[::-1])
        left, right = _margin(dead.T), _margin(dead.T[::-1])
        self._margins = top, bottom, left, right
        self._inner = slice(top, height - bottom), slice(left, width - right)
        inner = np.array(dead[self._inner], order="C")
        self._plan, self._holes = [], None
        at = np.flatnonzero(inner)
        for _ in range(_PASSES if at.size <= _FEW * inner.size else 0):
            if not at.size:
                break
            around, weights = _ring(inner, at)
            sums = weights.sum(axis=0)
            done = sums > 0
            self._plan.append((at[done], around[:, done], weights[:, done] / sums[done]))
            inner.reshape(-1)[at[done]] = 0
            at = at[~done]
        if at.size:
            self._holes = inner


def _ring(dead: NDArray[np.uint8], at: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the eight neighbours of the flat indices `at`, (8, N), and their weights: 0 where dead."""
    height, width = dead.shape
    y, x = np.divmod(at, width)
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
    around = np.stack([np.clip(y + dy, 0, height - 1) * width + np.clip(x + dx, 0, width - 1) for dy, dx in steps])
    share = np.array([[1.0 if dy * dx else 2.0] for dy, dx in steps], np.float32)
    return around, (dead.reshape(-1)[around] == 0) * share


def _margin(dead: NDArray[np.uint8]) -> int:
    """Return how many of the first rows are masked whole."""
    count = 0
    while count < len(dead) and dead[count, 0] and dead[count].all():
        count += 1
    return count


def _fill_coarsely(counts: NDArray[np.uint16], dead: NDArray[np.uint8]) -> None:
    """Fill large holes in place with an average of their surroundings, computed at an eighth of the size."""
    height, width = counts.shape
    cells = (max(1, width // _COARSE), max(1, height // _COARSE))
    alive = (dead == 0).astype(np.float32)
    share = cv2.resize(alive, cells, interpolation=cv2.INTER_AREA)
    value = cv2.resize(counts * alive, cells, interpolation=cv2.INTER_AREA)
    reach = 3
    while (hole := share < 1e-3).any() and not hole.all():
        near_share, near_value = (cv2.blur(plane, (reach, reach)) for plane in (share, value))
        share[hole], value[hole] = near_share[hole], near_value[hole]
        reach = 2 * reach + 1
    around = cv2.resize(value / np.maximum(share, 1e-6), (width, height), interpolation=cv2.INTER_LINEAR)
    holes = dead > 0
    counts[holes] = np.rint(around[holes]).astype(np.uint16)
