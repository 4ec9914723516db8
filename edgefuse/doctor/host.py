"""Access to the examined machine: files under a root, its commands, and child processes with a time limit."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefuse.board.text_files import first_line
from edgefuse.runtimes.tuned import state_folder
from edgefuse.util.child_process import signal_name

_COMMAND_S = 10.0  # time limit of a system command
_CHILDREN = 3  # children at once: each takes up to 100 MB of a board's 1 GB
_CHILD_S = 60.0  # time limit of a child that imports libraries, which takes ten seconds from a cold SD card


@dataclass(frozen=True, slots=True)
class Done:
    """Result of a command. code: exit status, or negative for the signal that killed it. late: killed at the time limit."""

    out: str
    err: str
    code: int
    late: bool = False

    @property
    def last_words(self) -> str:
        """Last line of standard error, shortened; empty where there was none."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""

    @property
    def death(self) -> str | None:
        """Description of an abnormal end of the command, such as "dies of SIGILL"; None if it exited by itself."""
        if self.late:
            return "gives no answer"
        if not (name := signal_name(self.code)):
            return None
        return f"dies of {name}" + (" (illegal instruction)" if name == "SIGILL" else "")


class Host:
    """The machine to examine. May be used by several threads.

    root: the folder that holds /proc, /sys, /etc, /usr and /dev. Under another root than / commands are looked up in ROOT/usr/bin and
    ROOT/usr/sbin. folders: where EdgeFuse writes, the working folder first.
    """

    def __init__(self, root: Path = Path("/"), folders: Sequence[Path] | None = None, env: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.env = dict(os.environ if env is None else env)
        self.folders = tuple(folders) if folders is not None else _folders(self.env)
        self._children: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_CHILDREN)
        self.stopped = False

    def which(self, command: str) -> str | None:
        """Return a command's path, or None where it is not installed."""
        path = self.env.get("PATH") if self.root == Path("/") else f"{self.root / 'usr/bin'}:{self.root / 'usr/sbin'}"
        return shutil.which(command, path=path)

    def run(self, command: str, *arguments: str, timeout_s: float = _COMMAND_S) -> Done | None:
        """Run a command until it ends; None where it is not installed. Raises KeyboardInterrupt after `stop`."""
        program = self.which(command)
        return None if program is None else self._run([program, *arguments], timeout_s, self.env | {"LC_ALL": "C"})

    def child(self, *arguments: str, timeout_s: float = _CHILD_S) -> Done:
        """Run `edgefuse.doctor.probe_process` with this process's import paths."""
        path = os.pathsep.join(p or os.curdir for p in sys.path)
        # -P keeps out other import paths; the child has its own time limit in case this process is killed
        command = [sys.executable, "-P", "-m", "edgefuse.doctor.probe_process", str(round(timeout_s) + 1), *arguments]
        with self._slots:
            return self._run(command, timeout_s, self.env | {"PYTHONPATH": path})

    def stop(self) -> None:
        """Kill every child now and start no more."""
        with self._lock:
            self.stopped = True
            for child in self._children:
                _kill(child)

    def _run(self, command: list[str], timeout_s: float, env: Mapping[str, str]) -> Done:
        with self._lock:
            if self.stopped:
                raise KeyboardInterrupt
            # its own process group, so that it is killed with its children and Ctrl-C reaches only this process
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=env,
                process_group=0,
            )  # fmt: skip
            self._children.add(child)
        late = False
        try:
            try:
                out, err = child.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                late = True
                _kill(child)
                out, err = child.communicate()
        finally:
            with self._lock:
                self._children.discard(child)
        if self.stopped:
            raise KeyboardInterrupt
        return Done(out, err, child.returncode, late)

    @staticmethod
    def join_group(group: str) -> str:
        """Return the command that adds this user to `group`, effective in this terminal too."""
        try:
            user = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            user = "$USER"  # a container's user may have no name
        with contextlib.suppress(KeyError):
            entry = grp.getgrnam(group)
            if user in entry.gr_mem and entry.gr_gid not in os.getgroups():
                return f"newgrp {group}"  # the user is a member already, but the session is older than that
        return f"sudo usermod -aG {group} {user} && newgrp {group}"

    @staticmethod
    def sudo(command: str) -> str:
        """Return `command` with sudo where this user needs it."""
        return command if os.geteuid() == 0 else f"sudo {command}"


def _kill(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _folders(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the working folder and the state folder, as far as they exist."""
    state = state_folder(env)
    with contextlib.suppress(FileNotFoundError):
        return (Path.cwd(), *([state] if state else []))
    return (state,) if state else ()


def container(host: Host) -> str | None:
    """Return the kind of container this runs in, or None."""
    if (host.root / ".dockerenv").exists():
        return "docker"
    if (host.root / "run/.containerenv").exists():
        return "podman"
    return first_line(host.root / "run/systemd/container")
