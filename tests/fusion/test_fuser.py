from __future__ import annotations

import numpy as np
import pytest

import edgefuse
from edgefuse.errors import FrameError, ModelError
from edgefuse.frames import Frame, FramePair
from edgefuse.fusion.fuser import Fuser
from edgefuse.runtimes import choose
from edgefuse.zoo import find


def _pair(visible: np.ndarray, infrared: np.ndarray) -> FramePair:
    return FramePair(Frame(visible, "visible", 0, "a"), Frame(infrared, "infrared", 0, "a"), 0)


@pytest.fixture(scope="module")
def fuser() -> Fuser:
    return edgefuse.load(threads=1)


def test_a_fused_frame_is_a_convex_blend_of_its_pair(fuser: Fuser, demo_pairs: list[FramePair]) -> None:
    pair = demo_pairs[0]
    grey = _pair(pair.visible.data[..., 1].copy(), pair.infrared.data)
    fused = fuser.fuse(grey)
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
    assert set(fused.stages_ns) == {"prepare", "network", "colour"}
    assert fused.stages_ns["network"] > 0
    assert fused.name == "demo_00000"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 3), (63, 65), (97, 131)])
def test_any_size(fuser: Fuser, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pair = _pair(rng.integers(0, 256, size, np.uint8), rng.integers(0, 256, size, np.uint8))
    assert fuser.fuse(pair).data.shape == size


def test_identical_frames_come_back_unchanged(fuser: Fuser) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    assert np.array_equal(fuser.fuse(_pair(image, image)).data, image)


def test_sixteen_bit_infrared_and_visible(fuser: Fuser) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 50), np.uint8)
    wide = fuser.fuse(_pair(image.astype(np.uint16) * 257, image))
    assert np.array_equal(wide.data, fuser.fuse(_pair(image, image)).data)
    counts = 29000 + image.astype(np.uint16) * 4
    fused = edgefuse.load(threads=1).fuse(_pair(np.zeros_like(image), counts))
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
