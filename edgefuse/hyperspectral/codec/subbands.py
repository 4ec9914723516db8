"""Where a transformed plane's bands lie: the coarsest picture first, then three bands of details a level, from coarse to fine."""

from __future__ import annotations

import functools
from typing import NamedTuple

PAD = 2  # zeros around a band's magnitudes, two more rows and columns behind it than before

# norms of the integer synthesis (wavelet.py), 4096ths: they make one quantiser's error weigh the same in all bands
_COARSEST = 4096, 5322, 7378, 9958, 13247, 17543
_DETAILS = (4142, 3224), (5406, 3961), (7487, 5629), (10097, 7697), (13428, 10278)  # across or down, both


class Band(NamedTuple):
    """`Band` of entropy_coder.c, field by field."""

    y: int
    """Its samples are (y + step i, x + step j) of the plane."""
    x: int
    step: int
    height: int
    width: int
    type: int
    """What its models share: 0 the coarsest picture, then the finest, second and other levels, diagonal or not."""
    parent: int
    """Its place among the bands, as the next; -1: none. The same details half as fine."""
    sibling: int
    """Details of the level in another direction that are known already."""
    offset: int
    """Of its padded magnitudes."""
    stride: int
    gain: int
    """4096ths, to units of the quantiser."""
    inverse: int
    """4096ths, back."""


@functools.lru_cache(64)
def bands(height: int, width: int, levels: int) -> tuple[tuple[Band, ...], int]:
    """A plane's bands and how many padded magnitudes they have. `levels` 0: one band, the plane itself."""
    found: list[Band] = []
    room = 0

    def add(y: int, x: int, step: int, level: int, direction: int, parent: int, sibling: int, gain: int) -> int:
        nonlocal room
        h, w = max(0, -(-(height - y) // step)), max(0, -(-(width - x) // step))
        type_ = 0 if direction < 0 else 1 + min(level, 2) * 2 + (direction == 2)
        inverse = (4096 * 4096 + gain // 2) // gain
        found.append(Band(y, x, step, h, w, type_, parent, sibling, room, w + 2 * PAD, gain, inverse))
        room += (h + 2 * PAD + 1) * (w + 2 * PAD)
        return len(found) - 1

    add(0, 0, 1 << levels, levels, -1, -1, -1, _COARSEST[levels])
    parents = [-1, -1, -1]
    for level in range(levels - 1, -1, -1):
        half, step = 1 << level, 2 << level
        straight, diagonal = _DETAILS[level]
        across = add(0, half, step, level, 0, parents[0], -1, straight)
        down = add(half, 0, step, level, 1, parents[1], across, straight)
        parents = [across, down, add(half, half, step, level, 2, parents[2], down, diagonal)]
    return tuple(found), room
