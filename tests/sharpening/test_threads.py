from __future__ import annotations

import pytest

from edgefuse.sharpening.threads import parallel_tiles


def test_as_many_as_wanted_or_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 5, 7})
    with parallel_tiles(0) as cores, parallel_tiles(2) as wanted:
        assert (cores, wanted) == (3, 2)
