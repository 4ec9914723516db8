"""Fragments into files: cut at key frames, held for alarms, on the disk before the next one, and stopped by a full disk alone."""

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
from edgefuse.recording.fragments import whole
from edgefuse.recording.recorder import Recorder
from edgefuse.recording.trigger import Trigger
from tests.ffmpeg.pictures import needs_ffmpeg, numbers
from tests.recording.conftest import Stream
from tests.support.waiting import until

pytestmark = needs_ffmpeg


class Bench:
    """A recorder on a folder, with what it told."""

    def __init__(
        self, path: Path, mode: Any = "always", before_s: float = 0, segment_s: float = 60, buffer: int = 10**7, largest: int = 0
    ) -> None:
        self.now_s, self.given = 0.0, 0
        self.folder, self.trigger = Folder(path, Limits(0, 0), 0), Trigger(mode, 0, lambda: self.now_s)
        self.told: list[Mapping[str, Any]] = []
        self.recorder = Recorder(self.folder, self.trigger, before_s, segment_s, buffer, largest, self.told.append)
        self.recorder.start()

    def feed(self, stream: Stream, begin: int = 0, end: int | None = None, head: bytes | None = None) -> None:
        head = stream.head if head is None else head
        for fragment in stream.fragments[begin:end]:
            self.recorder.take(fragment, head)
            self.given += fragment.frames
        until(lambda: self.given == self.settled, "all frames to be settled")

    @property
    def settled(self) -> int:
        """Frames that are written, given up, or held."""
        r = self.recorder
        return r.recorded + r.passed + r.unwritten + sum(h.fragment.frames for h in list(r._held))

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
    head = stream.head
    b.feed(stream, head=head)
    b.close()
    videos = [numbers(f) for f in b.files]
    assert [n for v in videos for n in v] == list(range(60))
    assert len(videos) == {2: 3, 3.5: 2, 60: 1}[segment_s]
    assert (b.recorder.recorded, b.recorder.segments, b.recorder.unwritten) == (60, len(videos), 0)


def test_segments_are_cut_by_size_too(bench: Callable[..., Bench], stream: Stream) -> None:
    b = bench(largest=len(stream.data) // 4)
    b.feed(stream, head=stream.head)
    b.close()
    assert len(b.files) >= 3
    assert [n for f in b.files for n in numbers(f)] == list(range(60))


def test_an_alarm_finds_the_time_before_it(bench: Callable[..., Bench], stream: Stream) -> None:
    b = bench(mode="alarm", before_s=3)
    fragments, head = stream.fragments, stream.head
    b.feed(stream, 0, 9, head)
    assert b.files == []
    seen = sum(f.frames for f in fragments[:9])
    b.trigger.alarm("stove", "raised")
    b.feed(stream, 9, 11, head)
    b.trigger.alarm("stove", "cleared")
    b.now_s += 1
    b.feed(stream, 11, None, head)
    until(lambda: len(b.told) == 2, "two files to be told")
    b.close()
    (file,) = b.files
    found = numbers(file)
    first = found[0]
    # at least 3 s before it, at most a key frame's distance more
    assert 3 <= (stream.times_ns[seen] - stream.times_ns[first]) / 1e9 <= 3 + 1 + 2 / 8.7 + 1 / 8.7
    assert found == list(range(first, sum(f.frames for f in fragments[:11])))
    assert [(t["state"], t["file"][-9:]) for t in b.told] == [("recording", ".part.mp4"), ("off", file.name[-9:])]
    r = b.recorder
    assert (r.recorded, r.passed, r.unwritten, r.held_bytes) == (len(found), 60 - len(found), 0, 0)


def test_what_is_held_is_bounded_in_bytes(bench: Callable[..., Bench], stream: Stream) -> None:
    sizes = [len(f.data) for f in stream.fragments]
    b = bench(mode="alarm", before_s=1000, buffer=len(stream.data) // 3)
    head, largest = stream.head, 0
    for n in range(len(sizes)):
        b.feed(stream, n, n + 1, head)
        largest = max(largest, b.recorder.held_bytes)
    b.close()
    assert 0 < largest <= len(stream.data) // 3 + max(sizes)
    assert b.recorder.passed == 60


def test_two_streams_never_share_a_file(bench: Callable[..., Bench], stream: Stream) -> None:
    b = bench()
    b.feed(stream, head=stream.head)
    b.recorder.end()
    b.feed(stream, head=stream.head)
    b.feed(stream, head=stream.head)
    b.close()
    assert [numbers(f) for f in b.files] == [list(range(60))] * 3


def test_each_fragment_is_on_the_disk_before_the_next_is_taken(
    bench: Callable[..., Bench], stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves what was synced. Cut there, at each of those moments: all but the newest fragment's frames are found."""
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        name = str(Path(f"/proc/self/fd/{fd}").readlink())
        synced.append((name, os.fstat(fd).st_size if name.endswith(".mp4") else -1))

    b = bench()
    monkeypatch.setattr(os, "fsync", note)
    b.feed(stream, head=stream.head)
    b.close()
    data = b.files[0].read_bytes()
    # the file's name reached the disk before its first fragment was believed to be there, and its last name after all
    assert [s[0] for s in synced if s[1] < 0] == [str(tmp_path)] * 2
    assert synced[0][0] == str(tmp_path)
    offsets = [size for name, size in synced if size >= 0]
    frames = [f.frames for f in stream.fragments]
    assert len(offsets) == len(frames)
    cut = tmp_path / "cut.mp4"
    for n, offset in enumerate(offsets):
        cut.write_bytes(data[:offset])
        assert whole(cut).frames == sum(frames[: n + 1])
    # and half of the last pages
    for n in (1, 5, len(offsets) - 1):
        cut.write_bytes(data[: (offsets[n - 1] + offsets[n]) // 2])
        cut.write_bytes(data[: whole(cut).nbytes])
        assert numbers(cut) == list(range(sum(frames[:n])))


def test_a_full_disk_stops_it_and_room_resumes_it(bench: Callable[..., Bench], stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_RETRY_S", 0.2)
    b = bench()
    head, room = stream.head, [True]
    monkeypatch.setattr(b.folder, "has_room", lambda nbytes: room[0])
    b.feed(stream, 0, 5, head)
    until(lambda: b.recorder.recorded, "a recorded frame")
    room[0] = False
    b.feed(stream, 5, 9, head)
    until(lambda: b.recorder.trouble, "the trouble with the room")
    assert "keep_free_mb" in (b.recorder.trouble or "")
    # what was there is a whole file already
    until(lambda: not b.files[0].name.endswith(".part.mp4"), "the file to be finished")
    begun = numbers(b.files[0])
    assert begun == list(range(len(begun)))
    room[0] = True
    k = 0
    while b.recorder.trouble:
        b.feed(stream, 9 + k, 10 + k, head)
        b.recorder._thread.join(0.3)
        k += 1
        assert k < 4
    b.feed(stream, 9 + k, None, head)
    b.close()
    assert [t["state"] for t in b.told] == ["recording", "stopped", "resumed"]
    assert [n for f in b.files for n in numbers(f)][-1] == 59
    r = b.recorder
    assert r.recorded + r.unwritten == 60
    assert r.unwritten > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_really_full_tears_no_file(
    bench: Callable[..., Bench], stream: Stream, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_RETRY_S", 0.1)
    b = bench(small_disk)
    # somebody else takes the space that was there a moment ago
    monkeypatch.setattr(b.folder, "has_room", lambda nbytes: True)
    filler = small_disk / "theirs"
    filler.write_bytes(bytes(256 * 1024 - len(stream.data) // 2 // 4096 * 4096))
    b.feed(stream, head=stream.head)
    until(lambda: b.recorder.trouble, "the trouble with the full disk")
    assert "the disk is full" in (b.recorder.trouble or "")
    recorded = b.recorder.recorded
    assert recorded
    until(lambda: b.files and ".part" not in b.files[0].name, "the file to be finished")
    assert numbers(b.files[0]) == list(range(recorded))
    filler.unlink()
    b.recorder._thread.join(0.3)
    b.feed(stream, head=stream.head)
    until(lambda: not b.recorder.trouble, "the end of the trouble")
    b.close()
    assert filler.exists() is False
    assert b.recorder.recorded + b.recorder.unwritten == 120
    assert sum(len(numbers(f)) for f in b.files) == b.recorder.recorded
