"""The overlay: legible, where it should be, and only what was asked for."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgefuse.calibration.registration import Calibration
from edgefuse.frames import FramePair
from edgefuse.thermal.levels import Levels
from edgefuse.thermal.units import DegreeUnit
from edgefuse.util import shape
from edgefuse.views import display, draw_text
from edgefuse.views.base import ViewOptions
from edgefuse.views.display import Display
from edgefuse.views.fused import FusedView
from edgefuse.views.marks import Mark, on_visible, region_marks, spot_marks
from edgefuse.views.options import OverlayPart
from edgefuse.views.overlay import Overlay
from tests.views.scenes import scene

ALL: tuple[OverlayPart, ...] = ("scale", "spots", "regions", "time", "name")
GROUNDS = {
    "black": np.zeros((240, 320, 3), np.uint8),
    "white": np.full((240, 320, 3), 255, np.uint8),
    "grey": np.full((240, 320, 3), 128, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8),
    "stripes": np.ascontiguousarray(np.broadcast_to((np.arange(320, dtype=np.uint8) % 8 // 4 * 255)[:, None], (240, 320, 3))),
}


def drawn(ground: np.ndarray, shown: str, x: int = 100, y: int = 100) -> np.ndarray:
    picture = ground.copy()
    draw_text.put(picture, shown, x, y)
    return picture


@pytest.mark.parametrize("ground", GROUNDS)
def test_text_at_320_x_240_is_large_and_stands_out_from_any_background(ground: str) -> None:
    ink = drawn(GROUNDS["black"], "H 36.4 °C")[..., 0] > 200
    rows = np.flatnonzero(ink.any(axis=1))
    assert 10 <= rows[-1] - rows[0] + 1 <= 16
    picture = drawn(GROUNDS[ground], "H 36.4 °C")
    near, far = (cv2.dilate(ink.astype(np.uint8), np.ones((side, side), np.uint8)) for side in (3, 5))
    edge = (far > near) & (GROUNDS["black"][..., 0] == drawn(GROUNDS["black"], "H 36.4 °C")[..., 0])  # where no stroke is smoothed
    strokes, around = picture[ink].mean(), picture[edge].mean()
    # relative luminances of sRGB, and WCAG's contrast ratio: 4.5 is its minimum for text
    light, dark = (((level / 255 + 0.055) / 1.055) ** 2.4 + 0.05 for level in (strokes, around))
    assert light / dark > 4.5


@pytest.mark.parametrize(("height", "capital"), [(240, 10), (480, 15), (1080, 34)])
def test_capital_letters_have_the_height_that_they_should(height: int, capital: int) -> None:
    picture = np.zeros((height, 400), np.uint8)
    assert draw_text.height(picture) == capital
    draw_text.put(picture, "H", 20, height // 2)
    rows = np.flatnonzero((picture > 127).any(axis=1))
    assert abs(rows[-1] - rows[0] + 1 - capital) <= 1


def test_text_is_moved_inside_the_picture_and_away_from_other_texts() -> None:
    picture, taken = np.zeros((240, 320), np.uint8), []
    for x, y in ((-50, -50), (900, 900), (0, 0), (0, 5), (0, 10)):
        draw_text.put(picture, "max 36.4 °C", x, y, taken=taken)
    assert all(left >= 0 and top >= 0 and right <= 320 and bottom <= 240 for left, top, right, bottom in taken)
    for k, a in enumerate(taken):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in taken[k + 1 :])
    tiny = np.zeros((8, 12), np.uint8)
    draw_text.put(tiny, "max 36.4 °C", 5, 5)
    assert tiny.any()


def test_what_the_font_lacks() -> None:
    assert draw_text.plain("Süd \u22123.5 °C Hof\n東") == "Sud -3.5 °C Hof??"


def test_only_what_was_asked_for_is_drawn_and_the_inputs_stay() -> None:
    made = scene((320, 240))
    before = made.fused.copy()
    assert Display(FusedView(ViewOptions())).draw(made) is made.fused
    corner = {"name": np.s_[:25, :80], "time": np.s_[-25:, :80]}
    parts: tuple[OverlayPart, ...] = ("name", "time")
    for part in parts:
        changed = Display(FusedView(ViewOptions()), [part], "gate").draw(made) != made.fused
        assert changed[corner[part]].any()
        changed[corner[part]] = False
        assert not changed.any()
    # colours of the fused picture show no temperatures
    assert (Display(FusedView(ViewOptions()), ["scale"]).draw(made) == made.fused).all()
    np.testing.assert_array_equal(made.fused, before)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("size", [(64, 48), (320, 240), (1280, 720)])
@pytest.mark.parametrize("name", ["fused", "edges", "highlight", "inset", "side-by-side"])
def test_every_part_fits_every_view_and_size(name: str, size: tuple[int, int], colour: bool) -> None:
    made = scene(size, colour=colour)
    shown = display.make(name, ViewOptions(), ALL, "Gate 3", True, None)
    assert shown is not None
    bare = display.make(name, ViewOptions(), ("name",), "", True, None)
    assert bare is not None
    assert (shown.draw(made) != bare.draw(made)).any()
    for missing in ("visible", "infrared"):
        shown.draw(scene(size, missing, colour=colour))  # type: ignore[arg-type]


def test_the_scale_bar_shows_the_palette_and_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr(draw_text, "put", lambda picture, shown, *more: texts.append(shown))
    colours = np.stack([np.arange(256)] * 3, axis=1).astype(np.uint8)
    cases: tuple[tuple[Levels | None, DegreeUnit, list[str]], ...] = (
        (Levels(-3.4, 36.6, True), "celsius", ["37 °C", "-3 °C"]), (Levels(20.04, 24.0, True), "celsius", ["24.0 °C", "20.0 °C"]),
        (Levels(0.0, 100.0, True), "fahrenheit", ["212 °F", "32 °F"]), (Levels(7000, 8000, False), "fahrenheit", ["8000", "7000"]),
        (None, "celsius", ["warm", "cold"]),
    )  # fmt: skip
    for levels, unit, wanted in cases:
        texts.clear()
        picture = np.zeros((240, 320, 3), np.uint8)
        Overlay(picture).scale(colours, levels, on_left=False, unit=unit)
        assert texts == wanted
    column = picture[60:180, 305, 0].astype(int)
    assert column[0] == 255
    assert column[-1] == 0
    assert (np.diff(column) <= 0).all()


def test_spots_have_degrees_where_known_else_counts() -> None:
    pair = scene().pair
    assert [mark.label for mark in spot_marks(pair, "fahrenheit")] == ["min 68.0 °F", "max 140.0 °F"]
    labels = {mark.label: (mark.x, mark.y) for mark in spot_marks(pair)}
    assert labels["max 60.0 °C"] == (16.5 / 64, 12.5 / 48)
    assert "min 20.0 °C" in labels
    assert {mark.label for mark in spot_marks(pair, "fahrenheit")} == {"max 140.0 °F", "min 68.0 °F"}
    without = replace(pair, infrared=replace(pair.infrared, radiometry=None))
    assert [mark.label for mark in spot_marks(without)] == ["min 29315", "max 33315"]
    assert not spot_marks(scene(missing="infrared").pair)
    eight = replace(pair, infrared=replace(pair.infrared, data=np.zeros((48, 64), np.uint8)))
    assert not spot_marks(eight)


def test_regions_have_their_name_and_mean() -> None:
    pair = scene().pair
    places = {"stove": shape.parse("8x8+16+12"), "spot": shape.parse("17,13"), "far": shape.parse("900,900")}
    marks = {mark.label: mark for mark in region_marks(pair, places)}
    assert marks.keys() == {"stove 60.0 °C", "spot 60.0 °C"}
    stove, spot = marks["stove 60.0 °C"], marks["spot 60.0 °C"]
    assert (stove.x * 64, stove.y * 48, stove.width * 64, stove.height * 48) == pytest.approx((16, 12, 8, 8))
    assert (spot.x * 64, spot.y * 48, spot.width, spot.height) == pytest.approx((17.5, 13.5, 0, 0))
    assert [mark.label for mark in region_marks(pair, {"a": places["spot"]}, "fahrenheit")] == ["a 140.0 °F"]
    assert not region_marks(scene(missing="infrared").pair, places)
    made = scene((320, 240))
    shown = display.make("fused", ViewOptions(), ("regions",), "", False, None, {"stove": shape.parse("25%x25%+50%+50%")})
    assert shown is not None
    assert (shown.draw(made) != made.fused)[120, 160:240].all()
    bare = display.make("fused", ViewOptions(), ("regions",), "", False, None)
    assert bare is not None
    np.testing.assert_array_equal(bare.draw(made), made.fused)


def test_marks_follow_the_calibration_and_those_outside_are_left_out() -> None:
    homography = np.array([[2, 0, 10], [0, 2, 4], [0, 0, 1]], np.float64)
    calibration = Calibration(
        visible_size=(64, 48), infrared_size=(32, 24), homography=homography, error_px=0.1, method="points", made=datetime.date(2026, 1, 1)
    )
    point = on_visible(Mark("", 8.5 / 32, 6.5 / 24), calibration)
    assert (point.x * 64, point.y * 48) == pytest.approx((26.5, 16.5))
    box = on_visible(Mark("zone", 0, 0, 0.5, 0.5), calibration)
    assert (box.x * 64, box.y * 48, box.width * 64, box.height * 48) == pytest.approx((9.5, 3.5, 32, 24))
    picture = np.zeros((48, 64), np.uint8)
    Overlay(picture).mark(Mark("out", 1.2, 0.5))
    assert not picture.any()


def test_further_marks_are_drawn_with_their_labels() -> None:
    made = scene((320, 240))

    def zone(pair: FramePair) -> list[Mark]:
        return [Mark("stove 71.2 °C", 0.5, 0.5, 0.25, 0.25)]

    changed = (Display(FusedView(ViewOptions()), marks=[zone]).draw(made) != made.fused).any(axis=2)
    assert changed[120, 160:240].all()
    assert changed[120:180, 240].all()
    assert changed[95:118, 160:240].any()  # its label
    assert not changed[125:175, 165:235].any()


def test_the_time_is_the_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = scene().pair  # captured 5 s after the clock's start
    assert display._time(pair, live=False) == "0:00:05.0"
    assert display._time(replace(pair, missing="visible"), live=False) == "0:00:04.0"
    late = replace(pair.visible, time_ns=3_725_600_000_000)
    assert display._time(replace(pair, visible=late), live=False) == "1:02:05.6"
    monkeypatch.setattr(time, "monotonic_ns", lambda: 15_000_000_000)
    monkeypatch.setattr(time, "time", lambda: 1_800_000_010.25)
    assert display._time(pair, live=True) == time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_800_000_000))


def test_nothing_is_made_for_the_default() -> None:
    assert display.make("fused", ViewOptions(), (), "x", True, None) is None
