"""Tests of the views."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

from edgefuse.calibration import registration
from edgefuse.frames import FusedFrame, Radiometry
from edgefuse.thermal import palettes
from edgefuse.web.views import View, ViewRenderer
from tests.web.conftest import raw_pair


def view(text: str) -> View:
    return View.parse(text)


def test_the_four_views(frames: list[FusedFrame]) -> None:
    renderer, fused = ViewRenderer(), frames[0]
    assert renderer.picture(fused, view("fused")) is fused.data
    np.testing.assert_array_equal(renderer.picture(fused, view("visible")), fused.pair.visible.data)
    infrared = renderer.picture(fused, view("infrared"))
    assert infrared.dtype == np.uint8
    assert infrared.shape == (80, 96)
    assert np.corrcoef(infrared.ravel(), fused.pair.infrared.data.ravel())[0, 1] > 0.95
    shares = fused.blending_map
    assert shares is not None
    np.testing.assert_array_equal(renderer.picture(fused, view("map")), np.rint(shares * 255).astype(np.uint8))
    for name in palettes.NAMES[1:]:
        np.testing.assert_array_equal(renderer.picture(fused, view(f"infrared:{name}")), palettes.colourise(infrared, name))


def test_gain_control_runs_once_per_frame_for_all_palettes(frames: list[FusedFrame]) -> None:
    renderer = ViewRenderer()
    first = renderer.picture(frames[0], view("infrared:ironbow"))
    assert renderer.picture(frames[0], view("infrared:ironbow")) is first
    renderer.picture(frames[0], view("infrared:rainbow"))
    limits = renderer._grey._agc.limits
    renderer.picture(frames[0], view("infrared"))
    assert renderer._grey._agc.limits == limits


def test_a_method_without_a_map_has_a_black_one() -> None:
    grey = np.zeros((4, 6), np.uint8)
    assert not ViewRenderer().picture(FusedFrame(grey, raw_pair(grey, grey)), view("map")).any()


def test_infrared_frames_of_another_size_are_resized_or_registered(tmp_path: Path) -> None:
    counts = np.full((24, 32), 29315, np.uint16)
    counts[6, 8] = 31315
    visible = np.zeros((48, 64, 3), np.uint8)
    fused = FusedFrame(visible, raw_pair(counts, visible, Radiometry("test", 0.01, -273.15)))
    renderer = ViewRenderer()
    assert renderer.picture(fused, view("infrared")).shape == (48, 64)
    facts = renderer.spots(fused)
    assert facts["unit"] == "celsius"
    assert facts["hottest"] == {"value": 40.0, "x": round(8.5 / 32, 4), "y": round(6.5 / 24, 4)}
    fahrenheit = renderer.spots(fused, "fahrenheit")
    assert (fahrenheit["unit"], fahrenheit["hottest"]["value"]) == ("fahrenheit", 104.0)
    # shifted by 10 and 4 visible pixels
    homography = np.array([[2, 0, 10], [0, 2, 4], [0, 0, 1]], np.float64)
    calibration = registration.Calibration(
        visible_size=(64, 48), infrared_size=(32, 24), homography=homography, error_px=0.1, method="points", made=datetime.date(2026, 1, 1)
    )
    registration.save(calibration, tmp_path / "c.toml")
    renderer = ViewRenderer()
    renderer.calibrate(str(tmp_path / "c.toml"))
    picture = renderer.picture(fused, view("infrared"))
    y, x = np.unravel_index(picture.argmax(), picture.shape)
    assert (x, y) == (26, 16)
    hottest = renderer.spots(fused)["hottest"]
    assert (hottest["x"], hottest["y"]) == (round(26.5 / 64, 4), round(16.5 / 48, 4))


def test_an_unreadable_calibration_shows_the_unregistered_picture(frames: list[FusedFrame], caplog: pytest.LogCaptureFixture) -> None:
    renderer = ViewRenderer()
    renderer.calibrate("/nowhere/calibration.toml")
    assert renderer.picture(frames[0], view("infrared")).shape == (80, 96)
    assert "unregistered" in caplog.text


def test_a_frame_that_is_not_raw_has_no_spots(frames: list[FusedFrame]) -> None:
    grey = np.zeros((4, 6), np.uint8)
    assert ViewRenderer().spots(FusedFrame(grey, raw_pair(grey, grey))) == {}
    assert set(ViewRenderer().spots(frames[0])) == {"unit", "coldest", "hottest"}
