from __future__ import annotations

import sys

import pytest

from edgefuse.sharpening.threads import parallel_tiles


def test_without_threadpoolctl_one_tile_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with parallel_tiles(4) as count:
        assert count == 1
    # linear algebra is limited to one thread
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with parallel_tiles(4) as count:
        assert count == 4


def test_as_many_as_wanted_or_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("threadpoolctl")
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    with parallel_tiles(0) as cores, parallel_tiles(2) as wanted:
        assert (cores, wanted) == (3, 2)
