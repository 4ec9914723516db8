"""Frames through a real FFmpeg: each is accounted for in every situation."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgefuse.ffmpeg import encoder_thread, encoders
from edgefuse.ffmpeg.encoder_thread import EncoderThread, captured_ns
from edgefuse.frames import Frame, FramePair, FusedFrame
from tests.ffmpeg.pictures import fused, needs_ffmpeg, numbers
from tests.support.waiting import until

pytestmark = needs_ffmpeg


class ToFiles:
    """A job that writes a Matroska file per FFmpeg process and notes the calls."""

    encoders = ("libx264",)
    keyframe_s, bitrate_kbit, send_s = 1.0, 1000, 20.0

    def __init__(self, folder: Path) -> None:
        self.folder, self.on = folder, True
        self.files: list[Path] = []
        self.began, self.ended = 0, 0
        self.failures: list[str] = []

    def wanted(self) -> bool:
        return self.on

    def outputs(self) -> list[str]:
        self.files.append(self.folder / f"{len(self.files)}.mkv")
        return ["-f", "matroska", str(self.files[-1])]

    def begin(self, encoder: str) -> None:
        self.began += 1

    def output(self, data: bytes) -> None:
        raise AssertionError("unexpected output: FFmpeg writes to a file")

    def end(self) -> int:
        self.ended += 1
        return 0

    def failed(self, why: str) -> None:
        self.failures.append(why)

    def hide(self, words: str) -> str:
        return words


@pytest.fixture
def job(tmp_path: Path) -> ToFiles:
    return ToFiles(tmp_path)


@pytest.fixture
def pump(job: ToFiles) -> Iterator[EncoderThread]:
    pump = EncoderThread("test", job, 10.0)
    pump.start()
    yield pump
    pump.close(30, 60)


def _offer(pump: EncoderThread, frame: FusedFrame) -> None:
    """Offer a frame as a source that waits does."""
    until(lambda: len(pump._frames) < 4, "room for a frame")
    pump.offer(frame)


def test_frames_of_another_size_or_time_begin_a_new_video(job: ToFiles, pump: EncoderThread) -> None:
    for k in range(5):
        _offer(pump, fused(k, k * 100_000_000))
    for k in range(5, 9):
        _offer(pump, fused(k, k * 100_000_000, (128, 64)))
    for k in range(9, 12):
        _offer(pump, fused(k, k * 100_000_000 + 3600 * 10**9, (128, 64)))
    # the source restarted, as a looping replay does
    for k in range(12, 16):
        _offer(pump, fused(k, k * 100_000_000, (128, 64)))
    pump.close(30, 60)
    assert [numbers(f) for f in job.files] == [[*range(5)], [*range(5, 9)], [*range(9, 12)], [*range(12, 16)]]
    assert (pump.offered, pump.dropped, pump.restarts, job.began, job.ended) == (16, 0, 0, 4, 4)
    assert job.failures == []


def test_a_killed_encoder_is_replaced(job: ToFiles, pump: EncoderThread) -> None:
    _offer(pump, fused(0, 0))
    until(lambda: pump.pid, "an encoder")
    first = pump.pid
    os.kill(first or 0, signal.SIGKILL)
    k = 1
    while job.began < 2 or not pump.pid:
        _offer(pump, fused(k, k * 100_000_000))
        k += 1
        assert k < 4000
        threading.Event().wait(0.01)
    assert pump.pid != first
    assert (pump.restarts, len(job.failures)) == (1, 1)
    assert "FFmpeg died of signal 9" in job.failures[0]
    pump.close(30, 60)
    assert pump.offered == k
    # this job does not know what FFmpeg has output
    assert pump.offered == pump.lost + pump.dropped + pump.refused


def test_an_encoder_that_hangs_is_replaced(job: ToFiles, pump: EncoderThread) -> None:
    job.send_s = 0.5
    _offer(pump, fused(0, 0, (960, 640)))
    until(lambda: pump.pid, "an encoder")
    os.kill(pump.pid or 0, signal.SIGSTOP)
    for k in range(1, 5):
        pump.offer(fused(k, k * 100_000_000, (960, 640)))
    until(lambda: job.failures, "the job's failure")
    assert "takes no frames for 0.5 s" in job.failures[0]


def test_a_full_queue_blocks_nobody(job: ToFiles, pump: EncoderThread) -> None:
    for k in range(2000):
        pump.offer(fused(0, k * 10_000_000))
    assert len(pump._frames) <= 8
    pump.close(30, 60)
    assert pump.offered == 2000 == pump.dropped + pump.lost
    assert pump.dropped > 0


def test_unwanted_frames_are_refused_and_ffmpeg_is_ended(job: ToFiles, pump: EncoderThread) -> None:
    for k in range(3):
        _offer(pump, fused(k, k * 100_000_000))
    until(lambda: not pump._frames, "the encoder to have all frames")
    job.on = False
    pump.offer(fused(3, 300_000_000))
    until(lambda: job.ended == 1, "the encoder to be let go")
    assert numbers(job.files[0]) == [0, 1, 2]
    assert (pump.refused, pump.pid) == (1, None)


def test_ffmpeg_is_ended_after_a_while_without_frames(job: ToFiles, pump: EncoderThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_thread, "_IDLE_S", 0.2)
    _offer(pump, fused(7, 0))
    until(lambda: job.ended == 1, "the encoder to be let go")
    assert numbers(job.files[0]) == [7]


def test_jittering_times_stay_in_order(job: ToFiles, pump: EncoderThread) -> None:
    for k, time_ms in enumerate((0, 100, 100, 90, 200)):
        _offer(pump, fused(k, time_ms * 1_000_000))
    pump.close(30, 60)
    assert numbers(job.files[0]) == [0, 1, 2, 3, 4]


def test_a_pairs_time_is_its_newer_frames() -> None:
    def frame(modality: str, time_ns: int) -> Frame:
        return Frame(np.zeros((2, 2), np.uint8), modality, time_ns, "")  # type: ignore[arg-type]

    data = np.zeros((2, 2), np.uint8)
    assert captured_ns(FusedFrame(data, FramePair(frame("visible", 5), frame("infrared", 9), 0))) == 9
    assert captured_ns(FusedFrame(data, FramePair(frame("visible", 5), frame("infrared", 9), 0, "infrared"))) == 5


def _scarce(monkeypatch: pytest.MonkeyPatch, where: str, name: str, error: Exception, times: int) -> list[int]:
    """Let a function fail the first `times` calls. Returns a list with the count of calls."""
    import importlib

    module, calls = importlib.import_module(where), [0]
    original = getattr(module, name)

    def call(*args: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] <= times:
            raise error
        return original(*args, **options)

    monkeypatch.setattr(module, name, call)
    return calls


@pytest.mark.parametrize(
    ("where", "name", "error"),
    [
        ("subprocess", "Popen", OSError(errno.EMFILE, "Too many open files")),
        ("subprocess", "Popen", BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")),
        ("subprocess", "Popen", MemoryError()),
        ("subprocess", "run", OSError(errno.EMFILE, "Too many open files")),
        ("selectors", "DefaultSelector", OSError(errno.EMFILE, "Too many open files")),
        ("edgefuse.ffmpeg.frames", "i420", MemoryError()),
        ("shutil", "which", OSError(errno.EMFILE, "Too many open files")),
    ],
)
def test_encoding_is_back_after_a_moment_without_resources(
    job: ToFiles, pump: EncoderThread, monkeypatch: pytest.MonkeyPatch, where: str, name: str, error: Exception
) -> None:
    encoders.forget_results()
    # other tests' processes, such as multiprocessing's
    before = set(psutil.Process().children(recursive=True))
    calls = _scarce(monkeypatch, where, name, error, 3)
    k = 0
    while calls[0] <= 3 or not pump._sent:
        _offer(pump, fused(k, k * 100_000_000))
        k += 1
        assert k < 4000
        threading.Event().wait(0.01)
    assert calls[0] > 3
    assert pump._worker.alive
    assert len(job.failures) == 1
    pump.close(30, 60)
    assert pump.offered == k == pump.lost + pump.dropped
    if where != "edgefuse.ffmpeg.frames":
        monkeypatch.undo()
        assert set(psutil.Process().children(recursive=True)) <= before


def test_the_wait_for_the_next_attempt_leaves_time_to_be_back_within_five_seconds() -> None:
    # the trial of an encoder and FFmpeg's first fragment take up to two seconds
    assert encoder_thread._LAST_RETRY_S <= 2.0


@pytest.mark.parametrize(("error", "code", "most_s"), [("Popen", errno.EMFILE, 0.5), ("died", 0, 2.0)])
def test_what_could_not_be_started_is_tried_again_soon(
    job: ToFiles, monkeypatch: pytest.MonkeyPatch, error: str, code: int, most_s: float
) -> None:
    """However long the lack lasted; a server that is gone is asked less and less often, because FFmpeg's start costs much."""

    def fails(*_: object, **__: object) -> None:
        if code:
            raise OSError(code, os.strerror(code))
        raise encoder_thread.EdgeFuseError("the server is gone")

    if error == "Popen":
        monkeypatch.setattr("edgefuse.ffmpeg.encoders.subprocess.run", fails)
        encoders.forget_results()
    else:
        monkeypatch.setattr(encoder_thread.encoders, "choose", fails)
    now = [100.0]
    monkeypatch.setattr(encoder_thread.time, "monotonic", lambda: now[0])
    pump = EncoderThread("test", job, 10.0)
    waits = []
    for k in range(6):
        try:
            pump._step((np.zeros((8, 8), np.uint8), k * 10**8))
        except encoder_thread.EdgeFuseError as e:
            pump._failed(str(e), True, isinstance(e, encoders.NotStartedError))
        waits.append(pump._retry_at - now[0])
        now[0] = pump._retry_at
    assert waits[-1] == pytest.approx(most_s)
    assert pump.lost == 6
