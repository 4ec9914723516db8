"""Ten minutes of network cameras that show next to nothing: no fault may be told, and every frame is accounted for.

    python benchmarks/quiet_cameras.py [--minutes 10] [--scene still dark keys]
    sudo python benchmarks/quiet_cameras.py --scene keys --loss 1 --jitter 20      # over a bad link (benchmarks/lossy_link.py)

Two H.264 cameras (FFmpeg behind HTTP, in real time, 10 frames a second) for each scene: `still`, in which nothing moves; `dark`, black
with a burnt-in label; `keys`, a moving picture with a key frame every 10 s only. `edgefuse run` fuses them until it is interrupted. Exit
code 1 if a camera was anything but live after its start, had a fault, or if received frames differ from fused and dropped ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lossy_link import Link, alone
from lossy_link import link as lossy_link

FPS, SIZE = 10, "320x240"
_LABEL = ",".join(f"drawbox=x={10 + 12 * k}:y=10:w=8:h=12:color=white:t=fill" for k in range(6))
SCENES = {
    # picture, frames between key frames
    "still": (f"color=0x303030:s={SIZE}:r={FPS},drawbox=x=60:y=80:w=90:h=60:color=0xb0b0b0:t=fill", 5 * FPS),
    "dark": (f"color=black:s={SIZE}:r={FPS},{_LABEL}", 5 * FPS),
    "keys": (f"testsrc=s={SIZE}:r={FPS}", 10 * FPS),
}
_START_S = 60.0


@contextlib.contextmanager
def server(picture: str, key: int, link: Link | None) -> Iterator[str]:
    """Serve the picture as H.264 in MPEG-TS, to each client from when it joins. Yields the URL, over the link if there is one."""
    command = ["ffmpeg", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", picture, "-c:v", "libx264", "-tune", "zerolatency",
               "-preset", "ultrafast", "-g", str(key), "-sc_threshold", "0", "-f", "mpegts", "-flush_packets", "1", "-muxdelay", "0",
               "pipe:1"]  # fmt: skip
    running: list[subprocess.Popen[bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            encoder = subprocess.Popen(command, stdout=subprocess.PIPE)
            running.append(encoder)
            assert encoder.stdout is not None
            with contextlib.suppress(OSError):
                while data := encoder.stdout.read1(65536):
                    self.wfile.write(data)
            encoder.kill()
            encoder.wait()

        def log_message(self, *_: Any) -> None: ...

    made = ThreadingHTTPServer(("127.0.0.1" if link is None else "0.0.0.0", 0), Handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://{'127.0.0.1' if link is None else link.there}:{made.server_address[1]}/video"
    finally:
        made.shutdown()
        for encoder in running:
            encoder.kill()
            encoder.wait()
        made.server_close()


def run(scene: str, minutes: float, folder: Path, link: Link | None = None) -> dict[str, Any]:
    """Return the report of a run of so many minutes after its start."""
    picture, key = SCENES[scene]
    with server(picture, key, link) as visible, server(picture, key, link) as infrared:
        command = [sys.executable, "-m", "edgefuse", "run", "--camera", f"visible={visible}", "--camera", f"infrared={infrared}",
                   "--model", "blend-classic", "--report", str(folder / "report.json")]  # fmt: skip
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            process.wait(minutes * 60 + key / FPS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def wrong(report: dict[str, Any]) -> list[str]:
    """Return what is not as it has to be."""
    lines = []
    for name, camera in report["cameras"].items():
        if camera["received"] != camera["fused"] + sum(camera["dropped"].values()):
            lines.append(f"{name}: {camera['received']} received, {camera['fused']} fused, {camera['dropped']} dropped")
        if camera["faults"] or camera["dropped"].get("frozen"):
            lines.append(f"{name}: faults {camera['faults']}, dropped {camera['dropped']}")
        states = {change["state"] for change in camera["last_state_changes"]} - {"live", "held"}
        if states:
            lines.append(f"{name}: was {', '.join(sorted(states))}")
    return lines


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=10.0)
    p.add_argument("--scene", nargs="+", choices=SCENES, default=list(SCENES))
    p.add_argument("--loss", type=float, default=0.0, metavar="PERCENT", help="packets that the link loses")
    p.add_argument("--delay", type=float, default=30.0, metavar="MS", help="mean delay each way of a link with loss or jitter")
    p.add_argument("--jitter", type=float, default=0.0, metavar="MS", help="standard deviation of that delay")
    args = p.parse_args()
    if not args.loss and not args.jitter:
        return measure(args, None)
    alone()
    with lossy_link(args.loss / 100, args.delay / 1000, args.jitter / 1000) as link:
        bad = measure(args, link)
        print(f"link: {link.passed} packets passed, {link.lost} lost")
    return bad


def measure(args: argparse.Namespace, link: Link | None) -> int:
    """Run the scenes and print what they gave. Returns the exit code."""
    bad = 0
    for scene in args.scene:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            report = run(scene, args.minutes, Path(folder), link)
        faults = wrong(report)
        bad += bool(faults)
        for name, camera in report["cameras"].items():
            print(f"{scene:6s} {name:9s} {camera['received']:6d} received, {camera['fused']:6d} fused, dropped {camera['dropped']}, "
                  f"faults {camera['faults']}")  # fmt: skip
        print(f"{scene:6s} {(time.monotonic() - begin) / 60:.1f} min: {'; '.join(faults) or 'right'}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
