"""`edgefuse run --recordings DIR`: a real run that is killed, stopped and restarted."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from edgefuse.recording.fragments import Splitter
from tests.conftest import one_line
from tests.ffmpeg.pictures import needs_ffmpeg, probe
from tests.support import waiting
from tests.support.processes import ended, killed, until

pytestmark = needs_ffmpeg
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _start(folder: Path, *more: str) -> subprocess.Popen[str]:
    args = ["--source", "demo?frames=0&size=96x80", "--recordings", "rec", *more]
    command = [sys.executable, "-m", "edgefuse", "run", *args]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _videos(folder: Path) -> list[Path]:
    return sorted((folder / "rec").glob("edgefuse-*.mp4"))


def _new(folder: Path, before: set[Path]) -> list[Path]:
    """Return the videos that did not exist before; a recovered one does not count."""
    names = {v.name.replace(".part", "") for v in before}
    return [v for v in _videos(folder) if v.name.replace(".part", "") not in names]


def _begun(folder: Path, before: set[Path]) -> bool:
    # a video that is finished at this moment is renamed
    with contextlib.suppress(FileNotFoundError):
        return any(v.stat().st_size > 5000 for v in _new(folder, before))
    return False


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def _plays(path: Path) -> int:
    """Return a video's frames, checking that FFmpeg decodes it without warnings."""
    command = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-fps_mode", "passthrough", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return len(probe(path)["packets"])


def _whole(data: bytes) -> tuple[int, int]:
    """Return (bytes, frames) of a file that was being written, up to the end of its last complete fragment."""
    splitter = Splitter()
    fragments = list(splitter.feed(data))
    return (len(splitter.header) + sum(len(f.data) for f in fragments), sum(f.frames for f in fragments)) if fragments else (0, 0)


@pytest.mark.slow
def test_kill_9_at_any_moment_costs_no_more_than_what_was_on_its_way(tmp_path: Path, run: Run) -> None:
    rng = random.Random(7)
    # expected bytes and frames of each video at the end
    expected: dict[str, tuple[bytes, int]] = {}
    for _ in range(4):
        before = set(_videos(tmp_path))
        process = _start(tmp_path)
        until(partial(_begun, tmp_path, before), process, "five kilobytes of another video")
        time.sleep(rng.random() * 1.5)
        children = psutil.Process(process.pid).children()
        killed(process)
        # FFmpeg ends with the run
        waiting.until(partial(_gone, children), "FFmpeg to end with the run")
        new = _new(tmp_path, before)
        # one video, or more if this machine stalled for seconds during the run; all but the last are finished
        assert not any(v.name.endswith(".part.mp4") for v in new[:-1])
        for video in new:
            data = video.read_bytes()
            nbytes, frames = _whole(data)
            if nbytes:
                expected[video.name.replace(".part", "")] = data[:nbytes], frames
        unfinished = sum(v.name.endswith(".part.mp4") and _whole(v.read_bytes())[0] > 0 for v in new)
    done = run("run", "--source", "demo?frames=30&size=96x80", "--recordings", "rec", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["recording"]
    # earlier recordings were recovered by later runs
    assert report["recovered"] == unfinished
    assert len(expected) >= 4
    videos = _videos(tmp_path)
    assert [v.name for v in videos[: len(expected)]] == list(expected)
    for video in videos[: len(expected)]:
        # only the fragment that was being written is cut off
        data, frames = expected[video.name]
        assert video.read_bytes() == data
        assert _plays(video) == frames > 0
    assert sum(map(_plays, videos[len(expected) :])) == report["frames"]["recorded"]


@pytest.mark.pi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_file(tmp_path: Path, number: signal.Signals) -> None:
    process = _start(tmp_path, "--json")
    until(lambda: _videos(tmp_path) and _videos(tmp_path)[0].stat().st_size > 5000, process, "five kilobytes of a video")
    process.send_signal(number)
    out, err = ended(process, "the run to stop")
    assert process.returncode == 0, err
    report = json.loads(out)
    frames = report["recording"]["frames"]
    assert frames["seen"] == report["frames"]["fused"] == frames["recorded"] + frames["dropped"] + frames["lost"]
    videos = _videos(tmp_path)
    # exactly one, unless this machine stalled for seconds during the run
    assert len(videos) == report["recording"]["segments"]
    assert not any(video.name.endswith(".part.mp4") for video in videos)
    assert sum(map(_plays, videos)) == frames["recorded"] > 0


def test_video_and_raw_recordings_are_distinguished(run: Run, tmp_path: Path) -> None:
    done = run("run", "--source", "demo?frames=10&size=96x80", "--recordings", "rec", "--record-raw", "a.efr", "--report", "r.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["record_raw"]["pairs"] == 10
    assert report["recording"]["frames"]["seen"] == 10
    assert "recording  10 pairs" in done.stdout


def test_two_runs_need_two_folders(run: Run, tmp_path: Path) -> None:
    process = _start(tmp_path)
    until(lambda: _videos(tmp_path), process, "a video")
    done = run("run", "--source", "demo?frames=3&size=96x80", "--recordings", "rec")
    assert (done.returncode, one_line(done.stderr)) == (2, "edgefuse: rec: another run records here; give each its own folder")
    killed(process)


def test_modes_and_settings(run: Run, tmp_path: Path) -> None:
    done = run("run", "--source", "demo?frames=5&size=96x80", "--recordings", "rec", "--recordings-mode", "request", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recording"]["frames"]["not_wanted"] == 5
    assert _videos(tmp_path) == []
    assert run("run", "--source", "demo?size=64x64", "--recordings", "rec", "--recordings-mode", "never").returncode == 2


def test_an_invalid_stream_is_refused(run: Run) -> None:
    done = run("run", "--source", "demo?size=64x64", "--stream", "http://host/x")
    assert done.returncode == 2
    assert "url must begin with rtsp://" in one_line(done.stderr)


def test_a_stream_without_a_server_loses_no_frame_and_shows_no_password(run: Run) -> None:
    done = run("run", "--source", "demo?frames=20&size=96x80", "--stream", "rtsp://me:S3cret@127.0.0.1:9/x", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["frames"]["fused"], report["stream"]["frames"]["sent"]) == (20, 0)
    assert report["stream"]["url"] == "rtsp://***@127.0.0.1:9/x"
    assert "S3cret" not in done.stdout + done.stderr
