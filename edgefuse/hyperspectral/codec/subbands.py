"""Positions of the wavelet subbands in a plane: the approximation first, then three detail subbands per level, coarse to fine."""

from __future__ import annotations

import functools
from typing import NamedTuple

PAD = 2  # zero padding on each side of a subband's magnitudes (below there is one row more)

# L2 norms of the synthesis basis (wavelet.py) in 4096ths; scaling by them makes a quantisation error weigh the same in all subbands
_APPROXIMATION_GAINS = 4096, 5322, 7378, 9958, 13247, 17543
_DETAIL_GAINS = (4142, 3224), (5406, 3961), (7487, 5629), (10097, 7697), (13428, 10278)  # horizontal and vertical details, diagonal details


class Band(NamedTuple):
    """A subband; `Band` of entropy_coder.h, field by field."""

    y: int
    """The samples of the subband are plane[y + step * i, x + step * j]."""
    x: int
    step: int
    height: int
    width: int
    type: int
    """Context class: 0 for the approximation; details: 1 + 2 * min(level, 2) + diagonal, where level 0 is the finest."""
    parent: int
    """Index of the subband of the same orientation at the next coarser level; -1: none."""
    sibling: int
    """Index of a subband of the same level that is coded before; -1: none."""
    offset: int
    """Start of the padded magnitudes in the plane's buffer."""
    stride: int
    """Row length of the padded magnitudes."""
    gain: int
    """Scale to quantiser units, in 4096ths."""
    inverse: int
    """Inverse of `gain`, in 4096ths."""


@functools.lru_cache(64)
def bands(height: int, width: int, levels: int) -> tuple[tuple[Band, ...], int]:
    """Return a plane's subbands and the size of their padded magnitude buffer. With 0 levels the plane is the only subband."""
    subbands: list[Band] = []
    size = 0

    def add(y: int, x: int, step: int, level: int, direction: int, parent: int, sibling: int, gain: int) -> int:
        nonlocal size
        h, w = max(0, -(-(height - y) // step)), max(0, -(-(width - x) // step))
        type_ = 0 if direction < 0 else 1 + min(level, 2) * 2 + (direction == 2)
        inverse = (4096 * 4096 + gain // 2) // gain
        subbands.append(Band(y, x, step, h, w, type_, parent, sibling, size, w + 2 * PAD, gain, inverse))
        size += (h + 2 * PAD + 1) * (w + 2 * PAD)
        return len(subbands) - 1

    add(0, 0, 1 << levels, levels, -1, -1, -1, _APPROXIMATION_GAINS[levels])
    parents = [-1, -1, -1]
    for level in range(levels - 1, -1, -1):
        offset, step = 1 << level, 2 << level
        straight, diagonal = _DETAIL_GAINS[level]
        across = add(0, offset, step, level, 0, parents[0], -1, straight)
        down = add(offset, 0, step, level, 1, parents[1], across, straight)
        parents = [across, down, add(offset, offset, step, level, 2, parents[2], down, diagonal)]
    return tuple(subbands), size
