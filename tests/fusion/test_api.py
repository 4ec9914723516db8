"""`edgefuse.fuse`: fuses two images."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgefuse
from edgefuse.calibration.registration import Calibration, save
from tests.conftest import one_line

VISIBLE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
INFRARED = np.random.default_rng(1).integers(7000, 9000, (48, 64), dtype=np.uint16)


@pytest.mark.parametrize("model", ["mobilefuse-edge", "blend-classic"])
def test_it_is_what_a_fresh_fuser_makes(model: str, demo_pairs: list[edgefuse.FramePair]) -> None:
    for pair in demo_pairs:
        with edgefuse.load(model) as fuser:
            expected = fuser.fuse(pair).data
        assert np.array_equal(edgefuse.fuse(pair.visible.data, pair.infrared.data, model=model), expected)


def test_a_call_keeps_nothing_for_the_next() -> None:
    """16-bit gain control follows a stream, but independent calls must not influence each other."""
    first = edgefuse.fuse(VISIBLE, INFRARED)
    edgefuse.fuse(VISIBLE, INFRARED + 300)
    assert np.array_equal(edgefuse.fuse(VISIBLE, INFRARED), first)


def test_memory_layout_and_byte_order_do_not_matter() -> None:
    expected = edgefuse.fuse(VISIBLE, INFRARED)
    assert np.array_equal(edgefuse.fuse(np.asfortranarray(VISIBLE), INFRARED.astype(">u2")), expected)
    assert np.array_equal(edgefuse.fuse(VISIBLE[::-1][::-1], INFRARED), expected)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 5)])
def test_small_images(shape: tuple[int, int]) -> None:
    fused = edgefuse.fuse(np.full((*shape, 3), 90, np.uint8), np.full(shape, 90, np.uint8))
    assert fused.shape == (*shape, 3)
    assert fused.dtype == np.uint8
    assert edgefuse.fuse(np.full(shape, 90, np.uint8), np.full(shape, 90, np.uint8)).shape == shape


def test_image_files(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "v.png"), VISIBLE)
    cv2.imwrite(str(tmp_path / "i.png"), INFRARED)
    expected = edgefuse.fuse(VISIBLE, INFRARED)
    assert np.array_equal(edgefuse.fuse(tmp_path / "v.png", str(tmp_path / "i.png")), expected)
    (tmp_path / "cut.png").write_bytes((tmp_path / "v.png").read_bytes()[:500])
    for name, words in (("cut.png", "is truncated"), ("none.png", "cannot be opened")):
        with pytest.raises(edgefuse.FrameError, match=words) as caught:
            edgefuse.fuse(tmp_path / name, INFRARED)
        assert name in one_line(str(caught.value))


def test_a_calibration_brings_sizes_together(tmp_path: Path) -> None:
    small = INFRARED[::2, ::2]
    with pytest.raises(edgefuse.FrameError, match="visible is 64 x 48 and infrared 32 x 24 pixels; edgefuse calibrate makes a file"):
        edgefuse.fuse(VISIBLE, small)
    path = tmp_path / "calibration.toml"
    made = Calibration(
        homography=np.diag([2.0, 2.0, 1.0]), visible_size=(64, 48), infrared_size=(32, 24), method="points", error_px=0.1,
        made=datetime.date(2026, 1, 1),
    )  # fmt: skip
    save(made, path)
    assert edgefuse.fuse(VISIBLE, small, calibration=path).shape == VISIBLE.shape


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (VISIBLE.astype(np.float64) / 255, r"float64 \(48, 64, 3\); expected uint8 or uint16.*For values from 0 to 1"),
        (np.full((48, 64), np.nan), "float64"),
        (VISIBLE.astype(np.int64), "int64"),
        (VISIBLE > 9, "bool"),
        (np.zeros((48, 64, 4), np.uint8), r"Drop the alpha channel"),
        (np.zeros((48, 64, 1), np.uint8), r"Take image\[\.\.\., 0\]"),
        (np.zeros((48, 64, 2), np.uint8), r"\(48, 64, 2\)"),
        (np.zeros((0, 64), np.uint8), r"\(0, 64\)"),
        (np.zeros(64, np.uint8), r"\(64,\)"),
        (np.ma.MaskedArray(VISIBLE), "masked"),
        (None, "NoneType; give a NumPy array, or the path of an image file"),
        ([[1, 2]], "list; give a NumPy array"),
    ],
)
def test_what_is_no_image_is_one_line(bad: Any, words: str) -> None:
    for given, name in (((bad, INFRARED), "visible"), ((VISIBLE, bad), "infrared")):
        with pytest.raises(edgefuse.FrameError, match=f"^{name} is .*{words}") as caught:
            edgefuse.fuse(*given)
        one_line(str(caught.value))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"model": "none-such"}, "none-such"),
        ({"model": "sscnet-encoder"}, "sscnet-encoder"),
        ({"runtime": "none-such"}, "unknown runtime"),
        ({"sharpness": 3}, "sharpness 3"),
        ({"sharpness": float("nan")}, "sharpness nan"),
        ({"targets": -1}, "targets -1"),
        ({"colour": "pink"}, "colour 'pink' is not one of keep, balanced, benchmark"),
        ({"agc": "linear"}, "agc 'linear' is not one of percentile, clahe, off"),
        ({"calibration": "/none/such.toml"}, "such.toml"),
    ],
)
def test_a_bad_option_is_one_line(option: dict[str, Any], words: str) -> None:
    with pytest.raises(edgefuse.InputError, match=words) as caught:
        edgefuse.fuse(VISIBLE, INFRARED, **option)
    one_line(str(caught.value))
    # the next call works
    assert edgefuse.fuse(VISIBLE, INFRARED).shape == VISIBLE.shape


def test_threads_may_share_it() -> None:
    pictures = [np.roll(VISIBLE, k, 1) for k in range(8)]
    expected = [edgefuse.fuse(picture, INFRARED) for picture in pictures]
    with ThreadPoolExecutor(4) as crew:
        made = list(crew.map(lambda picture: edgefuse.fuse(picture, INFRARED), pictures))
    for a, b in zip(made, expected, strict=True):
        assert np.array_equal(a, b)
