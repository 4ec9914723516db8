"""A run in its own process, the actions that a fault may take, and the conditions that must hold after each."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import psutil

from tests.faults.around import Around
from tests.support.processes import killed

PLUGIN = Path(__file__).with_name("plugin")
_PATIENCE_S = 60.0  # limit for a process to start or to end on a busy machine


class Broken(AssertionError):  # noqa: N818
    """A required condition does not hold."""


class World:
    """A process `edgefuse run --config edgefuse.toml` in `folder`, which is restarted after it was ended.

    settings: table -> key -> value, as in the file; a fault changes them and calls `write_settings`. disk: a small disk of its own if the
    tests run as root, else a folder.
    """

    def __init__(self, folder: Path, rng: random.Random, around: bool = False) -> None:
        """around: whether to add a broker, the web page, recordings and an alarm."""
        self.folder, self.rng = folder, rng
        folder.mkdir(parents=True, exist_ok=True)
        self.disk = folder / "disk"
        self.disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(self.disk)]
        self.small_disk = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False, timeout=120).returncode == 0
        self.config = folder / "edgefuse.toml"
        self.settings: dict[str, dict[str, Any]] = {"run": {
            "source": f"faulty:{folder}", "model": "blend-classic", "save": str(self.disk / "out"), "report": str(folder / "report.json"),
            "sink": [f"faulty:{folder}?name=probe", f"faulty:{folder}?name=shaky"],
        }}  # fmt: skip
        self.around = Around(folder, rng) if around else None
        if self.around:
            self.settings |= self.around.tables
        self.write_settings()
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(str(folder / "notify"))
        self._systemd.settimeout(1.0)
        self._log = open(folder / "log", "ab")  # noqa: SIM115
        self.environment: dict[str, str] = {}  # of the process, besides the tests' own
        self.process: subprocess.Popen[bytes] | None = None
        self.pictures = self.starts = self._newest = 0
        self._played: set[Path] = set()

    def write_settings(self, text: str | None = None) -> None:
        """Replace the settings file in one step, as an editor does, by the settings or by `text`."""
        if text is None:
            lines = (
                [f"[{table}]", *(f"{key} = {json.dumps(v)}" for key, v in values.items()), ""] for table, values in self.settings.items()
            )
            text = "\n".join(line for part in lines for line in part)
        part = self.folder / "new.toml"
        part.write_text(text, errors="surrogateescape")
        part.replace(self.config)

    def start(self) -> None:
        """Start the process and return at once."""
        path = os.pathsep.join(filter(None, (str(PLUGIN), os.environ.get("PYTHONPATH"))))
        env = os.environ | {"NOTIFY_SOCKET": str(self.folder / "notify"), "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"}
        env |= self.environment
        command = [sys.executable, "-m", "edgefuse", "run", "--config", str(self.config)]
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log
        )
        self.starts += 1

    def await_ready(self) -> None:
        self._hear("READY=1", _PATIENCE_S)

    def reload(self) -> None:
        """Send SIGHUP, as systemctl reload does, and return once the process has reported that it is done."""
        self.forget()
        self.signal(signal.SIGHUP)
        self._hear("RELOADING=1", _PATIENCE_S)
        self._hear("READY=1", _PATIENCE_S)

    def forget(self) -> None:
        """Discard the notifications to systemd that nobody waits for."""
        self._systemd.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._systemd.recv(1000)
        self._systemd.settimeout(1.0)

    def heard(self, word: str) -> bool:
        """Whether a notification that begins with `word` comes within a second."""
        with contextlib.suppress(TimeoutError):
            return self._systemd.recv(1000).decode().startswith(word)
        return False

    def _hear(self, word: str, within_s: float) -> None:
        begin, waited = time.monotonic(), self._waited_ns()
        while time.monotonic() - begin - self._delay_s(waited) < within_s:
            self.alive()
            if self.heard(word):
                return
        raise Broken(f"no {word} within {within_s:g} s\n{self.log_tail()}")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def alive(self) -> None:
        """Check that the process has not ended by itself."""
        if self.process is None or self.process.poll() is not None:
            code = None if self.process is None else self.process.returncode
            raise Broken(f"the run ended by itself, exit code {code}\n{self.log_tail()}")

    def end(self, number: int, allowed: tuple[int, ...]) -> None:
        """Send a signal that ends the process. Checks that it ends with one of the exit codes and leaves no incomplete file."""
        assert self.process is not None
        self.signal(number)
        try:
            code = self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler prints where it hangs
            self.process.wait(_PATIENCE_S)
            raise Broken(f"a run that got signal {number} went on for {_PATIENCE_S:g} s\n{self.log_tail(80)}") from None
        self.process = None
        self.forget()
        if code not in allowed:
            raise Broken(f"signal {number} ended the run with {code}, not one of {allowed}\n{self.log_tail()}")
        report = self.folder / "report.json"
        if code == 0 and report.exists():
            frames = json.loads(report.read_text())["frames"]
            if frames["in"] != frames["fused"] + frames["dropped"]:
                raise Broken(f"frames that are not accounted for: {frames}")
        report.unlink(missing_ok=True)

    def count(self, sink: str) -> int:
        """Number of frames that a faulty: sink accepted, over all processes."""
        with contextlib.suppress(FileNotFoundError, struct.error):
            return int(struct.unpack("<q", (self.folder / f"{sink}.count").read_bytes())[0])
        return 0

    def tracebacks(self) -> int:
        """Number of tracebacks in the log.

        Not counted: those of threads that report an error and go on (edgefuse/util/restarting_thread.py), and those of asyncio where it can
        accept no connection for lack of descriptors.
        """
        lines = self.log_tail(10**7).splitlines()
        begins = [k for k, line in enumerate(lines) if line.strip().startswith("Traceback (most recent call last)")]
        before = ("".join(lines[max(0, k - 3) : k]) for k in begins)
        told = (" and goes on; error ", "During handling of the above", "direct cause of the following", "out of system resource")
        return sum(not any(words in text for words in told) for text in before)

    def probed(self) -> int:
        return self.count("probe")

    def shaky(self) -> int:
        return self.count("shaky")

    def newest(self) -> int:
        """A number that grows with the saved pictures, quickly read from their names."""
        for path in (self.disk / "out").glob("[!.]*"):
            began, _, index = path.stem.partition("_")
            self._newest = max(self._newest, int(began) * 10**6 + int(index))
        return self._newest

    def saved(self) -> int:
        """Check that all saved pictures are complete, delete them, and return their number so far."""
        for path in sorted((self.disk / "out").glob("*")):
            if path.name.startswith("."):
                # left by a killed process, or being written by a live one
                if self.process is None:
                    path.unlink(missing_ok=True)
                continue
            if cv2.imread(str(path)) is None and path.exists():
                raise Broken(f"{path} is torn")
            path.unlink(missing_ok=True)
            self.pictures += 1
        for path in set(self.disk.glob("*.mp4")) - self._played:
            if not path.name.startswith(".") and not cv2.VideoCapture(str(path)).isOpened():
                raise Broken(f"{path} does not play")
            self._played.add(path)
        if self.around and (torn := self.around.torn()):
            raise Broken(f"{torn} does not play")
        return self.pictures

    def tidy(self) -> None:
        """Remove finished and abandoned files from the small disk, but not the video that is being written."""
        for path in self.disk.glob("*"):
            if path.is_file() and (self.process is None or not path.name.startswith(".")):
                path.unlink(missing_ok=True)

    def recovered(self, *grow: Callable[[], int], within_s: float) -> float:
        """Return the seconds until each of these counts has grown. Raises Broken if one has not within `within_s`.

        The seconds are the service's own: those in which its most delayed thread was ready and waited for a processor are left out.
        """
        begin, waited = time.monotonic(), self._waited_ns()
        before = [count() for count in grow]
        left = list(range(len(grow)))
        while True:
            self.alive()
            left = [k for k in left if grow[k]() <= before[k]]
            took = time.monotonic() - begin
            if not left or took > within_s:
                took -= self._delay_s(waited)
                if not left:
                    return took
            if took > within_s:
                still = ", ".join(getattr(grow[k], "__name__", "?") for k in left)
                raise Broken(f"no recovery within {within_s:g} s: {still}\n{self.log_tail()}")
            time.sleep(0.02)

    def _delay_s(self, since: dict[str, int]) -> float:
        """Return for how many seconds the most delayed thread was ready and waited for a processor, since `_waited_ns` gave `since`."""
        return max((ns - since.get(thread, 0) for thread, ns in self._waited_ns().items()), default=0) / 1e9

    def _waited_ns(self) -> dict[str, int]:
        """Return, for each thread of the process and its children, how long it was ready to run and waited for a processor, where the
        kernel tells."""
        waited: dict[str, int] = {}
        if self.process is None:
            return waited
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children())):
                for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
                    with contextlib.suppress(OSError, IndexError, ValueError):
                        waited[path.parent.name] = int(path.read_text().split()[1])
        return waited

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        if self.process is not None:
            killed(self.process)
        self._systemd.close()
        self._log.close()
        if self.around:
            self.around.close()
        if self.small_disk:
            subprocess.run(["umount", "-l", str(self.disk)], check=True, timeout=120)
        shutil.rmtree(self.folder, ignore_errors=True)
