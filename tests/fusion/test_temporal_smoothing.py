"""The noise measurement, and a map that stays stable where nothing moves and leaves no trail."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgefuse.fusion.temporal_smoothing import SLOWEST, Steady
from edgefuse.util.arrays import UInt8Array
from tests.fusion.pairs import noisy, random

STILL = cv2.GaussianBlur(random((120, 160), 1, 20, 236), (0, 0), 3)


def eighth(plane: UInt8Array) -> UInt8Array:
    return cv2.resize(plane, (plane.shape[1] // 8, plane.shape[0] // 8), interpolation=cv2.INTER_AREA)


def watched(steady: Steady, visible: UInt8Array, infrared: UInt8Array) -> np.ndarray | None:
    return steady.watch((visible, infrared), (eighth(visible), eighth(infrared)))


@pytest.mark.parametrize("deviation", range(1, 7))
@pytest.mark.parametrize("quiet", [0.0, 0.5, 1.0])
def test_noise_is_measured_on_the_noisier_source(deviation: float, quiet: float) -> None:
    steady, rng = Steady(), np.random.default_rng(0)
    for _ in range(12):
        watched(steady, noisy(STILL, deviation, rng), noisy(STILL, deviation * quiet, rng))
    assert steady.noise == pytest.approx(deviation, rel=0.2)


def test_a_still_scene_without_noise_averages_nothing() -> None:
    steady = Steady()
    for _ in range(5):
        watched(steady, STILL, STILL)
    # rounds to 0 levels
    assert round(1.5 * steady.noise) == 0


def test_the_map_moves_at_once_where_something_moved_and_slowly_elsewhere() -> None:
    steady = Steady()
    body = STILL.copy()
    body[40:80, 24:56] = 255
    fresh = np.full(eighth(STILL).shape, 0.8, np.float32)
    pulled = fresh.copy()
    pulled[5:10, 3:7] = 0.1
    for _ in range(4):
        steady.smooth("map", pulled, watched(steady, STILL, body))
    pace = watched(steady, STILL, STILL)
    assert pace is not None
    assert (pace[5:10, 3:7] == 1).all()
    assert pace[:, 12:] == pytest.approx(SLOWEST)
    np.testing.assert_allclose(steady.smooth("map", fresh, pace), fresh, atol=0.02)


def test_a_still_scene_s_map_wavers_less() -> None:
    steady, rng = Steady(), np.random.default_rng(0)
    shape = eighth(STILL).shape
    maps = []
    for _ in range(40):
        maps.append(steady.smooth("map", (0.5 + 0.1 * rng.standard_normal(shape)).astype(np.float32), watched(steady, STILL, STILL)).copy())
    assert np.std(maps[10:], axis=0).mean() < 0.05
    assert np.mean(maps[10:]) == pytest.approx(0.5, abs=0.01)


def test_another_scene_starts_afresh() -> None:
    steady, rng = Steady(), np.random.default_rng(0)
    one, zero = (np.full(eighth(STILL).shape, v, np.float32) for v in (1, 0))
    for _ in range(3):
        steady.smooth("map", one, watched(steady, noisy(STILL, 3, rng), STILL))
    assert steady.noise > 1
    pace = watched(steady, STILL // 2, STILL)
    assert pace is None
    assert steady.noise == 0
    assert (steady.smooth("map", zero, pace) == 0).all()


@pytest.mark.parametrize("shape", [(8, 40), (8, 8), (16, 32), (24, 16)], ids=str)
def test_low_frames(shape: tuple[int, int]) -> None:
    steady, rng = Steady(), np.random.default_rng(0)
    plane = np.empty(shape, np.uint8)
    for _ in range(6):
        # one buffer for all frames, as in the blend
        plane[:] = noisy(np.full(shape, 100, np.uint8), 3, rng)
        watched(steady, plane, plane)
    assert 1 < steady.noise < 8
