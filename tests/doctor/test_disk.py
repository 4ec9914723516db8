from __future__ import annotations

from pathlib import Path

from edgefuse.doctor import Host
from edgefuse.doctor.disk import check_disk, disk_finding

GB = 10**9


def test_one_finding_a_file_system_and_folders_to_come(tmp_path: Path) -> None:
    (finding,) = check_disk(Host(folders=(tmp_path, tmp_path / "not/yet")))
    assert finding.facts["folder"] == str(tmp_path)
    assert 0 < finding.facts["free"] <= finding.facts["total"]


def test_the_state_folder_follows_the_environment(tmp_path: Path) -> None:
    assert Host(env={"STATE_DIRECTORY": f"{tmp_path}:/x"}).folders == (Path.cwd(), tmp_path)
    assert Host(env={"XDG_STATE_HOME": str(tmp_path)}).folders == (Path.cwd(), tmp_path / "edgefuse")


def test_little_room(tmp_path: Path) -> None:
    host = Host()
    assert disk_finding(host, tmp_path, 2 * GB, 8 * GB, False, True).state == "ok"
    finding = disk_finding(host, tmp_path, GB // 10, 8 * GB, False, True)
    assert finding.state == "warn"
    assert finding.what == f"{tmp_path}: 0.1 of 8.0 GB free: a recording may not fit"
    assert "journalctl --vacuum-size=50M" in (finding.mend or "")
    assert disk_finding(host, tmp_path, GB // 100, 8 * GB, False, True).state == "fail"


def test_read_only_and_not_ours() -> None:
    host = Host()
    finding = disk_finding(host, Path("/proc/self"), GB, GB, True, True)
    assert (finding.state, finding.mend) == ("warn", host.sudo("mount -o remount,rw /proc"))
    assert disk_finding(host, Path("/"), GB, GB, False, False).state == "warn"
