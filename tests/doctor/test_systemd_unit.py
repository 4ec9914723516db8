from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse.doctor import Host
from edgefuse.doctor.systemd_unit import check_unit
from tests.board.trees import plant
from tests.doctor.trees import command

LOADED = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled", "NRestarts": "0"}


def _unit(root: Path, **properties: str) -> Host:
    command(root, "systemctl", "\n".join(f"echo '{k}={v}'" for k, v in (LOADED | properties).items()))
    return Host(root)


@pytest.mark.parametrize(
    ("properties", "state", "mend"),
    [
        ({}, "ok", None),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "ok", None),
        ({"NRestarts": "3"}, "warn", "journalctl -u edgefuse.service"),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "2"}, "fail", "journalctl -u edgefuse.service"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "fail", "journalctl -u edgefuse.service"),
        ({"LoadState": "bad-setting", "LoadError": "x"}, "fail", "systemd-analyze verify edgefuse.service"),
        ({"LoadState": "masked"}, "warn", "systemctl unmask edgefuse.service"),
        ({"ActiveState": "inactive"}, "warn", "systemctl start edgefuse.service"),
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, "warn", "systemctl enable --now edgefuse.service"),
    ],
)
def test_states(tmp_path: Path, properties: dict[str, str], state: str, mend: str | None) -> None:
    (finding,) = check_unit(_unit(tmp_path, **properties))
    assert finding.state == state
    assert (finding.mend is None) if mend is None else (mend in (finding.mend or ""))


def test_no_systemd_or_one_that_does_not_run(tmp_path: Path) -> None:
    assert check_unit(Host(tmp_path))[0].what == "no systemd here"
    command(tmp_path, "systemctl", "echo 'System has not been booted with systemd' >&2; exit 1")
    assert check_unit(Host(tmp_path))[0].what == "systemd is not running here"


def test_a_memory_limit_without_effect(tmp_path: Path) -> None:
    host = _unit(tmp_path, MemoryMax="200000000")
    plant(tmp_path, {"proc/cmdline": "console=tty1 cgroup_disable=memory\n", "boot/firmware/cmdline.txt": "console=tty1\n"})
    assert [f.state for f in check_unit(host)] == ["ok", "warn"]
    assert "sed -i '1s/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt" in (check_unit(host)[1].mend or "")
    assert len(check_unit(_unit(tmp_path, MemoryMax="infinity"))) == 1
