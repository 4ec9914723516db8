"""Soak test of a long run: memory, threads and file descriptors.

    python benchmarks/soak.py --frames 200000 [--all | --config edgefuse.toml]

`edgefuse run` in its own process, monitored from outside: the demo source at full speed into every sink (pictures, a video, a raw
recording). A settings file adds other tables; --all adds every table, with the servers and clients of benchmarks/everything.py. The video
is .mkv, because .mp4 keeps its index in memory until the end. Pictures are deleted as they appear. Memory is what the process allocated
(RssAnon; USS would grow when another process that shares our libraries ends); its slope is fitted to the samples after the first --warm-up
share of the frames. FFmpeg's processes are measured separately. Exit code 1 if memory grows by --slope MB per 100,000 frames or more, if
threads or descriptors grow, or if a frame is not accounted for. --minutes ends the run early; the frames until then are evaluated.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

_HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Sample:
    frames: int
    memory_mb: float
    children_mb: float
    threads: int
    descriptors: int


def _anonymous_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"{pid} has ended")


def _sample(process: psutil.Process, pictures: Path) -> Sample | None:
    """Sample the process's resources. The newest picture's number is the number of frames. Deletes all but the newest few pictures."""
    numbers = sorted(int(e.name.removesuffix(".jpg").rpartition("_")[2]) for e in os.scandir(pictures) if not e.name.startswith("."))
    for number in numbers[:-4]:
        (pictures / f"demo_{number:05d}.jpg").unlink()
    if not numbers:
        return None
    try:
        children = sum(_anonymous_mb(c.pid) for c in process.children() if "ffmpeg" in c.name())
        return Sample(numbers[-1] + 1, _anonymous_mb(process.pid), children, process.num_threads(), process.num_fds())
    except (psutil.Error, OSError):
        return None


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--frames", type=int, default=200_000)
    p.add_argument("--size", default="96x80")
    p.add_argument("--minutes", type=float, default=float("inf"), help="end the run after this time (default: never)")
    p.add_argument("--model", default="mobilefuse-edge")
    tables = p.add_mutually_exclusive_group()
    tables.add_argument("--config", type=Path, help="settings file with further tables")
    tables.add_argument("--all", action="store_true", help="use every settings table, with its servers and clients")
    p.add_argument("--warm-up", type=float, default=0.25, help="share of the frames that is not evaluated (default: 0.25)")
    p.add_argument("--slope", type=float, default=1.0, help="limit in MB per 100,000 frames (default: 1)")
    p.add_argument("--folder", type=Path, help="folder to write to (default: a temporary folder)")
    args = p.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    pictures, report = folder / "pictures", folder / "report.json"
    everything = None
    if args.all:
        from benchmarks.everything import Everything

        everything = Everything(folder)
        print(*(f"without {what}" for what in everything.without), sep="\n", end="", flush=True)
    config = everything.config if everything else args.config
    command = [
        sys.executable, "-m", "edgefuse", "run", "--source", f"demo?frames={args.frames}&size={args.size}&depth=16", "--model", args.model,
        "--save", pictures, "--save-format", "jpg", "--record", folder / "fused.mkv", "--record-raw", folder / "pairs.efr",
        "--report", report, *(["--config", config] if config else []),
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(_HERE), os.environ.get("PYTHONPATH"))))}
    samples: list[Sample] = []
    began, ended = time.monotonic(), False
    try:
        child = subprocess.Popen(list(map(str, command)), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        process = psutil.Process(child.pid)
        while child.poll() is None:
            time.sleep(0.5)
            if not ended and pictures.is_dir() and (sample := _sample(process, pictures)) is not None:
                samples.append(sample)
            if not ended and time.monotonic() - began > 60 * args.minutes:
                child.send_signal(signal.SIGTERM)
                ended = True
        if child.returncode:
            print(f"the run ended with exit code {child.returncode}", file=sys.stderr)
            return 1
        told = json.loads(report.read_text())
        if ended:
            print(f"ended after {args.minutes:g} minutes: {told['frames']['in']} of {args.frames} frames")
            args.frames = told["frames"]["in"]
        code = _judge(samples, told, args, time.monotonic() - began)
        wrong = everything.judge(told) if everything else []
        for what in wrong:
            print(f"WRONG        {what}")
        return 1 if wrong else code
    finally:
        if everything:
            everything.close()
        shutil.rmtree(folder, ignore_errors=True)


def _line(x: Any, y: Any) -> tuple[float, float]:
    """Return (slope, its standard error) of a line through these samples."""
    slope, base = np.polyfit(x, y, 1)
    return float(slope), float(np.sqrt(((y - slope * x - base) ** 2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum()))


def _judge(samples: list[Sample], report: dict[str, object], args: argparse.Namespace, took_s: float) -> int:
    warm = [s for s in samples if s.frames >= args.warm_up * args.frames]
    # the last samples may be from the shutdown
    warm = [s for s in warm if s.frames < args.frames - 10]
    if len(warm) < 20:
        print(f"only {len(warm)} samples after the warm-up; take more frames", file=sys.stderr)
        return 1
    x, y = np.array([s.frames for s in warm]) / 1e5, np.array([s.memory_mb for s in warm])
    slope, error = _line(x, y)
    children = np.array([s.children_mb for s in warm])
    half = len(warm) // 2
    frames = report["frames"]
    assert isinstance(frames, dict)
    whole = frames["in"] == args.frames == frames["fused"] + frames["dropped"]
    # medians, because a file that is being written is a descriptor, too
    grown = {k: median(getattr(s, k) for s in warm[half:]) - median(getattr(s, k) for s in warm[:half]) for k in ("threads", "descriptors")}
    print(f"frames       {frames['in']} in, {frames['fused']} fused, {frames['dropped']} dropped of {args.frames}, in {took_s:.0f} s")
    print(f"memory       {y.min():.1f} to {y.max():.1f} MB after the warm-up; {slope:+.3f} +- {error:.3f} MB per 100,000 frames")
    if children.any():
        more, within = _line(x, children)
        print(f"FFmpeg's     {children.min():.1f} to {children.max():.1f} MB; {more:+.3f} +- {within:.3f} MB per 100,000 frames")
        slope = max(slope, more)
    parts = ([s.memory_mb for s in samples if k <= 10 * s.frames / args.frames < k + 1] for k in range(10))
    tenths = [median(part) for part in parts if part]
    print(f"by tenths    {', '.join(f'{mb:.1f}' for mb in tenths)} MB (medians)")
    for key, more in grown.items():
        values = [getattr(s, key) for s in warm]
        print(f"{key:12s} {min(values)} to {max(values)}; second half's median less the first's: {more:+g}")
    return 0 if whole and slope < args.slope and not any(more > 0 for more in grown.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
