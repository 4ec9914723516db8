from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse.board.limits import cgroup_limit
from edgefuse.doctor import Host
from edgefuse.doctor.memory import check_memory
from tests.board.trees import plant


def _meminfo(total_mb: int, available_mb: int, swap_mb: int = 0) -> dict[str, str]:
    return {"proc/meminfo": f"MemTotal: {total_mb * 1000} kB\nMemAvailable: {available_mb * 1000} kB\nSwapTotal: {swap_mb * 1000} kB\n"}


@pytest.mark.parametrize(("available", "state"), [(600, "ok"), (140, "warn"), (50, "fail")])
def test_what_is_available_counts(tmp_path: Path, available: int, state: str) -> None:
    plant(tmp_path, _meminfo(900, available, 100))
    (finding,) = check_memory(Host(tmp_path))
    assert finding.state == state
    assert finding.what.startswith(f"922 MB, {available * 1.024:.0f} MB available, 102 MB swap")
    assert (finding.mend is None) == (state == "ok")


def test_hidden(tmp_path: Path) -> None:
    assert check_memory(Host(tmp_path))[0].state == "warn"


def test_a_limit_of_a_group_above_counts_in_version_2(tmp_path: Path) -> None:
    plant(tmp_path, _meminfo(900, 600))
    plant(tmp_path, {"proc/self/cgroup": "0::/system.slice/e.service\n", "sys/fs/cgroup/system.slice/memory.max": "100000000\n"})
    plant(tmp_path, {"sys/fs/cgroup/system.slice/e.service/memory.max": "max\n"})
    (findings,) = check_memory(Host(tmp_path))
    assert (findings.state, findings.mend, findings.facts["cgroup_limit"]) == ("warn", None, 100_000_000)
    assert "limited to 100 MB by its control group" in findings.what
    assert "MemoryMax=" in findings.what


def test_version_1_and_a_container_that_sees_its_own_group_as_root(tmp_path: Path) -> None:
    plant(tmp_path, {"proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "300000000\n"})
    assert cgroup_limit(tmp_path) == 300_000_000
    plant(tmp_path, {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    assert cgroup_limit(tmp_path) is None
