"""Work on several tiles at a time: results in order, few under way, errors where the results would be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from edgefuse.hyperspectral.codec.parallel_tiles import in_order

LONG_S = 30.0


@pytest.mark.parametrize("threads", [1, 2, 3, 50])
def test_results_are_in_order_and_few_are_under_way(threads: int) -> None:
    taken, given = 0, 0

    def items() -> Iterator[int]:
        nonlocal given
        for number in range(20):
            assert given - taken < threads
            given += 1
            yield number

    found = []
    for result in in_order(lambda number: number**2, items(), threads):
        found.append(result)
        taken += 1
    assert found == [number**2 for number in range(20)]


def test_small_results_may_wait_for_a_slow_one() -> None:
    """No thread stands still while the first item is worked on, up to the results that may wait."""
    others = threading.Semaphore(0)

    def work(number: int) -> int:
        if number:
            others.release()
        else:
            assert all(others.acquire(timeout=LONG_S) for _ in range(4)), "the four after it were not worked on"
        return number

    assert list(in_order(work, range(12), 2, waiting=3)) == list(range(12))


def test_two_threads_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=LONG_S)  # broken, with an exception, unless both wait for one another
    assert len(list(in_order(lambda number: both.wait(), range(4), 2))) == 4


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_where_its_result_would_be(threads: int) -> None:
    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    with closing(in_order(work, range(9), threads)) as results:
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            next(results)


def test_what_is_not_taken_is_not_begun() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    with closing(in_order(work, range(100), 3)) as results:
        assert next(results) == 0
    before = len(begun)
    assert before <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgefuse-tile")]
