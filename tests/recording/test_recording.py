"""The attachment in a run: frames from Live through a real FFmpeg into playable files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.errors import EdgeFuseError, InputError, OutputError, SettingsError
from edgefuse.events import Event
from edgefuse.recording import Recording
from edgefuse.settings.recording import RecordingSettings
from edgefuse.sources.rawfile import RawReader
from edgefuse.telemetry.live import Info, Live
from tests.ffmpeg.pictures import fused, needs_ffmpeg, numbers, times_s
from tests.support.waiting import until

pytestmark = needs_ffmpeg


class Bench:
    """A recording, its Live, and the events that it emitted. Frames are given as by a source that waits."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder, self.live, self.events = folder, Live(dict), []
        self.live.listen(self.events.append)
        self.recording = Recording(
            RecordingSettings(folder=str(folder), keep_free_mb=0, **settings), self.live, Info("test", 8.7, True, {})
        )
        self.times: list[int] = []

    def give(self, count: int) -> None:
        for _ in range(count):
            k = len(self.times)
            self.times.append(5_000_000_000 + round(k * 1e9 / 8.7) + k % 3 * 2_000_000)
            until(
                lambda: (
                    len(self.recording._encoder_thread._frames) < 4 and (not self.recording._raw or self.recording._raw._pairs.qsize() < 4)
                ),
                "room for a frame",
            )
            self.live.write(fused(k, self.times[-1]))

    def files(self, extension: str = ".mp4") -> list[Path]:
        return sorted(self.folder.glob(f"edgefuse-*{extension}"))

    @property
    def states(self) -> list[Any]:
        return [e.facts["state"] for e in self.events if e.kind == "recording"]

    def accounted(self) -> dict[str, int]:
        """Return the closed recording's counts after checking that they add up."""
        self.recording.close()
        frames = dict(self.recording.report()["frames"])
        assert frames.pop("seen") == len(self.times) == sum(frames.values())
        return frames


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Bench:
            made = Bench(tmp_path / "rec", **settings)
            stack.callback(made.recording.close)
            return made

        yield make


def test_every_frame_keeps_its_capture_time(bench: Callable[..., Bench]) -> None:
    b = bench(segment_s=2.5)
    b.give(61)
    assert b.accounted() == {"recorded": 61, "dropped": 0, "lost": 0, "unwritten": 0, "not_wanted": 0}
    videos = [numbers(f) for f in b.files()]
    assert len(videos) == 3
    assert [n for v in videos for n in v] == list(range(61))
    for file, video in zip(b.files(), videos, strict=True):
        assert times_s(file) == pytest.approx([(b.times[k] - b.times[video[0]]) / 1e9 for k in video], abs=2 / 60000)
    report = b.recording.report()
    assert (report["state"], report["segments"], report["trouble"], report["file"]) == ("closed", 3, None, None)
    assert report["kept_bytes"] == sum(f.stat().st_size for f in b.files())
    assert b.states == ["recording"]


def test_an_alarm_is_recorded_with_the_time_before_it(bench: Callable[..., Bench]) -> None:
    b = bench(mode="alarm", before_s=2, after_s=0)
    b.give(40)
    assert (b.recording.report()["state"], b.files()) == ("armed", [])
    b.live.emit(Event("alarm", "stove", {"state": "raised"}))
    assert b.recording.report()["state"] == "recording"
    b.give(20)
    until(b.files, "a file")
    b.live.emit(Event("alarm", "stove", {"state": "cleared"}))
    until(lambda: "off" in b.states, "the state off")
    b.give(10)
    counts = b.accounted()
    (file,) = b.files()
    recorded = numbers(file)
    assert recorded == list(range(recorded[0], recorded[-1] + 1))
    # the alarm came with frame 40; FFmpeg may lag behind, never lead
    assert recorded[0] <= 40 - 2 * 8.7
    assert 40 <= recorded[-1] < 60
    assert counts["recorded"] == len(recorded)
    assert counts["dropped"] == counts["lost"] == counts["unwritten"] == 0


def test_recording_on_request(bench: Callable[..., Bench]) -> None:
    b = bench(mode="request")
    b.give(10)
    assert b.recording.report()["encoder"] == ""
    assert b.live.run_command("record", {"on": True}) == {"on": True, "state": "recording"}
    b.give(12)
    until(lambda: b.recording._encoder_thread.pid and not b.recording._encoder_thread._frames, "the encoder to have all frames")
    assert b.live.run_command("record", {"on": False}) == {"on": False, "state": "off"}
    until(lambda: "off" in b.states, "the state off")
    b.give(5)
    assert b.live.run_command("record", {"on": True})["on"]
    b.give(3)
    counts = b.accounted()
    assert counts == {"recorded": 15, "dropped": 0, "lost": 0, "unwritten": 0, "not_wanted": 15}
    assert [numbers(f) for f in b.files()] == [list(range(10, 22)), list(range(27, 30))]
    for wrong in ({}, {"on": 1}, {"on": "yes"}):
        with pytest.raises(SettingsError, match="expected"):
            b.live.run_command("record", wrong)


def test_a_snapshot_is_the_newest_frame(bench: Callable[..., Bench]) -> None:
    b = bench(mode="request")
    with pytest.raises(EdgeFuseError, match="no frame yet"):
        b.live.run_command("snapshot")
    b.give(3)
    paths = [Path(b.live.run_command("snapshot")["path"]) for _ in range(2)]
    assert paths == b.files(".png")
    newest = b.live.newest
    assert newest is not None
    assert np.array_equal(cv2.imread(str(paths[0])), newest[1].data)
    b.recording.close()
    for command, arguments in (("snapshot", {}), ("record", {"on": True})):
        with pytest.raises(EdgeFuseError, match="the recording is closed"):
            b.live.run_command(command, arguments)


def test_raw_pairs_beside_the_video(bench: Callable[..., Bench]) -> None:
    b = bench(raw=True)
    b.give(20)
    b.accounted()
    (raw,) = b.files(".efr")
    reader = RawReader(raw)
    pairs = list(iter(reader.read, None))
    reader.close()
    assert [p.visible.time_ns for p in pairs] == b.times
    assert all(np.array_equal(p.visible.data, fused(k, 0).data) for k, p in enumerate(pairs))
    assert b.recording.report()["raw"] == {"pairs": 20, "dropped": 0, "bytes": pytest.approx(raw.stat().st_size, abs=1000)}
    assert [n for f in b.files() for n in numbers(f)] == list(range(20))


def test_a_killed_encoder_loses_only_what_it_held(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.give(30)
    until(lambda: b.recording.report()["frames"]["recorded"], "a recorded frame")
    pid = b.recording._encoder_thread.pid
    os.kill(pid or 0, signal.SIGKILL)
    until(lambda: b.give(1) or b.recording._encoder_thread.pid not in (pid, None), "another encoder")
    b.give(20)
    counts = b.accounted()
    assert counts["lost"] > 0
    recorded = [numbers(f) for f in b.files()]
    assert len(recorded) == 2
    assert sum(map(len, recorded)) == counts["recorded"]
    assert recorded[0] == list(range(len(recorded[0])))
    assert recorded[1][-1] == len(b.times) - 1
    assert b.states[:2] == ["recording", "encoder failed"]
    assert b.recording.report()["encoder_restarts"] == 1


def test_old_recordings_are_deleted_to_make_room(bench: Callable[..., Bench]) -> None:
    first = bench(segment_s=2)
    first.give(80)
    first.recording.close()
    sizes = [f.stat().st_size for f in first.files()]
    second = Bench(first.folder, segment_s=2, keep_gb=sum(sizes) / 2e9)
    second.give(80)
    second.recording.close()
    assert sum(f.stat().st_size for f in second.files()) <= sum(sizes) / 2
    assert second.recording.report()["deleted"] >= len(sizes)
    assert numbers(second.files()[-1])[-1] == 79


def test_invalid_setups_are_refused(bench: Callable[..., Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    b = bench()
    with pytest.raises(OutputError, match="another run records here"):
        Bench(b.folder)
    with pytest.raises(OutputError, match="is an input of this run"):
        Recording(RecordingSettings(folder=str(tmp_path)), Live(dict), Info("test", 8.7, False, {}, (tmp_path,)))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="apt install ffmpeg"):
        Bench(tmp_path / "other")


def test_closing_twice_and_before_the_first_frame(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.recording.close()
    b.recording.close()
    assert b.files() == []
    assert b.accounted()["recorded"] == 0


@pytest.mark.parametrize("part", ["recorder.Recorder", "EncoderThread"])
def test_a_recording_without_a_thread_leaves_its_folder_to_the_next(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def start(self: object) -> None:
        raise EdgeFuseError("no thread could be started")

    with monkeypatch.context() as patch:
        patch.setattr(f"edgefuse.recording.{part}.start", start)
        with pytest.raises(EdgeFuseError, match="no thread"):
            bench(raw=True)
    b = bench(raw=True)
    b.give(3)
    assert b.accounted()["recorded"] == 3
