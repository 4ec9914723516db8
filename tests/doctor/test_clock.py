from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgefuse.doctor import Host
from edgefuse.doctor.clock import check_clock
from tests.board.trees import plant
from tests.doctor.trees import command


def _booted(root: Path, answer: str) -> Host:
    (root / "run/systemd/system").mkdir(parents=True)
    command(root, "timedatectl", answer)
    plant(root, {"sys/devices/system/clocksource/clocksource0/current_clocksource": "arch_sys_counter\n"})
    return Host(root)


def test_synchronised(tmp_path: Path) -> None:
    (finding,) = check_clock(_booted(tmp_path, "echo yes"))
    assert (finding.state, finding.facts["synchronised"], finding.facts["source"]) == ("ok", True, "arch_sys_counter")


def test_not_synchronised(tmp_path: Path) -> None:
    host = _booted(tmp_path, "echo no")
    (finding,) = check_clock(host)
    assert (finding.state, finding.mend) == ("warn", host.sudo("timedatectl set-ntp true"))
    plant(tmp_path, {".dockerenv": ""})
    assert check_clock(host)[0].state == "ok"


def test_a_board_that_woke_in_1970(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = _booted(tmp_path, "echo no")
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert check_clock(host)[0].state == "fail"


def test_unknown_and_the_mark_of_timesyncd(tmp_path: Path) -> None:
    assert check_clock(Host(tmp_path))[0].facts["synchronised"] is None
    plant(tmp_path, {"run/systemd/timesync/synchronized": ""})
    assert check_clock(Host(tmp_path))[0].facts["synchronised"] is True


def test_this_kernel_tells() -> None:
    (findings,) = check_clock(Host())
    assert findings.facts["synchronised"] in (True, False, None)
    assert "monotonic time by" in findings.what
