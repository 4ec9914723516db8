from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.metrics.windows import Windows, WindowScore


def score(x: np.ndarray, y: np.ndarray, peak: float = 10000.0, cuts: tuple[int, ...] = (), nodata: float | None = None) -> Windows:
    made = WindowScore(x.shape[2], peak, nodata)
    for a, b in pairwise((0, *sorted(cuts), len(x))):
        made.add(x[a:b], y[a:b])
    return made.result()


def cubes(seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 10000, (20, 17, 3)).astype(float)
    y = np.clip(x + rng.integers(-900, 900, x.shape), 0, 10000)
    y[:, :, 2] = x[:, :, 2] * 0.5 + 200
    return x, y


def test_ssim_is_scikit_images() -> None:
    """structural_similarity of each band, scikit-image 0.26, data_range 10000, Gaussian weights of sigma 1.5, cropped by 5, mean."""
    assert score(*cubes()).ssim == pytest.approx((0.9890362464552366 + 0.9825995165762362 + 0.6712527622615418) / 3, abs=1e-12)


def test_uqi_by_its_definition() -> None:
    """By the definition, 4 cov x y / ((var + var) (x^2 + y^2)) in every 8 x 8 window (Wang and Bovik 2002, eq. 1)."""
    x, y = cubes()
    indices = []
    for k in range(3):
        for i in range(13):
            for j in range(10):
                a, b = x[i : i + 8, j : j + 8, k], y[i : i + 8, j : j + 8, k]
                c = np.cov(a.ravel(), b.ravel())
                indices.append(4 * c[0, 1] * a.mean() * b.mean() / ((c[0, 0] + c[1, 1]) * (a.mean() ** 2 + b.mean() ** 2)))
    assert score(x, y).uqi == pytest.approx(np.mean(indices), abs=1e-12)


def test_a_gain_and_a_lost_texture_are_known() -> None:
    x = cubes()[0][..., :1]
    # twice the mean and twice the standard deviation: 4 s 2m 2 s m / (5 s s 5 m m)
    assert score(x, 2 * x).uqi == pytest.approx(16 / 25)
    assert score(x, np.full_like(x, 5000)).uqi == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.5])
def test_equal_cubes_are_one_flat_or_black_too(value: float) -> None:
    flat = np.full((12, 13, 2), value)
    assert score(flat, flat).uqi == pytest.approx(1.0, abs=1e-12)
    assert score(flat, flat).ssim == pytest.approx(1.0, abs=1e-12)
    x = cubes()[0]
    assert score(x, x).as_json() == pytest.approx({"ssim": 1.0, "uqi": 1.0})


def test_flat_windows_are_as_like_as_their_means() -> None:
    x, y = np.full((12, 12, 1), 0.1), np.full((12, 12, 1), 0.3)
    assert score(x, y).uqi == pytest.approx(2 * 0.1 * 0.3 / (0.1**2 + 0.3**2))
    assert score(np.zeros_like(x), y).uqi == 0.0


def test_what_is_missing_is_left_out_with_its_windows() -> None:
    x, y = cubes()
    left = score(x[:, :12], y[:, :12])
    for hole, nodata in ((np.nan, None), (-9.0, -9.0)):
        holed, filled = x.copy(), y.copy()
        holed[:, 12:, 1], filled[:, 12:] = hole, 12345
        assert score(holed, filled, nodata=nodata, cuts=(7,)).as_json() == pytest.approx(left.as_json())
    filled = y.copy()
    filled[:, 12:, 0] = np.nan
    assert score(x, filled).as_json() == pytest.approx(left.as_json())


def test_no_window_no_figure() -> None:
    x, y = cubes()
    assert score(x[:10], y[:10]).as_json() == {"ssim": None, "uqi": pytest.approx(score(x[:10], y[:10]).uqi)}
    assert math.isnan(score(x[:7], y[:7]).uqi)
    assert math.isnan(score(np.full_like(x, np.nan), y).ssim)


@given(cuts=st.lists(st.integers(1, 19), unique=True, max_size=8))
def test_pieces_give_what_the_whole_gives(cuts: list[int]) -> None:
    whole = score(*cubes())
    scored = score(*cubes(), cuts=tuple(cuts))
    assert (scored.ssim, scored.uqi) == (pytest.approx(whole.ssim), pytest.approx(whole.uqi))


def test_other_shapes_are_refused() -> None:
    x, y = cubes()
    with pytest.raises(ValueError, match="expected two"):
        WindowScore(3, 1.0).add(x, y[:3])
