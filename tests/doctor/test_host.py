from __future__ import annotations

import os
import pwd
import threading
import time
from pathlib import Path

import pytest

from edgefuse.doctor.host import Done, Host, container
from tests.board.trees import plant
from tests.doctor.trees import command
from tests.support.waiting import joined, until


def _gone(pid: int) -> bool:
    """Return whether the process ends soon; a signal takes time to arrive."""
    for _ in range(3000):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_commands_are_the_roots_own(tmp_path: Path) -> None:
    command(tmp_path, "ask", 'echo "$1"; echo why >&2; exit 3')
    host = Host(tmp_path)
    assert host.run("ask", "this") == Done("this\n", "why\n", 3)
    assert host.run("sh") is None
    assert Host().run("sh", "-c", "exit 4") == Done("", "", 4)


def test_a_late_command_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command(tmp_path, "hang", f"sleep 1000 & echo $! $$ > {pids}; echo so far; wait")
    began = time.monotonic()
    done = Host(tmp_path).run("hang", timeout_s=3)
    # before its child would have ended by itself
    assert time.monotonic() - began < 1000
    assert done is not None
    assert (done.late, done.out, done.death) == (True, "so far\n", "gives no answer")
    assert all(_gone(int(pid)) for pid in pids.read_text().split())


def test_stop_kills_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command(tmp_path, "hang", f"echo $$ > {pids}.new; mv {pids}.new {pids}; exec sleep 100")
    host, ended = Host(tmp_path), []

    def work() -> None:
        with pytest.raises(KeyboardInterrupt):
            host.run("hang", timeout_s=60)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    until(pids.exists, "the command to start")
    host.stop()
    joined(thread, "the command that is stopped")
    assert ended == [True]
    assert _gone(int(pids.read_text()))
    with pytest.raises(KeyboardInterrupt):
        host.run("hang")


def test_deaths_in_words() -> None:
    assert Done("", "", -4).death == "dies of SIGILL (illegal instruction)"
    assert Done("", "", -11).death == "dies of SIGSEGV"
    assert Done("", "", -200).death == "dies of signal 200"
    assert Done("", "", 1).death is None
    assert Done("", "one\ntwo \n\n", 1).last_words == "two"


def test_sudo_is_for_those_who_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Host.sudo("reboot") == "sudo reboot"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Host.sudo("reboot") == "reboot"


def test_joining_a_group_names_user_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert Host.join_group("no-such-group") == f"sudo usermod -aG no-such-group {user} && newgrp no-such-group"
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert Host.join_group("video") == "sudo usermod -aG video $USER && newgrp video"


def test_containers(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert container(host) is None
    plant(tmp_path, {"run/systemd/container": "lxc\n"})
    assert container(host) == "lxc"
    plant(tmp_path, {"run/.containerenv": ""})
    assert container(host) == "podman"
    plant(tmp_path, {".dockerenv": ""})
    assert container(host) == "docker"
