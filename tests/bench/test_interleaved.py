from __future__ import annotations

import time
from itertools import islice

import numpy as np
import pytest

from edgefuse.bench.interleaved import clock_for, figures, known, rounds


def test_ratios_of_medians_with_quartiles_of_the_rounds() -> None:
    ratios = figures({"peer": [10.0, 20.0, 30.0, 20.0, 20.0], "ours": [1.0, 2.0, 2.0, 2.0, 4.0]})
    assert (ratios["ours"]["median_ms"], ratios["ours"]["ratio"], ratios["ours"]["ratio_quartiles"]) == (2, 10, [10, 10])
    assert (ratios["peer"]["ratio"], ratios["peer"]["uncertainty"]) == (1, 0)


def test_rounds_alternate_in_order() -> None:
    order: list[str] = []

    def work(name: str) -> None:
        order.append(name)
        time.sleep(0.051)

    works = {n: lambda n=n: work(n) for n in "abc"}
    done = list(islice(rounds(works, time.perf_counter), 2))
    assert order == list("abcabccba")
    assert all(list(ms) == ["a", "b", "c"] and min(ms.values()) >= 50 for ms in done)


def test_one_thread_is_timed_by_processor_time() -> None:
    assert clock_for(1) is time.process_time
    assert clock_for(2) is time.perf_counter


@pytest.mark.parametrize(("noise", "enough"), [(0.02, True), (0.5, False)])
def test_noisy_ratios_are_not_known(noise: float, enough: bool) -> None:
    rng = np.random.default_rng(0)
    times = {f"network/{n}": (1 + noise * rng.random(15)).tolist() for n in ("peer", "ours")}
    assert known(times) == enough
