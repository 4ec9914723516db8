from __future__ import annotations

import datetime
import re
from dataclasses import replace

import numpy as np
import pytest

import edgefuse
from edgefuse.calibration.registration import Calibration, Registration
from edgefuse.errors import FrameError, ModelError, SettingsError
from edgefuse.frames import Frame, FramePair, Modality, Radiometry
from edgefuse.fusion.fuser import Fuser, load
from edgefuse.runtimes import choose
from edgefuse.thermal import PercentileAgc
from edgefuse.views import display
from edgefuse.views.base import Scene, ViewOptions
from edgefuse.views.display import Display
from edgefuse.views.fused import FusedView
from edgefuse.zoo import find


def _pair(visible: np.ndarray, infrared: np.ndarray) -> FramePair:
    return FramePair(Frame(visible, "visible", 0, "a"), Frame(infrared, "infrared", 0, "a"), 0)


@pytest.fixture(scope="module", params=["mobilefuse", "mobilefuse-edge", "blend-classic"])
def fuser(request: pytest.FixtureRequest) -> Fuser:
    return edgefuse.load(request.param, threads=1)


@pytest.fixture(scope="module")
def published() -> Fuser:
    """The published model, whose output is the picture at full resolution."""
    return edgefuse.load("mobilefuse", threads=1)


def test_a_fused_frame_is_a_convex_blend_of_its_pair(published: Fuser, demo_pairs: list[FramePair]) -> None:
    pair = demo_pairs[0]
    grey = _pair(pair.visible.data[..., 1].copy(), pair.infrared.data)
    fused = published.fuse(grey)
    low, high = np.minimum(grey.visible.data, grey.infrared.data), np.maximum(grey.visible.data, grey.infrared.data)
    assert np.all(fused.data >= low)
    assert np.all(fused.data <= high)
    assert fused.blending_map is not None
    expected = fused.blending_map * grey.visible.data + (1 - fused.blending_map) * grey.infrared.data
    assert np.abs(fused.data - expected).max() <= 0.51
    assert fused.data.shape == (80, 96)


def test_colour_in_colour_out_and_stages_are_timed(fuser: Fuser, demo_pairs: list[FramePair]) -> None:
    fused = fuser.fuse(demo_pairs[0])
    assert fused.data.shape == (80, 96, 3)
    assert fused.data.dtype == np.uint8
    assert tuple(fused.stages_ns) == fuser.stages
    assert {"prepare", "network"} <= set(fuser.stages)
    assert all(spent > 0 for spent in fused.stages_ns.values())
    assert fused.blending_map is not None
    assert (fused.blending_map.shape, fused.blending_map.dtype) == ((80, 96), np.float32)
    assert 0 <= fused.blending_map.min() <= fused.blending_map.max() <= 1
    assert fused.name == "demo_00000"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 3), (63, 65), (97, 131)])
def test_any_size(fuser: Fuser, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pair = _pair(rng.integers(0, 256, size, np.uint8), rng.integers(0, 256, size, np.uint8))
    assert fuser.fuse(pair).data.shape == size


@pytest.mark.pi
@pytest.mark.parametrize("model", ["mobilefuse", "mobilefuse-edge", "blend-classic"])
def test_identical_frames_come_back_unchanged(model: str) -> None:
    fuser = edgefuse.load(model, threads=1, sharpness=1)
    image = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    assert np.array_equal(fuser.fuse(_pair(image, image)).data, image)


@pytest.mark.pi
def test_sixteen_bit_infrared_and_visible(fuser: Fuser) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    wide = fuser.fuse(_pair(image.astype(np.uint16) * 257, image))
    assert np.array_equal(wide.data, fuser.fuse(_pair(image, image)).data)
    counts = 29000 + image.astype(np.uint16) * 4
    fused = edgefuse.load(fuser.card.name, threads=1).fuse(_pair(np.zeros_like(image), counts))
    assert fused.data.max() > 100


def test_infrared_with_three_channels_is_its_luma(fuser: Fuser, demo_pairs: list[FramePair]) -> None:
    visible, infrared = demo_pairs[0].visible.data, demo_pairs[0].infrared.data
    three = np.repeat(infrared[..., None], 3, axis=2)
    assert np.array_equal(fuser.fuse(_pair(visible, three)).data, fuser.fuse(_pair(visible, infrared)).data)


def test_sizes_that_differ_are_a_frame_error(fuser: Fuser) -> None:
    with pytest.raises(FrameError, match="a: visible is 4x3 but infrared 5x3") as caught:
        fuser.fuse(_pair(np.zeros((3, 4), np.uint8), np.zeros((3, 5), np.uint8)))
    assert caught.value.cause == "size"


def test_a_model_for_something_else_is_refused() -> None:
    import dataclasses

    card = find("mobilefuse")
    with pytest.raises(ModelError, match="is for compression"):
        Fuser(dataclasses.replace(card, task="compression"), choose(card, "numpy"))


def test_a_model_without_a_map_fuses_too(demo_pairs: list[FramePair]) -> None:
    fused = edgefuse.load("mobilefuse-generative-only", threads=1).fuse(demo_pairs[0])
    assert fused.blending_map is None
    assert fused.data.shape == (80, 96, 3)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"sharpness": 0.9}, "sharpness 0.9 is not between 1 (none) and 2"),
        ({"sharpness": 2.1}, "sharpness 2.1 is not between"),
        ({"sharpness": float("nan")}, "sharpness nan is not between"),
        ({"targets": -0.1}, "targets -0.1 is not between 0 and 2"),
        ({"targets": 2.5}, "targets 2.5 is not between 0 and 2"),
    ],
)
def test_options_out_of_range(option: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        edgefuse.load("blend-classic", **option)


def test_the_default_is_the_one_for_the_edge() -> None:
    assert edgefuse.load(threads=1).card.name == "mobilefuse-edge"


@pytest.mark.parametrize("depth", ["8", "16"])
def test_a_calibrated_fuser_takes_infrared_of_its_own_size(depth: str) -> None:
    with edgefuse.open_source(f"demo?size=96x80&frames=1&scene=day&depth={depth}") as source:
        pair = source.read()
    assert pair is not None
    small = _pair(pair.visible.data, np.ascontiguousarray(pair.infrared.data[::2, ::2]))
    homography = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 1.0]])
    made = Calibration(
        homography=homography, visible_size=(96, 80), infrared_size=(48, 40), method="points", error_px=0, made=datetime.date(2026, 11, 21)
    )
    eight = PercentileAgc()(small.infrared.data) if depth == "16" else small.infrared.data
    by_hand = _pair(pair.visible.data, Registration(made, (96, 80), (48, 40)).apply(eight))
    with edgefuse.load("blend-classic", calibration=made) as calibrated, edgefuse.load("blend-classic") as plain:
        fused = calibrated.fuse(small)
        assert np.array_equal(fused.data, plain.fuse(by_hand).data)
        assert tuple(fused.stages_ns) == calibrated.stages == ("register", *plain.stages)
        # the camera's frames are not modified
        assert fused.pair is small
        with pytest.raises(FrameError, match="infrared frames of 48x40, these are 96x80") as caught:
            calibrated.fuse(pair)
        assert caught.value.cause == "size"


@pytest.mark.parametrize("missing", [None, "visible", "infrared"])
def test_a_display_shows_its_picture_and_the_fused_one_stays_below(missing: Modality | None) -> None:
    with edgefuse.open_source("demo?size=96x80&frames=4&scene=night&depth=16") as source, load("mobilefuse-edge", "numpy") as fuser:
        pair = source.read()
        assert pair is not None
        pair = replace(pair, missing=missing)
        plain = fuser.fuse(pair)
        assert plain.fused is plain.data
        assert "view" not in plain.stages_ns
        fuser.display = display.make("side-by-side", ViewOptions(), ("scale", "spots"), "", False, None)
        assert fuser.stages[-1] == "view"
        shown = fuser.fuse(pair)
        assert shown.data.shape == (80, 192, 3)
        np.testing.assert_array_equal(shown.fused, plain.data)
        assert shown.stages_ns["view"] > 0
        if missing is None:
            assert shown.blending_map is not None
            assert shown.blending_map.shape == (80, 96)


def test_the_display_gets_the_registered_frame_and_the_temperatures_of_its_levels() -> None:
    seen = []

    class Watch(Display):
        def draw(self, scene: Scene) -> np.ndarray:
            seen.append((scene, scene.register(np.full((24, 32), 7, np.uint8)).copy()))
            return super().draw(scene)

    homography = np.array([[2, 0, 10], [0, 2, 4], [0, 0, 1]], np.float64)
    calibration = Calibration(
        visible_size=(64, 48), infrared_size=(32, 24), homography=homography, error_px=0.1, method="points", made=datetime.date(2026, 1, 1)
    )
    counts = np.tile(np.linspace(29315, 31315, 32).round().astype(np.uint16), (24, 1))
    visible = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    pair = FramePair(Frame(visible, "visible", 1, "a"), Frame(counts, "infrared", 1, "a", Radiometry("test", 0.01, -273.15)), 0)
    with load("blend-classic", calibration=calibration) as fuser:
        fuser.display = Watch(FusedView(ViewOptions()))
        fused = fuser.fuse(pair)
        assert fused.beneath is None
        scene, plane = seen[0]
        assert scene.infrared is not None
        assert scene.infrared.shape == plane.shape == (48, 64)
        assert scene.infrared[20, :10].max() == 0  # the infrared camera sees nothing there
        assert scene.infrared[20, 12] < scene.infrared[20, 60]
        assert plane[20, 30] == 7
        assert scene.infrared[20, 30] != 7
        assert scene.levels is not None
        assert scene.levels.celsius
        assert scene.levels.low == pytest.approx(20.0, abs=0.7)
        assert scene.levels.high == pytest.approx(40.0, abs=0.7)
