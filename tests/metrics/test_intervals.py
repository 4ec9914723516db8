"""Confidence intervals of mean ranks: comparison with samples drawn one by one, and properties for any table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.metrics import fusion
from edgefuse.metrics.fusion.intervals import SEED, resampled_ranks

NAMES = ("en", "rmse", "ssim_a", "vifb_qcv", "psnr")
Table = dict[str, list[dict[str, float]]]


def made(methods: int = 5, pairs: int = 12, seed: int = 3) -> Table:
    rng = np.random.default_rng(seed)
    return {f"m{k}": [{name: float(rng.normal(k / 2)) for name in NAMES} for _ in range(pairs)] for k in range(methods)}


def found_in(table: Table, *args: int, **seed: int) -> dict[str, fusion.Interval]:
    names = list(next(iter(table.values()))[0]) if table else []
    values = {method: np.array([[row[name] for name in names] for row in rows]) for method, rows in table.items()}
    return fusion.intervals(values, names, *args, **seed)


def plain(table: Table, samples: int, seed: int) -> dict[str, list[float]]:
    """Reference implementation: mean ranks of each sample by the functions that rank the whole table."""
    rng, bounds = np.random.default_rng(seed), {name: [] for name in table}
    pairs = len(next(iter(table.values())))
    for _ in range(samples):
        drawn = rng.integers(0, pairs, pairs)
        means = {m: {name: float(np.mean([rows[k][name] for k in drawn])) for name in NAMES} for m, rows in table.items()}
        for name, rank in fusion.mean_rank(means).items():
            bounds[name].append(rank)
    return bounds


def test_as_draws_done_one_by_one() -> None:
    table = made()
    expected, bounds = plain(table, 60, SEED), found_in(table, 60)
    lowest = np.min(list(expected.values()), axis=0)
    for name, ranks in expected.items():
        interval = bounds[name]
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(ranks, [0.025, 0.975])))
        assert interval.first == pytest.approx(np.mean([a == pytest.approx(b) for a, b in zip(ranks, lowest, strict=True)]))
    assert sum(i.first for i in bounds.values()) >= 1


def test_pinned() -> None:
    # "b" wins each sample that contains the third pair at least once, a share of 1 - (2 / 3) ** 3
    table = {"a": [{"en": v} for v in (2.0, 2.0, 0.0)], "b": [{"en": v} for v in (1.0, 1.0, 3.0)]}
    bounds = found_in(table, 4000)
    assert bounds["b"].first == pytest.approx(19 / 27, abs=0.03)
    assert (bounds["a"].low, bounds["a"].high) == (1, 2)


def test_a_method_that_always_wins_is_certain() -> None:
    table = {"good": [{"en": 5.0 + k, "rmse": 1.0} for k in range(6)], "bad": [{"en": 1.0 + k / 9, "rmse": 2.0} for k in range(6)]}
    bounds = found_in(table)
    assert bounds == {"good": fusion.Interval(1, 1, 1), "bad": fusion.Interval(2, 2, 0)}


def test_equal_methods_share_their_places_in_every_sample() -> None:
    table = made(3)
    table["twin"] = table["m1"]
    bounds = found_in(table)
    assert bounds["twin"] == bounds["m1"]


def test_the_seed_decides() -> None:
    table = made(6, 5)
    assert found_in(table, 50) == found_in(table, 50)
    assert found_in(table, 50) != found_in(table, 50, seed=1)


def test_nothing_to_draw() -> None:
    assert found_in({}) == {}
    assert found_in(made(1)) == {}
    assert found_in(made(2, 1)) == {}
    assert found_in(made(2, 5), 0) == {}
    assert found_in({"a": [{"ssim_a": 1.0}] * 3, "b": [{"ssim_a": 2.0}] * 3}) == {}


def test_unmeasured_is_last_and_infinite_is_best() -> None:
    table = {
        "equal": [{"psnr": math.inf}, {"psnr": 9.0}],
        "none": [{"psnr": math.nan}, {"psnr": math.nan}],
        "both": [{"psnr": math.inf}, {"psnr": math.nan}],
        "plain": [{"psnr": 8.0}, {"psnr": 8.0}],
    }
    bounds = found_in(table, 200)
    assert bounds["equal"].first == 1
    assert (bounds["plain"].low, bounds["plain"].high) == (2, 3)
    assert bounds["none"].low >= 3


@given(st.integers(2, 6), st.integers(2, 7), st.integers(0, 99))
def test_ranks_add_up(methods: int, pairs: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 3, (pairs, methods, 4)).astype(float)
    drawn = resampled_ranks(table, 20, seed)
    assert drawn.sum(axis=1) == pytest.approx(np.full(20, methods * (methods + 1) / 2))
    assert drawn.min() >= 1
    assert drawn.max() <= methods
