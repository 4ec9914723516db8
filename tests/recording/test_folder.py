"""Tests of the recordings folder: deletion, order of names, and recovery after a crash."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import OutputError
from edgefuse.recording.folder import Folder, Limits, RecordingFile, to_delete
from tests.ffmpeg.pictures import needs_ffmpeg, numbers
from tests.recording.conftest import Stream

NONE = Limits(0, 0)
Open = Callable[..., Folder]
NOW = 1_790_000_000.0
DAY = 86400.0

_ages = st.one_of(st.floats(-40 * DAY, 400 * DAY), st.just(NOW))
_recordings = st.lists(st.tuples(st.integers(0, 1000), _ages, st.booleans()), max_size=12).map(
    lambda rows: [RecordingFile(f"{n:08d}.mp4", n, size, NOW - age, is_open) for n, (size, age, is_open) in enumerate(rows)]
)


@given(_recordings, st.integers(0, 3000), st.sampled_from([0.0, 10 * DAY, 100 * DAY]), st.integers(0, 500))
def test_deleted_recordings_are_old_or_make_room(here: list[RecordingFile], nbytes: int, age_s: float, coming: int) -> None:
    gone = to_delete(here[::-1], Limits(nbytes, age_s), NOW, coming)
    left = [r for r in here if r not in gone]
    assert not any(r.open for r in gone)
    assert [r.number for r in gone] == sorted(r.number for r in gone)
    old = [r for r in here if age_s and NOW - r.time_s > age_s and r.time_s > 1735689600 and not r.open]
    assert set(old) <= set(gone)
    closed = [r for r in left if not r.open]
    if nbytes:
        # either the limit holds, or nothing more could be deleted
        assert sum(r.nbytes for r in left) + coming <= nbytes or not closed
    for r in set(gone) - set(old):
        # each deletion was necessary: keeping the file would have exceeded the limit
        assert nbytes
        younger = sum(x.nbytes for x in here if x.number >= r.number and x not in old) + sum(
            x.nbytes for x in here if x.open and x.number < r.number
        )
        assert younger + sum(x.nbytes for x in old if x.number > r.number) + coming > nbytes
    if not nbytes and not age_s:
        assert gone == []


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def make(limits: Limits = NONE, keep_free: int = 0, path: Path = tmp_path) -> Folder:
            folder = Folder(path, limits, keep_free)
            stack.callback(folder.close)
            return folder

        yield make


def _write(folder: Folder, nbytes: int, time_s: float = NOW) -> Path:
    part = folder.new(".mp4", time_s)
    part.write_bytes(bytes(nbytes))
    return folder.finish(part)


def test_names_sort_by_time_even_if_the_clock_jumps(tmp_path: Path, open_folder: Open) -> None:
    names = []
    for time_s in (NOW, NOW + 60, 5.0, 4.0, NOW + 3e8, NOW):
        folder = open_folder()
        names += [_write(folder, 1, time_s).name, _write(folder, 1, time_s).name]
        folder.close()
    assert names == sorted(names)
    assert len(set(names)) == 12 == len(list(tmp_path.glob("*.mp4")))
    assert names[0] == "edgefuse-00000001-20260921T141320Z.mp4"
    assert names[4] == "edgefuse-00000005-19700101T000005Z.mp4"


def test_nothing_is_ever_overwritten(tmp_path: Path, open_folder: Open) -> None:
    folder = open_folder()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW))
    taken = [tmp_path / f"edgefuse-0000000{n}-{stamp}{part}.mp4" for n, part in ((1, ""), (2, ".part"))]
    for path in taken:
        path.write_bytes(b"theirs")
    assert _write(folder, 1).name.startswith("edgefuse-00000003-")
    assert [p.read_bytes() for p in taken] == [b"theirs"] * 2


def test_other_files_are_neither_counted_nor_deleted(tmp_path: Path, open_folder: Open) -> None:
    folder = open_folder(Limits(100, 0))
    ours = [_write(folder, 80) for _ in range(3)]
    others = [
        tmp_path / n
        for n in ("notes.txt", "edgefuse.mp4", "edgefuse-1-x.mp4", ours[0].name + "~", "edgefuse-00000009-20260921T141320Z.avi")
    ]
    for path in others:
        path.write_bytes(bytes(1000))
    aside = tmp_path / "edgefuse-00000000-20200101T000000Z.mp4"
    aside.symlink_to(others[0])
    (tmp_path / "edgefuse-00000000-20210101T000000Z.mp4").mkdir()
    assert folder.tidy() == 80
    assert (folder.deleted, folder.deleted_bytes) == (2, 160)
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == sorted(
        [ours[2].name, aside.name, "edgefuse-00000000-20210101T000000Z.mp4", *(p.name for p in others)]
    )


def test_setting_the_clock_late_does_not_age_recordings(tmp_path: Path, open_folder: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(Limits(0, 7 * DAY))
    path, before = _write(folder, 1), _write(folder, 1)
    now = time.time()
    # written by this run while the clock was a month behind
    os.utime(path, (now - 30 * DAY, now - 30 * DAY))
    folder.tidy()
    assert path.exists()
    folder.close()
    # a later run cannot know that
    open_folder(Limits(0, 7 * DAY)).tidy()
    assert (path.exists(), before.exists()) == (False, True)


def test_recordings_deleted_by_others_are_forgotten(open_folder: Open) -> None:
    folder = open_folder()
    first, second = _write(folder, 1), _write(folder, 1)
    first.unlink()
    assert folder.tidy() == 1
    assert list(folder._ages) == [second.name]


def test_a_folder_takes_one_recorder_only(tmp_path: Path, open_folder: Open) -> None:
    first = open_folder()
    with pytest.raises(OutputError, match="another run records here; give each its own folder"):
        open_folder()
    first.close()
    first.close()
    open_folder().close()


@needs_ffmpeg
def test_recovery_keeps_the_playable_part_of_unfinished_files(tmp_path: Path, open_folder: Open, stream: Stream) -> None:
    first = open_folder()
    good = len(stream.header) + sum(len(f.data) for f in stream.fragments[:5])
    torn, whole_, _, header, raw, png = (first.new(e, NOW) for e in (".mp4", ".mp4", ".mp4", ".mp4", ".efr", ".png"))
    torn.write_bytes(stream.data[: good + 77])
    whole_.write_bytes(stream.data)
    header.write_bytes(stream.header)
    raw.write_bytes(b"some chunks")
    png.write_bytes(b"half a picture")
    os.utime(torn, (NOW - 5, NOW - 5))
    first.close()
    second = open_folder()
    names = sorted(p.name for p in tmp_path.glob("edgefuse-*"))
    assert [n[:17] + n[-4:] for n in names] == [f"edgefuse-{n:08d}{e}" for n, e in ((1, ".mp4"), (2, ".mp4"), (5, ".efr"))]
    assert second.recovered == 3
    assert not any(".part" in n for n in names)
    assert numbers(tmp_path / names[0]) == list(range(sum(f.frames for f in stream.fragments[:5])))
    assert numbers(tmp_path / names[1]) == list(range(60))
    assert (tmp_path / names[0]).stat().st_mtime == NOW - 5
    assert _write(second, 1).name.startswith("edgefuse-00000006-")


def test_room_excludes_the_space_to_keep_free(tmp_path: Path, open_folder: Open) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert open_folder(path=tmp_path / "a").has_room(1000)
    assert not open_folder(keep_free=free + 10**12, path=tmp_path / "b").has_room(0)


def test_a_read_only_folder_is_refused(tmp_path: Path, open_folder: Open) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        open_folder(path=tmp_path / "file")


@pytest.mark.parametrize("number", ["999999999999", "9999999999", "999999999", "900000000", "0000000001", "00000000000000000042"])
def test_a_strangers_high_number_does_not_stop_retention(tmp_path: Path, open_folder: Open, number: str) -> None:
    first = open_folder()
    old = [_write(first, 80) for _ in range(2)]
    first.close()
    stranger = tmp_path / f"edgefuse-{number}-20260101T000000Z.mp4"
    stranger.write_bytes(bytes(80))
    for _ in range(2):
        # each run counts on from the last one's number
        folder = open_folder(Limits(200, 0))
        new = [_write(folder, 80) for _ in range(3)]
        folder.tidy()
        folder.close()
        assert not old[0].exists()
        assert new[-1].exists()
        old = new
    assert new[-1].name.startswith("edgefuse-00000008-")
    left = sorted(p.name for p in tmp_path.glob("edgefuse-0000*"))
    assert len([n for n in left if n != stranger.name]) <= 2


def test_a_recording_that_cannot_be_deleted_does_not_stop_retention(
    tmp_path: Path, open_folder: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = open_folder(Limits(170, 0))
    written = [_write(folder, 80) for _ in range(4)]
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == written[0]:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert folder.tidy() == folder.tidy() == 160
    assert [p.exists() for p in written] == [True, False, False, True]
    assert caplog.text.count("can't be deleted") == 1


def test_an_unfinished_file_that_cannot_be_repaired_is_left(
    tmp_path: Path, open_folder: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_folder()
    parts = [first.new(".efr", NOW) for _ in range(2)]
    for part in parts:
        part.write_bytes(b"some chunks")
    first.close()
    utime = os.utime

    def refuse(path: Path, times: tuple[float, float]) -> None:
        if path == parts[0]:
            raise PermissionError(1, "Operation not permitted")
        utime(path, times)

    monkeypatch.setattr(os, "utime", refuse)
    assert open_folder().recovered == 1
    assert parts[0].exists()
    assert "can't be repaired" in caplog.text


def test_a_file_whose_renaming_failed_is_finished_by_the_next_tidy(open_folder: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder()
    part = folder.new(".mp4", NOW)
    part.write_bytes(b"x")

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as moment:
        moment.setattr(Path, "rename", refuse)
        with pytest.raises(OutputError):
            folder.finish(part)
    folder.tidy()
    assert [p.name for p in folder.path.glob("edgefuse-*")] == [part.name.replace(".part", "")]
