"""Hottest and coldest spot: position, temperature, and no dead pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefuse.frames import Frame, Radiometry
from edgefuse.sources import radiometric_jpeg
from edgefuse.thermal.spots import Spot, spots
from edgefuse.util import images

KELVIN_100 = Radiometry("lepton", 0.01, -273.15)


def frame(radiometry: Radiometry | None = None, **pixels: int) -> Frame:
    """Return a frame of 29000 everywhere; `at_3_5=30000` sets x 3, y 5."""
    data = np.full((12, 16), 29000, np.uint16)
    data[11, 0] = 28000
    for name, value in pixels.items():
        _, x, y = name.split("_")
        data[int(y), int(x)] = value
    return Frame(data, "infrared", 0, "f", radiometry)


def test_degrees_and_pixels() -> None:
    assert spots(frame(KELVIN_100, at_3_5=30965)) == (Spot(6.85, 0, 11), Spot(36.5, 3, 5))


def test_counts_without_a_law() -> None:
    for law in (None, Radiometry("generic-16")):
        assert spots(frame(law, at_3_5=30965)) == (Spot(28000, 0, 11), Spot(30965, 3, 5))


def test_dead_and_saturated_pixels_are_left_out() -> None:
    assert spots(frame(KELVIN_100, at_3_5=30965, at_0_0=0, at_1_0=65535)) == (Spot(6.85, 0, 11), Spot(36.5, 3, 5))
    for dead in (0, 65535):
        assert spots(Frame(np.full((4, 4), dead, np.uint16), "infrared", 0, "f", KELVIN_100)) is None


def test_an_8_bit_picture_has_no_spots() -> None:
    assert spots(Frame(np.zeros((4, 4), np.uint8), "infrared", 0, "f")) is None
    assert spots(Frame(np.ones((4, 4, 3), np.uint16), "infrared", 0, "f")) is None


def test_a_real_radiometric_frame(thermal_data: Path) -> None:
    # a FLIR Tau with 0.04 K per count
    data = images.read(thermal_data / "example_radiometric.tiff")
    extremes = spots(Frame(data, "infrared", 0, "f", Radiometry("tau", 0.04, -273.15)))
    assert extremes is not None
    coldest, hottest = extremes
    assert (coldest.value, hottest.value) == (-3.43, 9.93)
    assert data[hottest.y, hottest.x] == data.max()
    assert data[coldest.y, coldest.x] == data.min()


def test_a_real_flir_jpeg(thermal_data: Path) -> None:
    pytest.importorskip("flyr")
    counts, law = radiometric_jpeg.flir((thermal_data / "flir_example_radiometric.jpg").read_bytes())
    low, high = (law.celsius(float(c)) for c in (counts.min(), counts.max()))
    assert low is not None
    assert high is not None
    assert -40 < low < high < 400
    assert counts.std() > 10
