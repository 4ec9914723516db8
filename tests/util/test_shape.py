"""Tests of shapes in a frame: forms, refusals, pixels."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.errors import SettingsError
from edgefuse.util import shape


def pixels(text: str, height: int = 8, width: int = 10) -> set[tuple[int, int]]:
    """Return (x, y) of a shape's pixels."""
    covered = shape.area(shape.parse(text), (height, width))
    assert covered is not None
    grid = np.zeros((height, width), bool)
    grid[covered.rows, covered.columns] = True if covered.mask is None else covered.mask.view(bool)
    assert np.count_nonzero(grid) == covered.pixels
    return {(int(x), int(y)) for y, x in zip(*np.nonzero(grid), strict=True)}


def test_each_forms_pixels() -> None:
    assert pixels("3,5") == {(3, 5)}
    assert pixels("1,2 4,2") == {(1, 2), (2, 2), (3, 2), (4, 2)}
    assert pixels("0,0 3,3") == {(k, k) for k in range(4)}
    assert pixels("4,3 4,3") == {(4, 3)}
    assert pixels("2x3+1+4") == {(x, y) for x in (1, 2) for y in (4, 5, 6)}
    assert pixels("1,1 4,1 4,3 1,3") == {(x, y) for x in range(1, 5) for y in range(1, 4)}
    assert pixels("0,0 4,0 0,4") == {(x, y) for x in range(5) for y in range(5 - x)}
    assert len(pixels("")) == 80


def test_percent_follow_the_frames_size_and_stay_inside() -> None:
    assert pixels("50%,50%") == {(5, 4)}
    assert pixels("100%,100%") == {(9, 7)}
    assert pixels("0%,0% 100%,0%") == {(x, 0) for x in range(10)}
    assert pixels("50%x50%+50%+50%") == {(x, y) for x in range(5, 10) for y in range(4, 8)}


@pytest.mark.parametrize("text", ["10,3", "3,8", "0,0 10,0", "0,0 4,0 4,8", "2x2+9+0"])
def test_a_shape_beyond_the_frame_has_no_pixels(text: str) -> None:
    assert shape.area(shape.parse(text), (8, 10)) is None


@pytest.mark.parametrize(
    "text", ["3", "3,", "a,b", "3,4 5", "-1,4", "1,2;3,4", "50%,4", "50%,50% 3,3", "101%,0%", "1.5,2", "0x4+0+0", "4x4"]
)
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"shape|zone|beyond|splits|empty"):
        shape.parse(text)


def test_a_polygon_has_a_hundred_points_at_most() -> None:
    assert shape.kind(shape.parse(" ".join(f"{k},1" for k in range(100)))) == "polygon"
    with pytest.raises(SettingsError, match="has 101 points"):
        shape.parse(" ".join(f"{k},1" for k in range(101)))


def test_kinds() -> None:
    assert [shape.kind(shape.parse(t)) for t in ("1,2", "1,2 3,4", "1,2 3,4 5,6", "2x2+0+0", "")] == [
        "point", "line", "polygon", "rectangle", "rectangle",
    ]  # fmt: skip
