from __future__ import annotations

import math

import numpy as np
import pytest

from edgefuse.metrics.sharpening import SharpeningScore


def score(reference: np.ndarray, result: np.ndarray, **how: float) -> object:
    made = SharpeningScore(reference.shape[-1], 1.0, 4, **how)
    made.add(reference, result)
    return made.result()


def test_figures_by_the_papers_formulas() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 1, (9, 7, 5))
    y = x + rng.normal(0, 0.05, x.shape)
    mse = np.square(y - x).mean((0, 1))
    cosine = (x * y).sum(2) / np.linalg.norm(x, axis=2) / np.linalg.norm(y, axis=2)
    figures = score(x, y)
    assert figures.psnr_db == pytest.approx(np.mean(-10 * np.log10(mse)))
    assert figures.psnr_whole_db == pytest.approx(-10 * np.log10(mse.mean()))
    assert figures.sam_degrees == pytest.approx(np.degrees(np.arccos(cosine)).mean())
    assert figures.ergas == pytest.approx(25 * np.sqrt(np.mean(mse / np.square(x.mean((0, 1))))))
    assert figures.rmse == pytest.approx(np.sqrt(mse.mean()))


def test_pieces_make_the_whole() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1, (2, 20, 3))
    whole, parts = SharpeningScore(3, 1.0, 4), SharpeningScore(3, 1.0, 4)
    whole.add(x, y)
    parts.add(x[:7], y[:7])
    parts.add(x[7:], y[7:])
    for name in ("psnr_db", "psnr_whole_db", "sam_degrees", "ergas", "rmse", "pixels"):
        assert getattr(parts.result(), name) == pytest.approx(getattr(whole.result(), name))


def test_zero_spectra_have_no_angle_and_constant_bands_an_error() -> None:
    x = np.ones((4, 3))
    x[0] = 0
    y = x.copy()
    y[1:] = 1, 1, 0
    figures = score(x, y)
    assert figures.sam_degrees == pytest.approx(np.degrees(np.arccos(2 / math.sqrt(6))))
    assert math.isnan(score(np.zeros((4, 3)), np.ones((4, 3))).sam_degrees)
    assert math.isnan(score(np.zeros((4, 3)), np.ones((4, 3))).ergas)


def test_equal_cubes() -> None:
    figures = score(np.full((3, 3), 0.5), np.full((3, 3), 0.5))
    assert (figures.psnr_db, figures.psnr_whole_db, figures.sam_degrees, figures.rmse) == (120.0, math.inf, 0.0, 0.0)
    assert figures.as_json()["psnr_whole_db"] == "inf"


def test_missing_pixels_are_left_out() -> None:
    x, y = np.full((5, 2), 0.5), np.full((5, 2), 0.6)
    x[0, 0], x[1, 1], y[2, 0] = np.nan, -9, np.nan
    figures = score(x, y, nodata=-9)
    assert (figures.pixels, figures.rmse) == (2, pytest.approx(0.1))
    assert score(x[:1], y[:1]).as_json()["psnr_db"] is None


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="expected two of"):
        score(np.zeros((3, 2)), np.zeros((2, 2)))
