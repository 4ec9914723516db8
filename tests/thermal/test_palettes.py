"""Tests of palettes: end colours, order, and distinct levels."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.errors import SettingsError
from edgefuse.thermal import palettes

LUMA = np.array([0.114, 0.587, 0.299])  # of BGR


@pytest.mark.parametrize("name", palettes.NAMES)
def test_a_table(name: str) -> None:
    table = palettes.table(name)
    assert (table.shape, table.dtype) == ((256, 3), np.uint8)
    # smooth: no false edges in the picture
    assert np.abs(np.diff(table.astype(int), axis=0)).max() <= 8
    assert len(np.unique(table, axis=0)) >= 250


def test_grey_palettes() -> None:
    ramp = np.arange(256)
    for channel in range(3):
        assert (palettes.table("white-hot")[:, channel] == ramp).all()
        assert (palettes.table("black-hot")[:, channel] == ramp[::-1]).all()


def test_ironbow_brightness_is_monotonic() -> None:
    luma = palettes.table("ironbow") @ LUMA
    assert (np.diff(luma) > -0.6).all()
    assert (np.diff(luma[::8]) > 0).all()
    assert luma[0] < 10
    assert luma[-1] > 240


def test_rainbow_goes_from_blue_to_red() -> None:
    table = palettes.table("rainbow").astype(int)
    assert table[30, 0] > 2 * table[30, 1:].max()
    assert (
        table[132, 1]
        > 2
        * table[
            132,
            (0, 2),
        ].max()
    )
    assert table[250, 2] > 2 * table[250, :2].max()


def test_colourise() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for name in palettes.NAMES:
        np.testing.assert_array_equal(palettes.colourise(picture, name), palettes.table(name)[picture])


def test_an_unknown_palette_lists_the_known() -> None:
    with pytest.raises(SettingsError, match="white-hot, black-hot, ironbow, rainbow"):
        palettes.table("jet")
