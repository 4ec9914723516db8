"""Each view draws what its name says."""

from __future__ import annotations

import logging
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgefuse import registry
from edgefuse.errors import SettingsError
from edgefuse.frames import Frame
from edgefuse.thermal import palettes
from edgefuse.views.base import Scene, View, ViewOptions
from edgefuse.views.marks import Mark
from tests.views.scenes import scene

NAMES = ("fused", "edges", "highlight", "inset", "side-by-side")
HOT, COLD = (slice(13, 19), slice(17, 23)), (slice(30, 48), slice(40, 64))


def view(name: str, **options: object) -> View:
    made: View = registry.get("edgefuse.views", name)(ViewOptions(**options))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("missing", [None, "visible", "infrared"])
@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_every_kind_of_pair_leaves_its_inputs_alone(name: str, missing: str | None, colour: bool) -> None:
    made = scene(missing=missing, colour=colour)  # type: ignore[arg-type]
    before = [a.copy() for a in (made.fused, made.visible)]
    picture = view(name).draw(made)
    assert picture.dtype == np.uint8
    assert picture.shape[:2] == ((48, 128) if name == "side-by-side" else (48, 64))
    for array, was in zip((made.fused, made.visible), before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_names_and_palettes_are_checked() -> None:
    assert tuple(registry.names("edgefuse.views")) == NAMES
    with pytest.raises(SettingsError, match="unknown view 'edge'; choose from fused, edges"):
        registry.get("edgefuse.views", "edge")
    with pytest.raises(SettingsError, match="unknown palette"):
        view("edges", palette="iron")


def test_fused_is_the_fused_array() -> None:
    made = scene()
    assert view("fused").draw(made) is made.fused


def test_edges_shows_the_palette_where_the_visible_frame_is_flat_and_its_edges_elsewhere() -> None:
    flat = np.full((48, 64, 3), 90, np.uint8)
    flat[:, 40:] = 200  # an edge
    flat[:, :32] += np.random.default_rng(0).integers(0, 2, (48, 32, 1)).astype(np.uint8)  # noise
    made = replace(scene(), visible=flat)
    assert made.infrared is not None
    difference = np.abs(view("edges").draw(made).astype(int) - palettes.colourise(made.infrared, "ironbow")).max(axis=(0, 2))
    assert not difference[:36].any()
    assert difference[38:42].min() > 30
    assert not difference[44:].any()
    np.testing.assert_array_equal(view("edges").draw(replace(made, infrared=None)), flat)


def test_highlight_tints_warm_things_and_leaves_the_rest_as_it_is() -> None:
    made = scene()
    picture = view("highlight").draw(made)
    np.testing.assert_array_equal(picture[COLD], made.visible[COLD])
    # the warmest colour of ironbow is nearly white
    assert (picture[HOT].mean(axis=(0, 1)) - made.visible[HOT].mean(axis=(0, 1)) > 60).all()


def test_highlight_tints_the_models_targets_where_they_are_warmer_than_their_surroundings() -> None:
    infrared = np.full((48, 64), 100, np.uint8)
    infrared[::2] = 160  # so wide a spread that nothing is far above the mean
    infrared[12:20, 16:24] = 190
    targets = np.zeros((12, 16), np.float32)
    targets[2:7, 3:8] = 1  # wider than the thing
    made = scene(infrared=infrared, targets=targets, target_scale=4)
    changed = np.abs(view("highlight").draw(made).astype(int) - made.visible).max(axis=2)
    assert (changed[HOT] > 10).mean() > 0.9
    assert not changed[COLD].any()
    assert not np.abs(view("highlight").draw(replace(made, targets=None)).astype(int) - made.visible)[HOT].any()


@pytest.mark.parametrize(("isotherm", "tinted"), [(19.0, 48 * 64), (40.0, 64), (59.99, 64), (60.0, 64), (60.01, 0), (400.0, 0)])
def test_the_isotherm_is_exact_where_gain_control_is_saturated(isotherm: float, tinted: int) -> None:
    made = scene(visible=np.zeros((48, 64, 3), np.uint8), infrared=np.full((48, 64), 255, np.uint8))
    assert (view("highlight", isotherm=isotherm).draw(made).any(axis=2)).sum() == tinted


def test_the_isotherm_leaves_out_pixels_without_a_measurement() -> None:
    made = scene(visible=np.zeros((48, 64, 3), np.uint8))
    made.pair.infrared.data[40, 60] = 65535
    picture = view("highlight", isotherm=50.0).draw(made)
    assert picture[HOT].any()
    assert not picture[40, 60].any()


def test_an_isotherm_without_temperatures_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    made = scene()
    assert made.infrared is not None
    pair = replace(made.pair, infrared=Frame(made.infrared, "infrared", 1, "a"))
    drawn = view("highlight", isotherm=50.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert not np.array_equal(drawn.draw(replace(made, pair=pair)), made.visible)
    assert caplog.text.count("no temperatures") == 1


def test_inset_holds_the_whole_infrared_picture_in_a_corner() -> None:
    made = scene((640, 480))
    picture, drawn = view("inset").draw(made), view("inset")
    changed = np.abs(picture.astype(int) - made.visible).max(axis=2) > 0
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows[0] > 240
    assert columns[0] > 320
    assert 0.15 < changed.mean() < 0.18
    place = drawn.place(Mark("", 20 / 640, 16 / 480))
    warmest = palettes.table("ironbow")[255]
    assert np.abs(picture[round(place.y * 480), round(place.x * 640)].astype(int) - warmest).max() < 60


@pytest.mark.parametrize(("size", "shown"), [((640, 480), (480, 1280)), ((1280, 720), (540, 1920))])
def test_side_by_side_is_no_wider_than_an_encoder_takes(size: tuple[int, int], shown: tuple[int, int]) -> None:
    made = scene(size)
    picture = view("side-by-side", palette="white-hot").draw(made)
    assert picture.shape == (*shown, 3)
    half = shown[1] // 2
    wanted = cv2.resize(made.visible, (half, shown[0]), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(picture[:, :half], wanted)
    assert picture[:, half:].max() == 255
    assert not view("side-by-side").draw(replace(made, infrared=None))[:, half:].any()
    assert view("side-by-side").place(Mark("", 0.5, 0.5, 0.2, 0.1)) == Mark("", 0.75, 0.5, 0.1, 0.1)


def test_a_missing_visible_camera_leaves_the_left_half_black() -> None:
    made: Scene = scene(missing="visible")
    picture = view("side-by-side").draw(made)
    assert not picture[:, :64].any()
    assert picture[:, 64:].any()
