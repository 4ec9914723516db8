"""A run with every settings table, and the servers and clients that each of them needs, for benchmarks/soak.py --all.

A real Mosquitto with a client that listens and sends commands, an FFmpeg that receives the stream, a simulated browser that watches from
time to time, and a client that requests /metrics. If a program is missing, its table is left out and named in `without`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.mqtt.broker import MOSQUITTO, Broker, Watcher
from tests.streaming.servers import Listener
from tests.support.waiting import free_port

_LOOK_S, _AWAY_S = 3.0, 7.0  # how long a viewer watches, and then is away
_PATHS = ("/metrics", "/state.json", "/history.json", "/report.json", "/healthz", "/picture.png", "/picture.png?view=infrared:rainbow")


class Everything:
    """Created before the run, closed after it. `config` is the settings file."""

    def __init__(self, folder: Path) -> None:
        self.without: list[str] = []
        self.asked, self.refused, self.looked_bytes = 0, 0, 0
        self._end = threading.Event()
        self._folder, self._port = folder, free_port()
        self.broker: Broker | None = None
        self.watcher: Watcher | None = None
        self._listener: Listener | None = None
        tables: dict[str, dict[str, Any]] = {
            "telemetry": {"file": str(folder / "telemetry.jsonl"), "interval": 1.0, "max_mb": 0.1, "keep": 3},
            "web": {"listen": f"127.0.0.1:{self._port}"},
            # the demo's hottest pixel crosses these limits again and again
            "alarm.warm": {"above": 34.5, "hysteresis": 0.2, "duration": 0.2, "hook": [shutil.which("true") or "/bin/true"]},
            "alarm.zone": {"above": 25.0, "measure": "area", "pixels": 8, "zone": "50%x50%+25%+25%", "duration": 0.2},
        }
        if MOSQUITTO:
            (folder / "broker").mkdir()
            self.broker = Broker(folder / "broker")
            self.watcher = Watcher(self.broker.port)
            tables["mqtt"] = {"url": self.broker.url, "device": "soak", "interval": 1.0, "snapshots": 2.0}
        else:
            self.without.append("mqtt: Mosquitto is not installed")
        if shutil.which("ffmpeg"):
            self._listener = Listener("rtmp", Path("/dev/null"))
            tables["recording"] = {"folder": str(folder / "recordings"), "segment_s": 60.0, "keep_gb": 0.02, "keep_free_mb": 100.0}
            tables["stream"] = {"url": self._listener.url}
        else:
            self.without.append("recording, stream: FFmpeg is not installed")
        self.config = folder / "edgefuse.toml"
        self.config.write_text(
            "\n".join(f"[{table}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()) for table, values in tables.items())
        )
        self._threads = [threading.Thread(target=work) for work in (self._look, self._ask, self._command)]
        for t in self._threads:
            t.start()

    def close(self) -> None:
        self._end.set()
        for t in self._threads:
            t.join()
        if self.watcher:
            self.watcher.close()
        if self.broker:
            self.broker.stop()
        if self._listener:
            self._listener.close()

    def _get(self, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", path)
        return connection, connection.getresponse()

    def _look(self) -> None:
        """Watch the live picture from time to time."""
        while not self._end.wait(_AWAY_S):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection, answer = self._get("/stream.mjpg?view=fused")
                away = threading.Event()
                threading.Timer(_LOOK_S, away.set).start()
                while not away.is_set() and (data := answer.read1(65536)):
                    self.looked_bytes += len(data)
                connection.close()

    def _ask(self) -> None:
        k = 0
        while not self._end.wait(1.0):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection, answer = self._get(_PATHS[k % len(_PATHS)])
                answer.read()
                self.asked, self.refused = self.asked + 1, self.refused + (answer.status != 200)
                connection.close()
                k += 1

    def _command(self) -> None:
        while self.watcher and not self._end.wait(5.0):
            with contextlib.suppress(Exception):
                self.watcher.publish("edgefuse/soak/command", b'{"command": "snapshot"}')

    def judge(self, report: dict[str, Any]) -> list[str]:
        """Return the contradictions in the run's last report, in words; prints what each part did."""
        wrong = []
        for table in ("recording", "stream"):
            if part := report.get(table):
                frames = part["frames"]
                rest = frames["seen"] - sum(n for what, n in frames.items() if what != "seen")
                print(f"{table:12s} {', '.join(f'{n} {what}' for what, n in frames.items())}")
                if rest or frames["seen"] != report["frames"]["fused"]:
                    wrong.append(f"{table}: {rest} frames unaccounted for, {frames['seen']} of {report['frames']['fused']} seen")
                if table == "recording":
                    made = f"{part['segments']} segments, {part['deleted']} deleted to make room"
                    print(f"             {made}, {part['kept_bytes'] / 1e6:.1f} MB kept")
        web, alarms = report["web"], report["alarm"]
        print(f"web          {self.looked_bytes / 1e6:.1f} MB looked at, {self.asked} requests, {self.refused} not answered with 200")
        raised = ", ".join(f"{name} raised {a['raised']} times" for name, a in alarms["alarms"].items())
        print(f"alarm        {raised}; hooks {alarms['hooks']}")
        print(f"telemetry    {report['telemetry']['lines']} lines, {report['telemetry']['lost']} lost")
        if web["viewers"] or self.refused or not self.asked or not self.looked_bytes:
            wrong.append(f"web: {web['viewers']} viewers left, {self.refused} of {self.asked} requests refused")
        if report["telemetry"]["lost"] or not all(a["raised"] for a in alarms["alarms"].values()):
            wrong.append("telemetry lines lost, or an alarm that was never raised")
        if mqtt := report.get("mqtt"):
            assert self.watcher is not None
            told = [json.loads(p)["sequence"] for p in self.watcher.on("edgefuse/soak/telemetry")]
            print(f"mqtt         {mqtt['sent']} sent, {mqtt['lost']} lost, {mqtt['snapshots']} pictures; {len(told)} telemetry heard")
            if sorted(set(told)) != list(range(len(set(told)))) or any(mqtt["lost"].values()):
                wrong.append("mqtt: messages are missing")
        return wrong
