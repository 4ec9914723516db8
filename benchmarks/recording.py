"""Processor time and memory that recording adds to the fusion, and what a recording loses by kill -9 or a power cut.

    python benchmarks/recording.py encoders          # ms of processor time per frame, 640x480; with PyAV if installed
    python benchmarks/recording.py memory            # edgefuse run with and without --recordings
    python benchmarks/recording.py cuts --times 20   # kill -9 at random moments; and truncation to what was synced
    deploy/emulate/pi run --skip-idle --out cut --file ffmpeg --file benchmarks/recording.py -- sh -c \
        'PATH=/job:$PATH python3 recording.py feed --folder /job/out --size 160x120 --fps 10 --cut 80'   # ffmpeg: a static one for arm64
    python benchmarks/recording.py survived --folder cut       # frames that are left after that reset

Processor time includes all processes and threads. Variants are interleaved over several rounds: medians, quartiles in brackets.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

import edgefuse
from edgefuse.ffmpeg import encoders, frames
from edgefuse.ffmpeg.encoders import Encoder
from edgefuse.frames import FusedFrame
from edgefuse.recording import Recording
from edgefuse.recording.encoding import RecordingJob
from edgefuse.recording.folder import Folder, Limits
from edgefuse.recording.fragments import playable_part
from edgefuse.settings.recording import RecordingSettings
from edgefuse.telemetry.live import Info, Live

COUNT, FPS = 250, 25


def processor_s() -> float:
    """Return processor seconds of this process and its ended children."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(r.ru_utime + r.ru_stime for r in both)


def fused_frames(size: str, count: int) -> tuple[list[FusedFrame], float]:
    """Return frames of the demo scene, and the fusion's processor time per frame in ms."""
    with edgefuse.open_source(f"demo?size={size}&frames={count}&scene=day") as source, edgefuse.load(threads=1) as fuser:
        pairs = [p for p in iter(source.read, None) if p is not None]
        fuser.fuse(pairs[0])
        begin = processor_s()
        made = [fuser.fuse(p) for p in pairs]
        return made, (processor_s() - begin) / count * 1e3


def ours(pictures: list[Any], out: Path, encoder: str, data: Callable[[Any], Any] = frames.i420) -> None:
    """Encode as edgefuse.recording does: I420 through a pipe to FFmpeg."""
    job = RecordingJob(RecordingSettings(folder="x"), None, None, None)  # type: ignore[arg-type]
    options = [*Encoder(encoder).options(job.bitrate_kbit, job.keyframe_s), *job.outputs()[:-1], "-y", str(out)]
    command = [encoders.program(), "-v", "error", "-fpsprobesize", "0", "-analyzeduration", "0", "-f", "matroska", "-i", "pipe:0", *options]
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.write(frames.file_header(pictures[0].shape[1], pictures[0].shape[0], FPS))
    for k, picture in enumerate(pictures):
        body = data(picture)
        child.stdin.write(frames.frame_header(k * 10**9 // FPS, body.nbytes))
        child.stdin.write(body.data.cast("B"))
    child.stdin.close()
    child.wait()


def opencv(pictures: list[Any], out: Path) -> None:
    writer = cv2.VideoWriter(str(out), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), FPS, pictures[0].shape[1::-1])
    for picture in pictures:
        writer.write(picture)
    writer.release()


def pyav(pictures: list[Any], out: Path) -> None:
    from fractions import Fraction

    import av

    container = av.open(str(out), "w", format="mp4", options={"movflags": "frag_keyframe+delay_moov+default_base_moof"})
    options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "g": str(FPS), "maxrate": "4M", "bufsize": "4M"}
    stream = container.add_stream("libx264", rate=FPS, options=options)
    stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
    stream.codec_context.thread_count = 2
    for k, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(frames.i420(picture), format="yuv420p")
        frame.pts, frame.time_base = k, Fraction(1, FPS)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
    container.close()


def cost(rounds: int) -> None:
    made, _ = fused_frames("640x480", 60)
    # forwards and backwards, so that the picture never jumps
    pictures = [made[k % 60 if k // 60 % 2 == 0 else 59 - k % 60].data for k in range(COUNT)]
    ways: dict[str, Callable[[Path], None]] = {
        "FFmpeg, libx264 ultrafast": lambda out: ours(pictures, out, "libx264"),
        "FFmpeg, mpeg4": lambda out: ours(pictures, out, "mpeg4"),
        "OpenCV's writer, mp4v": lambda out: opencv(pictures, out),
    }
    try:
        import av

        ways[f"PyAV {av.__version__}, libx264 ultrafast"] = lambda out: pyav(pictures, out)
    except ImportError:
        print("PyAV is not installed")
    took: dict[str, list[float]] = {"fusion": [], **{name: [] for name in ways}}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            took["fusion"].append(fused_frames("640x480", 60)[1])
            for name, way in ways.items():
                out = Path(folder, "out.mp4")
                begin = processor_s()
                way(out)
                took[name].append((processor_s() - begin) / COUNT * 1e3)
                sizes[name] = out.stat().st_size / COUNT
    base = float(np.median(took["fusion"]))
    for name, values in took.items():
        low, middle, high = np.percentile(values, (25, 50, 75))
        share, size = f"{middle / base:6.2f} of the fusion's", f"{sizes[name] / 1e3:6.1f} kB a frame" if name in sizes else ""
        print(f"{name:34s}{middle:7.2f} ms [{low:.2f} {high:.2f}] {share}  {size}")


def memory(rounds: int) -> None:
    """Measure peak resident memory of a run at 640x480, and of its FFmpeg."""
    rows: dict[str, list[tuple[float, float]]] = {"without": [], "with --recordings": [], "around alarms, 16 MB held": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name, rest in rows.items():
                more = [] if name == "without" else ["--recordings", folder]
                more += ["--recordings-mode", "alarm"] if "alarms" in name else []
                command = [sys.executable, "-m", "edgefuse", "run", "--source", "demo?size=640x480&frames=250", "--json", *more]
                run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                child = 0.0
                while run.poll() is None:
                    for p in psutil.Process(run.pid).children():
                        try:
                            child = max(child, p.memory_info().rss / 1e6 if p.name() == "ffmpeg" else 0.0)
                        except psutil.Error:
                            continue
                    time.sleep(0.05)
                rest.append((json.loads(run.communicate()[0])["peak_resident_mb"], child))
    for name, values in rows.items():
        own, other = np.median(np.array(values), axis=0)
        print(f"{name:28s}{own:7.1f} MB, FFmpeg {other:6.1f} MB")


def numbered(picture: Any, k: int) -> Any:
    """Draw a picture with its number as 12 bars along the upper edge."""
    picture, wide = picture.copy(), picture.shape[1] // 12
    for bit in range(12):
        picture[:16, bit * wide : (bit + 1) * wide] = 235 if k >> bit & 1 else 20
    return picture


def newest(path: Path) -> int:
    """Return the number of a video's last frame."""
    video, last = cv2.VideoCapture(str(path)), None
    while (read := video.read())[0]:
        last = read[1]
    wide = last.shape[1] // 12
    return sum((last[8, bit * wide + wide // 2].mean() > 128) << bit for bit in range(12))


def feed(folder: Path, size: str, fps: float, seconds: float, cut: int) -> None:
    """Record frames at `fps`; print each frame's number as it is passed on, and each synced file length. After `cut` frames reset the
    machine without unmounting its file systems."""
    made, _ = fused_frames(size, 30)
    fsync, lock = os.fsync, threading.Lock()

    def log(*words: object) -> None:
        with lock:
            print(*words, flush=True)

    def noted(fd: int) -> None:
        fsync(fd)
        name = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
        if name.endswith(".mp4"):
            log("synced", Path(name).name, os.fstat(fd).st_size)

    os.fsync = noted
    live = Live(dict)
    recording = Recording(RecordingSettings(folder=str(folder), segment_s=5, keep_free_mb=0), live, Info("feed", fps, True, {}))
    begin = time.monotonic()
    for k in range(round(seconds * fps)):
        time.sleep(max(0.0, begin + k / fps - time.monotonic()))
        picture = made[k % len(made)]
        now = time.monotonic_ns()
        pair = picture.pair
        visible, infrared = (type(f)(f.data, f.modality, now, f.name) for f in (pair.visible, pair.infrared))
        live.write(FusedFrame(numbered(picture.data, k), type(pair)(visible, infrared, k)))
        log("given", k + 1)
        if k + 1 == cut:
            Path("/proc/sysrq-trigger").write_text("b")
    recording.close()


def decoded(path: Path) -> int:
    """Return the number of frames that FFmpeg decodes without an error."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-xerror",
        "-i",
        str(path),
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:60000",
        "-f",
        "null",
        "-progress",
        "pipe:1",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if done.stderr:
        raise SystemExit(f"{path}: {done.stderr}")
    return max(int(line[6:]) for line in done.stdout.splitlines() if line.startswith("frame="))


def survived(folder: Path) -> tuple[int, int]:
    """Return the number of frames in a folder after the next start, and the number of the newest one."""
    Folder(folder, Limits(0, 0), 0).close()
    files = sorted(folder.glob("edgefuse-*.mp4"))
    return sum(map(decoded, files)), newest(files[-1])


def cuts(times: int, seed: int) -> None:
    rng = random.Random(seed)
    lost: dict[str, list[float]] = {"kill -9": [], "power cut": []}
    dropped = dict.fromkeys(lost, 0)
    for _ in range(times):
        with tempfile.TemporaryDirectory() as name:
            folder, cut = Path(name, "killed"), Path(name, "cut")
            command = [sys.executable, __file__, "feed", "--folder", str(folder), "--seconds", "60"]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            assert child.stdout is not None
            line = ""
            while not line.startswith("synced"):
                line = child.stdout.readline()
            synced = {line.split()[1]: int(line.split()[2])}
            until, given = time.monotonic() + 1 + rng.random() * 8, 0
            while time.monotonic() < until:
                what, *rest = child.stdout.readline().split()
                if what == "synced":
                    synced[rest[0]] = int(rest[1])
                else:
                    given = int(rest[0])
            child.kill()
            for line in child.stdout.read().splitlines():
                if line.startswith("given"):
                    given = int(line.split()[1])
                elif line.startswith("synced") and len(line.split()) == 3:
                    synced[line.split()[1]] = int(line.split()[2])
            child.wait()
            # after a power cut only synced data is left; names are synced with their folder
            cut.mkdir()
            for path in folder.glob("edgefuse-*.mp4"):
                length = max((n for part, n in synced.items() if part.replace(".part", "") == path.name.replace(".part", "")), default=0)
                shutil.copy(path, cut / path.name)
                os.truncate(cut / path.name, min(length, path.stat().st_size))
                assert playable_part(cut / path.name).nbytes in (0, length)
            for what, where in (("kill -9", folder), ("power cut", cut)):
                count, last = survived(where)
                lost[what].append((given - 1 - last) / FPS)
                dropped[what] += last + 1 - count
    for what, values in lost.items():
        print(
            f"{what}: {len(values)} times, seconds lost: median {np.median(values):.2f}, most {max(values):.2f}; "
            f"{dropped[what]} frames dropped before, as this machine was too busy"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("encoders", "memory", "cuts", "feed", "survived"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cut", type=int, default=0, help="for feed in a virtual machine: reset it after so many frames")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--fps", type=float, default=FPS)
    args = parser.parse_args()
    if args.what == "encoders":
        cost(args.rounds)
    elif args.what == "memory":
        memory(args.rounds)
    elif args.what == "cuts":
        cuts(args.times, args.seed)
    elif args.what == "survived":
        count, last = survived(args.folder)
        print(f"{count} frames, the newest is number {last + 1}")
    else:
        feed(args.folder, args.size, args.fps, args.seconds, args.cut)


if __name__ == "__main__":
    main()
