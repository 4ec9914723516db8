from __future__ import annotations

import math

import numpy as np
import pytest

from edgefuse.bench.cpu_contention import crowding
from edgefuse.bench.statistics import BLOCKS, UNCERTAIN, blocks, summary, uncertainty


def test_fps_is_intervals_over_the_time_that_they_span() -> None:
    # five calls of 10 ms, one every 20 ms: the ends span four intervals
    figures = summary([10_000_000] * 5, [k * 20_000_000 for k in range(5)])
    assert (figures["frames"], figures["elapsed_s"], figures["fps"]) == (5, 0.08, 50.0)
    assert set(figures["latency_ms"].values()) == {10.0}
    assert figures["uncertainty"] == 0


def test_quantiles_are_those_of_the_durations() -> None:
    spent = list(range(1_000_000, 101_000_001, 1_000_000))
    ms = summary(spent, list(np.cumsum([0, *spent[:-1]])))["latency_ms"]
    assert (ms["min"], ms["p50"], ms["p90"], ms["p99"], ms["max"]) == (1, 51, 91, 100, 101)


def test_one_frame_has_no_rate_and_no_spread() -> None:
    figures = summary([5], [0])
    assert (figures["fps"], figures["uncertainty"]) == (None, None)
    assert math.isinf(uncertainty(np.ones(4)))


def test_outliers_are_tolerated_and_drift_is_not() -> None:
    rng = np.random.default_rng(0)
    calm = rng.normal(10, 0.3, 1000)
    calm[rng.integers(0, 1000, 15)] = 40  # occasional turns of another program
    drifting = calm * np.linspace(1, 1.5, 1000)
    for values, trusted in ((calm, True), (drifting, False)):
        ns = (values * 1e6).astype(np.int64)
        figures = summary(ns.tolist(), np.cumsum([0, *ns[:-1]]).tolist())
        assert (figures["uncertainty"] <= UNCERTAIN) == trusted


def test_blocks_are_consecutive_and_never_empty() -> None:
    assert blocks(np.arange(100.0), np.median).tolist() == [k * 10 + 4.5 for k in range(BLOCKS)]
    assert len(blocks(np.arange(3.0), np.mean)) == 3


@pytest.mark.parametrize(
    ("others", "threads", "usable", "crowded"),
    [(0.0, 1, 4, 0), (2.9, 1, 4, 0), (0.5, 4, 4, 0.125), (2.0, 2, 2, 1.0), (None, 2, 2, 0), (0.0, 8, 4, 0), (2.0, 8, 4, 0.5)],
)
def test_crowding_is_the_unavailable_fraction_of_the_needed_cores(others: float | None, threads: int, usable: int, crowded: float) -> None:
    assert crowding(others, threads, usable) == pytest.approx(crowded)
