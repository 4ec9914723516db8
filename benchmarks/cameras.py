"""Checks the pairs from two network cameras on loopback with a known delay and a known homography between them.

    python benchmarks/cameras.py --seconds 600                       # every infrared frame once, as with --fresh
    python benchmarks/cameras.py --seconds 600 --held                # every visible frame, the infrared one held
    python benchmarks/cameras.py --seconds 20 --json

A separate process serves the cameras: visible 640x480 at 30 FPS as Motion JPEG over HTTP, infrared 160x120 with 16 bits at 9 FPS as raw
video (YUV4MPEG2, mono16) over HTTP, delivered 80 ms late. The pixels of both encode the frame's number, and so its capture time. A warm
disc moves through both views, in the infrared one displaced by the homography. Checks: the reported skew equals the true one, infrared
counts are bit-exact, the disc is at the right place after registration, memory does not grow from the first minute to the end, and every
received frame was fused or dropped with a cause. Exit code 3 if a check fails.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from edgefuse.calibration.registration import Calibration, Registration  # noqa: E402
from edgefuse.frames import FusedFrame  # noqa: E402
from edgefuse.sinks.base import Sink  # noqa: E402

VISIBLE, INFRARED = (640, 480), (160, 120)
FPS, INFRARED_FPS = 30.0, 9.0
DELAY_MS = 80.0
# infrared pixel to visible pixel: scaled, rotated by 2 degrees, shifted, with a little perspective
HOMOGRAPHY = np.array([[3.4, -0.12, 52.0], [0.11, 3.45, 30.0], [4e-5, -3e-5, 1.0]])
SKEW_MS, PLACE_PX, GROWTH_MB = 5.0, 1.5, 4.0
_TOP = 110
_BITS = 16
_BLOCK = 16  # side of a bit in pixels of the visible frame, large enough to survive JPEG


def disc(seconds: float) -> tuple[float, float]:
    """Return the disc's position in visible pixels; it hardly moves between the two captures of a pair."""
    return 320 + 120 * math.cos(seconds / 7), 260 + 80 * math.sin(seconds / 5)


def draw_visible(index: int) -> np.ndarray:
    image = np.full((VISIBLE[1], VISIBLE[0], 3), 60, np.uint8)
    x, y = disc(index / FPS)
    cv2.circle(image, (round(x * 16), round(y * 16)), 30 * 16, (90, 120, 90), -1, cv2.LINE_AA, 4)
    for bit in range(_BITS):
        image[:_BLOCK, bit * _BLOCK : (bit + 1) * _BLOCK] = 255 if index >> bit & 1 else 0
    return image


def draw_infrared(index: int) -> np.ndarray:
    """Return uint16 counts; the first pixel is the frame's number, the following ones count through all 16 bits."""
    big = np.full((VISIBLE[1], VISIBLE[0]), 29000, np.float32)
    x, y = disc(index / INFRARED_FPS)
    cv2.circle(big, (round(x * 16), round(y * 16)), 30 * 16, 31000, -1, cv2.LINE_AA, 4)
    counts = cv2.warpPerspective(big, np.linalg.inv(HOMOGRAPHY), INFRARED, borderValue=29000).astype(np.uint16)
    counts[0] = (index + np.arange(INFRARED[0]) * 411) & 65535
    counts[0, 0] = index
    return counts


def read_visible(image: np.ndarray) -> int:
    middles = image[_BLOCK // 2, _BLOCK // 2 : _BITS * _BLOCK : _BLOCK, 1]
    return int(sum(1 << k for k in range(_BITS) if middles[k] > 127))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def serve(port: int, infrared_port: int) -> None:
    """Serve both cameras until standard input ends. Prints the capture time of frame 0 (monotonic, ns)."""
    start = time.monotonic() + 1.0

    def visible(index: int) -> bytes:
        jpeg = cv2.imencode(".jpg", draw_visible(index), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        return b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg)

    def infrared(index: int) -> bytes:
        return b"FRAME\n" + draw_infrared(index).astype("<u2").tobytes()

    def play(connection: socket.socket, head: bytes, frame: Callable[[int], bytes], fps: float, delay: float) -> None:
        connection.recv(4096)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"HTTP/1.0 200 OK\r\n" + head)
        index = max(0, math.ceil((time.monotonic() - start) * fps))
        while True:
            data = frame(index)
            time.sleep(max(0.0, start + index / fps + delay - time.monotonic()))
            try:
                connection.sendall(data)
            except OSError:
                return
            index += 1

    def accept(at: int, *how: Any) -> None:
        with socket.create_server(("127.0.0.1", at)) as listener:
            while True:
                threading.Thread(target=play, args=(listener.accept()[0], *how), daemon=True).start()

    multipart = b"Content-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
    y4m = b"Content-Type: video/x-yuv4mpeg\r\n\r\nYUV4MPEG2 W%d H%d F%d:1 Ip A1:1 Cmono16\n" % (*INFRARED, INFRARED_FPS)
    cameras = (port, multipart, visible, FPS, 0.0), (infrared_port, y4m, infrared, INFRARED_FPS, DELAY_MS / 1e3)
    for camera in cameras:
        threading.Thread(target=accept, args=camera, daemon=True).start()
    print(round(start * 1e9), flush=True)
    sys.stdin.read()
    # the threads run C++ code, so exit without Python's shutdown
    os._exit(0)


class Check(Sink):
    """Compares fused frames with what was sent: times, counts, and the disc's position."""

    def __init__(self, seconds: float, start_ns: int, registration: Registration) -> None:
        self._start_ns, self._registration = start_ns, registration
        # allocated in advance, so that recording the measurements does not increase the measured memory
        self.rows = np.zeros((round(seconds * FPS * 1.1) + 100, 3), np.float32)
        self.places_px = np.zeros(len(self.rows) // 20 + 1, np.float32)
        self.wrong_counts = self.frames = 0

    @classmethod
    def from_uri(cls, uri: Any, fps: float) -> Self:
        raise NotImplementedError("it is made by hand")

    def write(self, fused: FusedFrame) -> None:
        visible, infrared = fused.pair.visible, fused.pair.infrared
        v, i = read_visible(visible.data), int(infrared.data[0, 0])
        true_ms = (v / FPS - i / INFRARED_FPS) * 1e3
        newest_ms = max(v / FPS, i / INFRARED_FPS) * 1e3
        latency_ms = (time.monotonic_ns() - self._start_ns) / 1e6 - newest_ms
        self.rows[self.frames] = (visible.time_ns - infrared.time_ns) / 1e6 - true_ms, true_ms, latency_ms
        self.wrong_counts += not np.array_equal(infrared.data, draw_infrared(i))
        if self.frames % 20 == 0:
            # below the first row, which holds the number
            seen = self._registration.apply(infrared.data)[_TOP:]
            moments = cv2.moments((seen > 30000).astype(np.uint8), True)
            x, y = disc(i / INFRARED_FPS)
            off = moments["m10"] / moments["m00"] - x, moments["m01"] / moments["m00"] + _TOP - y
            self.places_px[self.frames // 20] = math.hypot(*off)
        self.frames += 1


def measure(seconds: float, held: bool) -> dict[str, Any]:
    from edgefuse.fusion.fuser import load
    from edgefuse.run.pipeline import Pipeline
    from edgefuse.sources.cameras import CamerasSource, PairingOptions
    from edgefuse.telemetry.report import Telemetry

    calibration = Calibration(
        homography=HOMOGRAPHY, visible_size=VISIBLE, infrared_size=INFRARED, method="points", error_px=0.0, made=datetime.date.today()
    )
    ports = free_port(), free_port()
    player = subprocess.Popen(
        [sys.executable, __file__, "--serve", *map(str, ports)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert player.stdout is not None
    start_ns = int(player.stdout.readline())
    process = psutil.Process()
    check, telemetry = Check(seconds, start_ns, Registration(calibration, VISIBLE, INFRARED)), Telemetry()
    source = CamerasSource(
        [f"visible=http://127.0.0.1:{ports[0]}/video", f"infrared=http://127.0.0.1:{ports[1]}/thermal.y4m"],
        # a held frame may be as old as an infrared interval plus the delay
        PairingOptions(max_skew_ms=1.2e3 / INFRARED_FPS + DELAY_MS, delay_ms=DELAY_MS, fresh=not held),
    )
    memory: list[tuple[float, float]] = []
    begin = time.monotonic()
    with load(calibration=calibration, steady=True) as fuser:
        pipeline = Pipeline(source, fuser, [check], telemetry)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(1.0):
                memory.append((time.monotonic() - begin, process.memory_info().rss / 1e6))
                if time.monotonic() - begin >= seconds:
                    pipeline.stop()

        threading.Thread(target=watch, daemon=True).start()
        pipeline.run()
        done.set()
    source.close()
    assert player.stdin is not None
    player.stdin.close()
    player.wait(10)
    return figures(check, memory, source.report(), telemetry.report(), seconds, held)


def figures(
    check: Check, memory: Sequence[tuple[float, float]], report: Mapping[str, Any], live: Mapping[str, Any], seconds: float, held: bool
) -> dict[str, Any]:
    """Return the measurements. memory: (seconds, MB)."""
    # after a tenth of the time, at most a minute, rarely used code is loaded, too
    settled = [mb for at, mb in memory if at >= min(60.0, seconds / 10)]
    rows, places = check.rows[: check.frames], check.places_px[: check.frames // 20]
    errors = np.abs(rows[:, 0])
    made = {
        "mode": "held" if held else "fresh",
        "seconds": round(live["elapsed_s"], 1),
        "pairs": live["frames"],
        "fused_fps": live["fps"],
        "skew_error_ms": {k: round(float(np.quantile(errors, q)), 3) for k, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1))},
        "skew_bias_ms": round(float(np.median(rows[:, 0])), 3),
        "true_skew_ms": {k: round(float(np.quantile(np.abs(rows[:, 1]), q)), 2) for k, q in (("p50", 0.5), ("max", 1))},
        "capture_to_sink_ms": {k: round(float(np.quantile(rows[:, 2], q)), 1) for k, q in (("p50", 0.5), ("p95", 0.95))},
        "infrared_frames_not_to_the_bit": check.wrong_counts,
        "disc_off_px": {"p50": round(float(np.median(places)), 2), "max": round(float(places.max()), 2)},
        "memory_mb": {"settled": round(settled[0], 1), "most": round(max(settled), 1), "end": round(settled[-1], 1)},
        "memory_mb_by_minute": [
            round(next((mb for t, mb in memory if t >= at), settled[-1]), 1) for at in range(0, round(seconds) + 1, 60)
        ],
        "cameras": {
            m: {k: c[k] for k in ("received", "fused", "dropped", "missed_by_driver", "fps")} for m, c in report["cameras"].items()
        },
        "pairing": report["pairing"],
    }
    balance = all(c["received"] == c["fused"] + sum(c["dropped"].values()) for c in report["cameras"].values())
    pace = FPS if held else INFRARED_FPS
    made["passed"] = {
        f"median and 95th percentile of skew error within {SKEW_MS:g} ms": bool(np.quantile(errors, 0.95) <= SKEW_MS),
        f"fused at {pace:g} FPS": abs(live["fps"] - pace) < 0.02 * pace,
        "every frame accounted for": balance,
        "infrared counts to the bit": check.wrong_counts == 0,
        f"disc within {PLACE_PX:g} px": float(places.max()) <= PLACE_PX,
        f"memory within {GROWTH_MB:g} MB": settled[-1] - settled[0] <= GROWTH_MB,
    }
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="duration in seconds (default: 600)")
    parser.add_argument("--held", action="store_true", help="use every visible frame, with the newest infrared frame held")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(*args.serve)
        return 0
    made = measure(args.seconds, args.held)
    if args.json:
        print(json.dumps(made, indent=1))
    else:
        for key, value in made.items():
            print(f"{key:32s}{value if not isinstance(value, dict) else json.dumps(value)}")
    return 0 if all(made["passed"].values()) else 3


if __name__ == "__main__":
    sys.exit(main())
