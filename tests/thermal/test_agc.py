"""Tests of gain control: the picture follows the scene, not the noise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.thermal.agc import ClaheAgc, PercentileAgc, full_range, make

RAMP = np.linspace(20000, 24000, 120 * 160).reshape(120, 160)


def counts(image: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def test_limits_are_percentiles_and_map_to_black_and_white() -> None:
    agc = PercentileAgc(low=1, high=99)
    assert agc.limits is None
    picture = agc(counts(RAMP))
    # the limits are measured on a sample of the pixels
    assert agc.limits == pytest.approx(np.percentile(counts(RAMP), (1, 99)), abs=0.01 * 4000)
    assert (picture.dtype, picture.shape) == (np.uint8, RAMP.shape)
    assert (picture.min(), picture.max()) == (0, 255)
    low, high = agc.limits
    exact = np.clip((counts(RAMP) - low) / (high - low), 0, 1) * 255
    assert np.abs(picture - exact).max() <= 0.55


def test_a_column_of_four_pixels_is_a_picture() -> None:
    counts = np.array([[100], [30], [70], [0]], np.uint16)
    np.testing.assert_array_equal(PercentileAgc()(counts), PercentileAgc()(counts.T).T)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 20),
    st.integers(1, 20),
    st.lists(st.integers(0, 65535), min_size=3, max_size=3),
    st.integers(1, 65536),
)
@example(0, 8, 8, [2000, 1400, 932], 30)
def test_hotter_is_never_darker(seed: int, height: int, width: int, bases: list[int], span: int) -> None:
    rng = np.random.default_rng(seed)
    agc = PercentileAgc()
    for base in bases:
        image = np.minimum(base + rng.integers(0, span, (height, width)), 65535).astype(np.uint16)
        picture = agc(image).ravel()[np.argsort(image, axis=None)]
        assert (np.diff(picture.astype(int)) >= 0).all()


@pytest.mark.parametrize("shape", [(120, 160), (256, 320)])
def test_limits_are_stable_on_a_noisy_static_scene(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    scene = np.linspace(20000, 24000, shape[0] * shape[1]).reshape(shape)
    agc = PercentileAgc()
    agc(counts(scene + rng.normal(0, 20, shape)))
    first = agc.limits
    for _ in range(30):
        agc(counts(scene + rng.normal(0, 20, shape)))
        assert agc.limits == first


def test_a_small_step_is_ignored_and_a_drift_followed() -> None:
    agc = PercentileAgc()
    agc(counts(RAMP))
    first = agc.limits
    assert first is not None
    agc(counts(RAMP + 100))
    assert agc.limits == first
    previous = first
    for k in range(1, 101):
        agc(counts(RAMP + 20 * k))
        assert agc.limits is not None
        assert agc.limits[0] >= previous[0]
        assert agc.limits[0] - previous[0] <= 100
        previous = agc.limits
    for _ in range(60):
        agc(counts(RAMP + 2000))
    assert agc.limits == pytest.approx((first[0] + 2000, first[1] + 2000), abs=0.04 * 4000 + 1)


def test_a_drift_is_approached_by_a_tenth_of_its_distance() -> None:
    agc = PercentileAgc()
    agc(counts(RAMP))
    assert agc.limits is not None
    low, high = agc.limits
    agc(counts(RAMP + 1000))
    assert agc.limits == pytest.approx((low + 100, high + 100), abs=1)


def test_a_jump_is_followed_at_once() -> None:
    agc = PercentileAgc()
    agc(counts(RAMP))
    agc(counts(RAMP + 30000))
    fresh = PercentileAgc()
    picture = fresh(counts(RAMP + 30000))
    assert agc.limits == fresh.limits
    np.testing.assert_array_equal(agc(counts(RAMP + 30000)), picture)


@pytest.mark.parametrize("level", [0, 100, 30000, 65535])
def test_a_blank_frame_is_mid_grey_and_its_noise_stays_small(level: int) -> None:
    agc = PercentileAgc()
    rng = np.random.default_rng(0)
    assert np.abs(agc(np.full((60, 80), level, np.uint16)).astype(int) - 128).max() <= 1
    noisy = agc(counts(level + rng.normal(0, 2, (60, 80))))
    assert noisy.std() < 12
    assert agc.limits is not None
    assert agc.limits[1] - agc.limits[0] >= 64


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60000), st.integers(0, 5000)), min_size=2, max_size=6))
def test_the_limits_never_cross(scenes: list[tuple[int, int]]) -> None:
    agc = PercentileAgc()
    for low, span in scenes:
        agc(np.linspace(low, low + span, 64).astype(np.uint16).reshape(8, 8))
        assert agc.limits is not None
        assert agc.limits[0] < agc.limits[1]


def test_no_frame_is_black_after_a_jump_to_something_cold() -> None:
    agc = PercentileAgc()
    agc(np.linspace(1000, 2000, 64 * 64).astype(np.uint16).reshape(64, 64))
    assert 64 <= agc(np.full((64, 64), 932, np.uint16)).mean() <= 192


def test_the_whole_range_of_counts_is_accepted() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = PercentileAgc(low=0, high=100)(every)
    assert (picture[0, 0], picture[-1, -1]) == (0, 255)
    assert int(picture[128, 0]) == pytest.approx(128, abs=2)


def hot_room(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return counts of 0.01 K: a wall at 20 degrees C with a faint pattern, a floor, a warm body."""
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0]
    scene = 29315 + 40 * np.sin(12 * x) * np.sin(9 * y) - 600 * (y > 0.7)
    scene[((x - 0.6) / 0.1) ** 2 + ((y - 0.5) / 0.25) ** 2 < 1] = 30600
    return scene


def means(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the means of cells of 10 x 10 pixels, in which flicker is visible."""
    height, width = (n // 10 * 10 for n in picture.shape)
    return picture[:height, :width].reshape(height // 10, 10, width // 10, 10).mean((1, 3))


@pytest.mark.parametrize("kind", ["percentile", "clahe"])
@pytest.mark.parametrize("shape", [(120, 160), (192, 256)])
def test_a_noisy_static_scene_does_not_flicker(kind: Literal["percentile", "clahe"], shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    agc = make(kind)
    scene = hot_room(shape)
    shown = np.stack([means(agc(counts(scene + rng.normal(0, 5, shape)))) for _ in range(40)])[10:]
    # 5 counts of 0.01 K are these sensors' specified noise
    assert shown.std(axis=0).mean() < 0.5
    assert np.abs(np.diff(shown, axis=0)).max() < 6
    assert shown.mean((1, 2)).std() < 0.2


@pytest.mark.parametrize("kind", ["percentile", "clahe"])
def test_gain_control_adapts_to_a_step_in_the_scene(kind: Literal["percentile", "clahe"]) -> None:
    rng = np.random.default_rng(6)
    agc, fresh = make(kind), make(kind)
    for _ in range(5):
        agc(counts(hot_room((120, 160)) + rng.normal(0, 5, (120, 160))))
    after = counts(3 * hot_room((120, 160)) - 40000)
    expected = fresh(after).astype(float)
    for _ in range(40):
        shown = agc(after)
    assert np.abs(shown - expected).max() <= 2


def test_clahe_raises_the_contrast_of_faint_detail() -> None:
    scene = counts(hot_room((120, 160)))
    wall = slice(0, 60), slice(0, 60)
    assert ClaheAgc()(scene)[wall].std() > 1.5 * PercentileAgc()(scene)[wall].std()


def test_clahe_accepts_a_change_of_size() -> None:
    agc = ClaheAgc()
    for shape in ((120, 160), (192, 256), (7, 5), (120, 160)):
        assert agc(counts(hot_room(shape))).shape == shape


def test_off_is_the_full_range() -> None:
    assert full_range(np.array([[0, 257, 32768, 65535]], np.uint16)).tolist() == [[0, 1, 128, 255]]
    assert make("off") is full_range


def test_a_real_frame_uses_the_whole_range(thermal_data: Path) -> None:
    frame = np.fromfile(thermal_data / "dji_extract_512x640_u16le.raw", "<u2").reshape(512, 640)
    for kind in ("percentile", "clahe"):
        picture = make(kind)(frame)  # type: ignore[arg-type]
        assert picture.min() <= 8
        assert picture.max() >= 247
        assert picture.std() > 40
