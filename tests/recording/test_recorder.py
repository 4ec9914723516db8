"""Tests of writing fragments: split at key frames, buffered for alarms, synced one by one, and stopped only by a full disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edgefuse.recording import recorder as recorder_module
from edgefuse.recording.folder import Folder, Limits
from edgefuse.recording.fragments import playable_part
from edgefuse.recording.recorder import Recorder
from edgefuse.recording.trigger import Trigger
from tests.ffmpeg.pictures import needs_ffmpeg, numbers
from tests.recording.conftest import Stream
from tests.support.waiting import until

pytestmark = needs_ffmpeg


class Bench:
    """A recorder on a folder, and the events that it emitted."""

    def __init__(
        self, path: Path, mode: Any = "always", before_s: float = 0, segment_s: float = 60, buffer: int = 10**7, largest: int = 0
    ) -> None:
        self.now_s, self.given = 0.0, 0
        self.folder, self.trigger = Folder(path, Limits(0, 0), 0), Trigger(mode, 0, lambda: self.now_s)
        self.events: list[Mapping[str, Any]] = []
        self.recorder = Recorder(self.folder, self.trigger, before_s, segment_s, buffer, largest, self.events.append)
        self.recorder.start()

    def feed(self, stream: Stream, begin: int = 0, end: int | None = None, header: bytes | None = None) -> None:
        header = stream.header if header is None else header
        for fragment in stream.fragments[begin:end]:
            self.recorder.add(fragment, header)
            self.given += fragment.frames
        until(lambda: self.given == self.settled, "all frames to be settled")

    @property
    def settled(self) -> int:
        """Number of frames that are written, dropped or buffered."""
        r = self.recorder
        return r.recorded + r.passed + r.unwritten + sum(h.fragment.frames for h in list(r._buffered))

    def close(self) -> None:
        self.recorder.close(30)
        self.folder.close()

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.path.glob("edgefuse-*.mp4"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def make(path: Path = tmp_path, **options: Any) -> Bench:
            made = Bench(path, **options)
            stack.callback(made.close)
            return made

        yield make


@pytest.mark.parametrize("segment_s", [2, 3.5, 60])
def test_segments_begin_with_key_frames_and_lose_nothing(bench: Callable[..., Bench], stream: Stream, segment_s: float) -> None:
    b = bench(segment_s=segment_s)
    header = stream.header
    b.feed(stream, header=header)
    b.close()
    videos = [numbers(f) for f in b.files]
    assert [n for v in videos for n in v] == list(range(60))
    assert len(videos) == {2: 3, 3.5: 2, 60: 1}[segment_s]
    assert (b.recorder.recorded, b.recorder.segments, b.recorder.unwritten) == (60, len(videos), 0)


def test_segments_are_cut_by_size_too(bench: Callable[..., Bench], stream: Stream) -> None:
    b = bench(largest=len(stream.data) // 4)
    b.feed(stream, header=stream.header)
    b.close()
    assert len(b.files) >= 3
    assert [n for f in b.files for n in numbers(f)] == list(range(60))


def test_the_time_before_an_alarm_is_recorded(bench: Callable[..., Bench], stream: Stream) -> None:
    b = bench(mode="alarm", before_s=3)
    fragments, header = stream.fragments, stream.header
    b.feed(stream, 0, 9, header)
    assert b.files == []
    seen = sum(f.frames for f in fragments[:9])
    b.trigger.alarm("stove", "raised")
    b.feed(stream, 9, 11, header)
    b.trigger.alarm("stove", "cleared")
    b.now_s += 1
    b.feed(stream, 11, None, header)
    until(lambda: len(b.events) == 2, "two files to be told")
    b.close()
    (file,) = b.files
    recorded = numbers(file)
    first = recorded[0]
    # at least 3 s before the alarm, at most one key frame interval more
    assert 3 <= (stream.times_ns[seen] - stream.times_ns[first]) / 1e9 <= 3 + 1 + 2 / 8.7 + 1 / 8.7
    assert recorded == list(range(first, sum(f.frames for f in fragments[:11])))
    assert [(t["state"], t["file"][-9:]) for t in b.events] == [("recording", ".part.mp4"), ("off", file.name[-9:])]
    r = b.recorder
    assert (r.recorded, r.passed, r.unwritten, r.held_bytes) == (len(recorded), 60 - len(recorded), 0, 0)


def test_the_buffer_is_limited_in_bytes(bench: Callable[..., Bench], stream: Stream) -> None:
    sizes = [len(f.data) for f in stream.fragments]
    b = bench(mode="alarm", before_s=1000, buffer=len(stream.data) // 3)
    header, largest = stream.header, 0
    for n in range(len(sizes)):
        b.feed(stream, n, n + 1, header)
        largest = max(largest, b.recorder.held_bytes)
    b.close()
    assert 0 < largest <= len(stream.data) // 3 + max(sizes)
    assert b.recorder.passed == 60


def test_two_streams_never_share_a_file(bench: Callable[..., Bench], stream: Stream) -> None:
    b = bench()
    b.feed(stream, header=stream.header)
    b.recorder.end()
    b.feed(stream, header=stream.header)
    b.feed(stream, header=stream.header)
    b.close()
    assert [numbers(f) for f in b.files] == [list(range(60))] * 3


def test_each_fragment_is_synced_before_the_next_is_accepted(
    bench: Callable[..., Bench], stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut keeps what was synced: truncated at each of those moments, the file has all frames but the newest fragment's."""
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        name = str(Path(f"/proc/self/fd/{fd}").readlink())
        synced.append((name, os.fstat(fd).st_size if name.endswith(".mp4") else -1))

    b = bench()
    monkeypatch.setattr(os, "fsync", note)
    b.feed(stream, header=stream.header)
    b.close()
    data = b.files[0].read_bytes()
    # the folder was synced before the first fragment counted as written, and after the final rename
    assert [s[0] for s in synced if s[1] < 0] == [str(tmp_path)] * 2
    assert synced[0][0] == str(tmp_path)
    offsets = [size for name, size in synced if size >= 0]
    frames = [f.frames for f in stream.fragments]
    assert len(offsets) == len(frames)
    cut = tmp_path / "cut.mp4"
    for n, offset in enumerate(offsets):
        cut.write_bytes(data[:offset])
        assert playable_part(cut).frames == sum(frames[: n + 1])
    # and with half of the last pages
    for n in (1, 5, len(offsets) - 1):
        cut.write_bytes(data[: (offsets[n - 1] + offsets[n]) // 2])
        cut.write_bytes(data[: playable_part(cut).nbytes])
        assert numbers(cut) == list(range(sum(frames[:n])))


def test_a_full_disk_stops_recording_and_free_space_resumes_it(
    bench: Callable[..., Bench], stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_RETRY_S", 0.2)
    b = bench()
    header, room = stream.header, [True]
    monkeypatch.setattr(b.folder, "has_room", lambda nbytes: room[0])
    b.feed(stream, 0, 5, header)
    until(lambda: b.recorder.recorded, "a recorded frame")
    room[0] = False
    b.feed(stream, 5, 9, header)
    until(lambda: b.recorder.trouble, "the trouble with the room")
    assert "keep_free_mb" in (b.recorder.trouble or "")
    # the file written so far is complete
    until(lambda: not b.files[0].name.endswith(".part.mp4"), "the file to be finished")
    begun = numbers(b.files[0])
    assert begun == list(range(len(begun)))
    room[0] = True
    k = 0
    while b.recorder.trouble:
        b.feed(stream, 9 + k, 10 + k, header)
        b.recorder._worker.join(0.3)
        k += 1
        assert k < 4
    b.feed(stream, 9 + k, None, header)
    b.close()
    assert [t["state"] for t in b.events] == ["recording", "stopped", "resumed"]
    assert [n for f in b.files for n in numbers(f)][-1] == 59
    r = b.recorder
    assert r.recorded + r.unwritten == 60
    assert r.unwritten > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True, timeout=120).returncode
    ):
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True, timeout=120)


def test_a_really_full_disk_leaves_complete_files(
    bench: Callable[..., Bench], stream: Stream, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_RETRY_S", 0.1)
    b = bench(small_disk)
    # another program takes the space just before the write
    monkeypatch.setattr(b.folder, "has_room", lambda nbytes: True)
    filler = small_disk / "theirs"
    filler.write_bytes(bytes(256 * 1024 - len(stream.data) // 2 // 4096 * 4096))
    b.feed(stream, header=stream.header)
    until(lambda: b.recorder.trouble, "the trouble with the full disk")
    assert "the disk is full" in (b.recorder.trouble or "")
    recorded = b.recorder.recorded
    assert recorded
    until(lambda: b.files and ".part" not in b.files[0].name, "the file to be finished")
    assert numbers(b.files[0]) == list(range(recorded))
    filler.unlink()
    b.recorder._worker.join(0.3)
    b.feed(stream, header=stream.header)
    until(lambda: not b.recorder.trouble, "the end of the trouble")
    b.close()
    assert filler.exists() is False
    assert b.recorder.recorded + b.recorder.unwritten == 120
    assert sum(len(numbers(f)) for f in b.files) == b.recorder.recorded
