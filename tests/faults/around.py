"""The environment of a run and its faults: a broker, clients of the web page, FFmpeg, the recordings' disk, an alarm's hook.

`Around` belongs to a World and adds its tables to the world's settings. FAULTS: each fault's relative frequency and the settings table that
it concerns. If a program that the table needs is not installed, `missing` names it and the fault is left out.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import psutil

from tests.mqtt.broker import MOSQUITTO, NEEDED, Broker, Watcher
from tests.streaming.servers import Publishing
from tests.support.processes import killed
from tests.support.waiting import free_port
from tests.web import hostile

Count = Callable[[], int]


class Around:
    def __init__(self, folder: Path, rng: random.Random) -> None:
        """folder: the world's folder."""
        self.rng, self.folder, self.port = rng, folder, free_port()
        self.missing: dict[str, str] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self._guests: list[socket.socket] = []
        self.broker: Broker | None = None
        self.small_disk = False
        if find_spec("uvicorn") and find_spec("starlette"):
            self.tables["web"] = {"listen": f"127.0.0.1:{self.port}", "clients": 4}
        else:
            self.missing["web"] = "uvicorn and starlette are not installed (pip install 'edgefuse[web]')"
        if MOSQUITTO and find_spec("paho"):
            (folder / "broker").mkdir()
            self.broker = Broker(folder / "broker")
            self.watcher = Watcher(self.broker.port)
            self.tables["mqtt"] = {"url": self.broker.url, "device": "faulty", "interval": 0.2, "snapshots": 0.5}
        else:
            self.missing["mqtt"] = NEEDED
        self.records = folder / "records"
        if shutil.which("ffmpeg"):
            self.records.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(self.records)]
            self.small_disk = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False, timeout=120).returncode == 0
            self.tables["recording"] = {"folder": str(self.records), "segment_s": 2.0, "keep_gb": 0.0015, "keep_free_mb": 0.2}
            self.video_server = Publishing("u", "p")
            self.tables["stream"] = {"url": f"rtsp://{self.video_server.place}", "user": "u", "password": "p"}
        else:
            self.missing["recording"] = self.missing["stream"] = "FFmpeg is not installed (apt-get install ffmpeg)"
        script = f"[ -e {folder}/hook.hang ] && sleep 60; echo $EDGEFUSE_STATE >> {folder}/hooks"
        self.tables["alarm.hot"] = {
            "above": 40000.0, "unit": "counts", "hysteresis": 100.0, "duration": 0.0,
            "hook": ["/bin/sh", "-c", script], "hook_timeout": 0.5,
        }  # fmt: skip

    def close(self) -> None:
        self.leave()
        if self.broker:
            self.watcher.close()
            self.broker.stop()
        if "stream" in self.tables:
            self.video_server.close()
        if self.small_disk:
            subprocess.run(["umount", "-l", str(self.records)], check=True, timeout=120)

    def told(self) -> int:
        """Number of telemetry messages that another client received from the broker."""
        return len(self.watcher.on("edgefuse/faulty/telemetry"))

    def served(self) -> int:
        """Number of frames as the web page reports it; 0 if it does not answer."""
        return int(self._get("/healthz").get("frames", 0))

    def report(self) -> dict[str, Any]:
        """The run's report as the web page gives it; empty if it does not answer."""
        report: dict[str, Any] = self._get("/report.json")
        return report

    def recorded(self) -> int:
        """A number that grows with the recordings in the folder, because numbers of recordings are never reused."""
        seen_calls = [0]
        for path in self.records.glob("edgefuse-*"):
            with contextlib.suppress(FileNotFoundError):
                nbytes = path.stat().st_size
                seen_calls.append((int(path.name.split("-")[1]) * 10**9 + nbytes) if nbytes else 0)
        return max(seen_calls)

    def streamed(self) -> int:
        """Number of packets that the video server received."""
        return self.video_server.packets

    def hooked(self) -> int:
        """Number of hooks that succeeded. Heats and cools the scene, so that more alarms follow."""
        hot = self.folder / "source.hot"
        hot.unlink() if hot.exists() else hot.touch()
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "hooks").stat().st_size
        return 0

    def _get(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()

    def ask_record(self) -> None:
        """Command the run to record, whatever was commanded before."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/record", b'{"on": true}', {"Content-Type": "application/json"})
            connection.getresponse().read()
        connection.close()

    def visit(self, request: bytes) -> None:
        """Connect a client that sends this and then neither reads nor disconnects."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(5)
        try:
            sock.connect(("127.0.0.1", self.port))
            sock.sendall(request)
        except OSError:
            sock.close()
        else:
            self._guests.append(sock)

    def leave(self) -> None:
        """Disconnect all clients of `visit`."""
        for sock in self._guests:
            sock.close()
        self._guests.clear()

    def torn(self) -> str:
        """Return the finished recording that does not play, or an empty string if all do."""
        if "recording" in self.tables:
            for path in self.records.glob("edgefuse-*.mp4"):
                # a recording may be deleted meanwhile, because the folder is full
                if ".part" not in path.name and not cv2.VideoCapture(str(path)).read()[0] and path.exists():
                    return str(path)
        return ""


def alive(world: Any) -> list[Count]:
    """Return the counts that grow while everything that is attached works."""
    around: Around = world.around
    counts = {
        "mqtt": around.told, "web": around.served, "recording": around.recorded, "stream": around.streamed, "alarm.hot": around.hooked,
    }  # fmt: skip
    return [count for table, count in counts.items() if table in around.tables]


def broker_killed(world: Any) -> list[Count]:
    around: Around = world.around
    assert around.broker is not None
    killed(around.broker.process)
    time.sleep(world.rng.uniform(0, 1.0))
    around.broker.start()
    return [around.told]


def broker_hangs(world: Any) -> list[Count]:
    around: Around = world.around
    assert around.broker is not None
    around.broker.process.send_signal(signal.SIGSTOP)
    time.sleep(world.rng.uniform(0, 1.5))
    around.broker.process.send_signal(signal.SIGCONT)
    return [around.told]


def slow_clients(world: Any) -> list[Count]:
    """Viewers that stall and requests that never end; some stay until this fault comes again."""
    around: Around = world.around
    around.leave()
    for _ in range(world.rng.randrange(1, 12)):
        around.visit(
            world.rng.choice((b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /stream.mjpg HTTP/1.1\r\nHost: lo", b""))
        )
    time.sleep(world.rng.uniform(0, 0.3))
    return [around.served]


def hostile_clients(world: Any) -> list[Count]:
    around: Around = world.around
    attacks = hostile.requests(world.rng.randrange(10**6))
    for _ in range(world.rng.randrange(1, 20)):
        with contextlib.suppress(OSError):
            assert hostile.status(hostile.attack(("127.0.0.1", around.port), next(attacks))) != 500
    # a request may have stopped the recording, which is allowed without a token
    around.ask_record()
    return [around.served]


def recordings_disk_full(world: Any) -> list[Count]:
    around: Around = world.around
    if around.small_disk:
        filler = around.records / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
            while f.write(bytes(1 << 14)):
                pass
        time.sleep(world.rng.uniform(0, 1.0))
        filler.unlink()
    else:
        # the tests do not run as root, so write protection is effective
        around.records.chmod(0o500)
        time.sleep(world.rng.uniform(0, 1.0))
        around.records.chmod(0o700)
    return [around.recorded]


def encoder_killed(world: Any) -> list[Count]:
    """Kill the encoder, or suspend it for a while."""
    around: Around = world.around
    for child in psutil.Process(world.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == "ffmpeg":
                if world.rng.random() < 0.7:
                    child.kill()
                else:
                    child.suspend()
                    time.sleep(world.rng.uniform(0, 1.0))
                    child.resume()
    return [around.recorded]


@contextlib.contextmanager
def _limited(world: Any, limit: int, value: int) -> Iterator[None]:
    """Lower a limit of the run's process, which concerns it at its next call, and raise it again after the block."""
    process = psutil.Process(world.process.pid)
    before = process.rlimit(limit)
    process.rlimit(limit, (value, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.rlimit(limit, before)


def video_server_lost(world: Any) -> list[Count]:
    around: Around = world.around
    around.video_server.cut()
    time.sleep(world.rng.uniform(0, 1.0))
    around.video_server.down = False
    return [around.streamed]


def no_descriptors(world: Any) -> list[Count]:
    """Every open, socket, accept and pipe fails for a moment, in which the encoder dies, too."""
    with _limited(world, psutil.RLIMIT_NOFILE, 8):
        encoder_killed(world)
        time.sleep(world.rng.uniform(0.2, 2.0))
    return alive(world)


def no_memory(world: Any) -> list[Count]:
    """Every larger allocation fails for a moment, in which the encoder dies, too."""
    with _limited(world, psutil.RLIMIT_AS, psutil.Process(world.process.pid).memory_info().vms):
        encoder_killed(world)
        time.sleep(world.rng.uniform(0.2, 2.0))
    return alive(world)


def hanging_hooks(world: Any) -> list[Count]:
    around: Around = world.around
    hang = world.folder / "hook.hang"
    hang.touch()
    for _ in range(world.rng.randrange(1, 12)):
        around.hooked()
        time.sleep(0.05)
    hang.unlink()
    return [around.hooked]


def tables_reloaded(world: Any) -> list[Count]:
    """Remove some of the tables, then add them again."""
    around: Around = world.around
    out = world.rng.sample(list(around.tables), world.rng.randrange(1, len(around.tables) + 1))
    for table in out:
        world.settings.pop(table)
    world.write_settings()
    world.reload()
    for table in out:
        world.settings[table] = around.tables[table]
    world.write_settings()
    world.reload()
    return alive(world)


FAULTS: dict[Callable[[Any], list[Count]], tuple[int, str]] = {
    broker_killed: (3, "mqtt"),
    broker_hangs: (2, "mqtt"),
    slow_clients: (3, "web"),
    hostile_clients: (3, "web"),
    recordings_disk_full: (2, "recording"),
    encoder_killed: (3, "recording"),
    video_server_lost: (2, "stream"),
    no_descriptors: (2, "recording"),
    no_memory: (2, "recording"),
    hanging_hooks: (3, "alarm.hot"),
    tables_reloaded: (3, "alarm.hot"),
}
