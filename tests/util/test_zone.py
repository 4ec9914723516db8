"""Zones of the infrared frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import SettingsError
from edgefuse.util import zone

SIDES = st.integers(1, 640)


def test_zones_in_pixels_and_percent() -> None:
    assert zone.parse("80x60+40+30").slices((120, 160)) == (slice(30, 90), slice(40, 120))
    assert zone.parse("50%x40%+25%+30%").slices((120, 160)) == (slice(36, 84), slice(40, 120))
    assert zone.parse("").slices((120, 160)) == (slice(0, 120), slice(0, 160))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("80x60", "is not a zone"), ("80x60+40", "is not a zone"), ("80x60-1+0", "is not a zone"), ("1e9x1+0+0", "is not a zone"),
        ("50%x60+0+0", "is not a zone"), ("nanxnan+0+0", "is not a zone"), ("0x10+0+0", "is an empty zone"),
        ("80%x10%+30%+0%", "beyond the frame"),
        ("1.5x2+0+0", "splits pixels"), ("\uff18x1+0+0\n", "is not a zone"),
    ],
)  # fmt: skip
def test_invalid_zones_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        zone.parse(text)


@given(SIDES, SIDES, st.integers(1, 700), st.integers(1, 700), st.integers(0, 700), st.integers(0, 700))
def test_a_zone_in_pixels_outside_the_frame_is_none(h: int, w: int, zw: int, zh: int, x: int, y: int) -> None:
    slices = zone.parse(f"{zw}x{zh}+{x}+{y}").slices((h, w))
    inside = x + zw <= w and y + zh <= h
    assert slices == ((slice(y, y + zh), slice(x, x + zw)) if inside else None)


@given(SIDES, SIDES, st.lists(st.integers(0, 10_000), min_size=4, max_size=4))
def test_a_zone_in_percent_always_has_a_pixel(h: int, w: int, n: list[int]) -> None:
    x, y = n[0] / 100, n[1] / 100
    width, height = max(0.01, min(n[2] / 100, 100 - x)), max(0.01, min(n[3] / 100, 100 - y))
    x, y = min(x, 99), min(y, 99)
    if x + width > 100 or y + height > 100:
        return
    rows, columns = zone.parse(f"{width:.2f}%x{height:.2f}%+{x:.2f}%+{y:.2f}%").slices((h, w)) or pytest.fail("no zone")
    assert 0 <= rows.start < rows.stop <= h
    assert 0 <= columns.start < columns.stop <= w
