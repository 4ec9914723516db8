from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.metrics.spectral import SpectralScore, compare

CUBE = np.arange(24, dtype=np.uint16).reshape(2, 3, 4) * 100


def test_golden_values() -> None:
    """Values by hand: 24 samples with an error of 3 in band 1 and of 4 in band 2."""
    decoded = CUBE.copy()
    decoded[0, 1, 1] += 3
    decoded[1, 2, 2] -= 4
    figures = compare(CUBE, decoded, peak=10000)
    assert figures.rmse == pytest.approx(math.sqrt(25 / 24))
    assert figures.psnr_db == pytest.approx(10 * math.log10(1e8 * 24 / 25))
    assert figures.max_error == 4
    assert (figures.worst_band, figures.samples) == (2, 24)
    assert figures.worst_band_psnr_db == pytest.approx(10 * math.log10(1e8 * 6 / 16))
    x, y = CUBE.reshape(-1, 4).astype(float), decoded.reshape(-1, 4).astype(float)
    angles = [math.acos(min(1, a @ b / math.sqrt((a @ a) * (b @ b)))) for a, b in zip(x, y, strict=True)]
    # acos is accurate only to 1e-8 radians near 0
    assert figures.sam_degrees == pytest.approx(math.degrees(sum(angles)) / 6, abs=1e-6)


def test_angles_that_are_known() -> None:
    x = np.array([[[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]])
    y = np.array([[[0.0, 2.0], [3.0, 3.0], [1.0, 0.0]]])
    # 90 degrees, 0 degrees, and a zero spectrum, which has no angle
    assert compare(x, y, 1.0).sam_degrees == pytest.approx(45.0)
    tiny = compare(np.array([[[1.0, 0.0]]]), np.array([[[1.0, 1e-9]]]), 1.0)
    assert tiny.sam_degrees == pytest.approx(math.degrees(1e-9), rel=1e-6)


def test_equal_cubes_are_at_infinity() -> None:
    figures = compare(CUBE, CUBE, 10000)
    assert (figures.psnr_db, figures.max_error, figures.sam_degrees) == (math.inf, 0, 0)
    assert json.loads(json.dumps(figures.as_json(), allow_nan=False))["psnr_db"] == "inf"


def test_what_holds_nothing_is_left_out() -> None:
    decoded = CUBE.astype(np.int64)
    decoded[0, 0, 0] = 9999
    figures = compare(CUBE, decoded, 10000, nodata=0)
    assert (figures.psnr_db, figures.samples) == (math.inf, 23)
    holes = CUBE.astype(np.float32)
    holes[0, 0, 0] = np.nan
    assert compare(holes, decoded, 10000).samples == 23
    empty = compare(holes[:1, :1, :1], decoded[:1, :1, :1], 10000)
    assert math.isnan(empty.psnr_db)
    assert empty.as_json()["psnr_db"] is None


def test_a_hole_that_was_none_is_seen() -> None:
    holes = CUBE.astype(np.float32)
    holes[1, 1, 1] = np.nan
    assert math.isnan(compare(CUBE, holes, 10000).max_error)


@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(0, 300), max_size=4))
def test_pieces_give_what_the_whole_gives(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 10000, (300, 7), np.uint16)
    y = x + rng.integers(-5, 6, x.shape)
    score = SpectralScore(7, 10000)
    edges = [0, *sorted(cuts), 300]
    for a, b in pairwise(edges):
        score.add(x[a:b], y[a:b])
    whole, figures = compare(x, y, 10000), score.result()
    assert figures.psnr_db == pytest.approx(whole.psnr_db)
    assert figures.sam_degrees == pytest.approx(whole.sam_degrees)
    assert (figures.max_error, figures.worst_band, figures.samples) == (whole.max_error, whole.worst_band, whole.samples)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected two"):
        compare(CUBE, CUBE[:1], 1.0)


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_huge_and_tiny_samples_are_compared_as_others_are(size: float) -> None:
    reference = np.random.default_rng(0).uniform(0.5, 1, (8, 8, 3))
    decoded = reference * 1.001
    usual = compare(reference, decoded, 1.0)
    scaled = compare(reference * size, decoded * size, size)
    assert scaled.psnr_db == pytest.approx(usual.psnr_db, abs=1e-6)
    assert scaled.rmse == pytest.approx(usual.rmse * size, rel=1e-9)
    assert scaled.worst_band_psnr_db == pytest.approx(usual.worst_band_psnr_db, abs=1e-6)


def test_errors_that_no_number_holds_and_signalling_nan_are_no_fault() -> None:
    assert compare(np.array([[[1.0]]]), np.array([[[1e300]]]), 1.0).psnr_db == -np.inf
    signalling = np.array([0xFF812345, 0x3F800000], np.uint32).view(np.float32).reshape(1, 2, 1)
    assert compare(signalling, signalling, 1.0).psnr_db == np.inf
