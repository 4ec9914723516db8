"""BLAS has one thread while EdgeFuse computes, and what it had before afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import edgefuse
from edgefuse.hyperspectral.compress import compress_file
from edgefuse.hyperspectral.quality import Quality
from edgefuse.util.blas import blas_threads, one_blas_thread
from tests.support.waiting import SECONDS


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        if blas_threads() != 3:
            pytest.skip("this NumPy's BLAS has no threads that can be set")
        yield


def test_nested_users() -> None:
    with one_blas_thread():
        with one_blas_thread():
            assert blas_threads() == 1
        assert blas_threads() == 1
    assert blas_threads() == 3


def test_the_last_of_several_threads_takes_the_limit_back() -> None:
    entered, leave = threading.Event(), threading.Event()

    def use() -> None:
        with one_blas_thread():
            entered.set()
            assert leave.wait(SECONDS), f"waited {SECONDS:g} s to be told to leave"

    other = threading.Thread(target=use)
    with one_blas_thread():
        other.start()
        assert entered.wait(SECONDS), f"waited {SECONDS:g} s for the other thread"
    assert blas_threads() == 1
    leave.set()
    other.join(SECONDS)
    assert blas_threads() == 3


def test_an_error_takes_the_limit_back() -> None:
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert blas_threads() == 3


def test_compression_and_decoding(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 4000, (24, 24, 12)).astype(np.uint16)
    np.save(tmp_path / "a.npy", samples)
    during: list[int] = []
    compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality(bpppc=1.0), beat=lambda done, of: during.append(blas_threads()))
    assert during
    assert set(during) == {1}
    edgefuse.decompress(tmp_path / "a.efz")
    assert blas_threads() == 3
