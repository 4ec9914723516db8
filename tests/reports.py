"""A report with every part, made by the code that makes it in a run. Cameras, links and FFmpeg's parts are written by hand in the format of
their `report` methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefuse.alarms import Alarms
from edgefuse.errors import FrameError
from edgefuse.frames import Frame, FramePair, FusedFrame, Radiometry
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.report import Telemetry

INFO = Info("demo", 25.0, True, {"name": "mobilefuse-edge", "runtime": "numpy", "precision": "fp32"})


def frame(celsius: float = 40.0, law: bool = True, time_ns: int = 10**9) -> FusedFrame:
    """Return a frame of 8 x 6 pixels with a hot spot."""
    counts = np.full((6, 8), 29315, np.uint16)
    counts[2, 3] = round((celsius + 273.15) * 100)
    visible = Frame(np.zeros((6, 8), np.uint8), "visible", time_ns, f"f{time_ns}")
    infrared = Frame(counts, "infrared", time_ns, visible.name, Radiometry("lepton", 0.01, -273.15) if law else None)
    return FusedFrame(visible.data, FramePair(visible, infrared, 0), {"prepare": 10**6, "network": 5 * 10**6})


def full_report(law: bool = True) -> dict[str, Any]:
    """Return a report of three fused and three lost frames, two cameras, an alarm that is raised and one without readings, an MQTT link
    with losses, a recording that stopped, a stream whose server is gone, and two viewers."""
    telemetry, live = Telemetry(), Live(dict)
    telemetry.lost(FrameError("a", "size", "a: sizes differ"))
    for _ in range(2):
        telemetry.lost(FrameError("b", "overrun", "b: too late"))
    tables = {"stove": AlarmSettings(above=30, duration=0, hook=("/bin/true",)), "odd": AlarmSettings(above=30, zone="99x99+0+0")}
    alarms = Alarms(tables, live, INFO)
    for k in range(3):
        fused = frame(40.0 + k, law, (k + 1) * 10**9)
        telemetry.read(fused.pair.nbytes, 2 * 10**6)
        telemetry.infrared(fused.pair.infrared)
        telemetry.fused(fused, 10**6)
        live.write(fused)
    alarms.close()
    camera = {"camera": "x", "state": "live", "received": 90, "fused": 80, "dropped": {"overrun": 10}, "fps": 9.0, "faults": {"gone": 1}}
    return {
        "model": dict(INFO.model),
        **telemetry.report(),
        "cameras": {"visible": camera, "infrared": camera | {"state": "lost"}},
        "pairing": {"pairs": 80, "held": 20, "alone": 5},
        "alarm": alarms.report(),
        "mqtt": {"state": "connected", "sent": 7, "lost": {"telemetry": 3, "event": 1}, "waiting": 2},
        "recording": {
            "state": "stopped",
            "mode": "always",
            "trouble": "the disk is full",
            "folder": "/srv/edgefuse",
            "file": None,
            "segments": 4,
            "recovered": 1,
            "deleted": 2,
            "bytes": 5_000_000,
            "kept_bytes": 3_000_000,
            "held_bytes": 0,
            "encoder": "libx264",
            "encoder_restarts": 1,
            "frames": {"seen": 100, "recorded": 80, "dropped": 9, "lost": 5, "unwritten": 6, "not_wanted": 0},
        },
        "stream": {
            "state": "connecting",
            "url": "rtsp://server:8554/edgefuse",
            "trouble": "FFmpeg ended",
            "encoder": "libx264",
            "reconnects": 3,
            "frames": {"seen": 100, "sent": 90, "dropped": 4, "lost": 6},
        },
        "web": {
            "url": "http://127.0.0.1:8080/",
            "token": False,
            "trouble": "",
            "viewers": 2,
            "viewers_turned_away": 1,
            "pictures_encoded": 50,
            "bytes_sent": 250_000,
        },
    }
