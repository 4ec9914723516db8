"""The video source: pairing by time, and errors for frames missing at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgefuse
from edgefuse.errors import FrameError, SettingsError, SourceError
from edgefuse.frames import FramePair
from edgefuse.sources import open_source
from edgefuse.sources.base import Source

ROOT = Path(edgefuse.__file__).parents[1]
CODECS = {".avi": "MJPG", ".mp4": "mp4v"}


def put(path: Path, frames: int, fps: float, size: tuple[int, int] = (64, 48), noise: bool = False) -> Path:
    """Write a video whose frame k is grey of level 10 k, or noise that does not compress."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODECS[path.suffix]), fps, size)
    assert writer.isOpened()
    rng = np.random.default_rng(frames)
    for k in range(frames):
        shape = (size[1], size[0], 3)
        writer.write(rng.integers(0, 256, shape, dtype=np.uint8) if noise else np.full(shape, 10 * k, np.uint8))
    writer.release()
    return path


def number(image: np.ndarray) -> int:
    """Return the frame number that `put` encoded."""
    return round((image.mean() + 2) / 10)


def read_all(source: Source) -> list[FramePair | FrameError]:
    items: list[FramePair | FrameError] = []
    with source:
        while len(items) < 1000:
            try:
                pair = source.read()
            except FrameError as e:
                items.append(e)
                continue
            if pair is None:
                assert source.read() is None
                return items
            items.append(pair)
    raise AssertionError("the source does not end")


def numbers(items: list[FramePair | FrameError]) -> list[tuple[int, int]]:
    return [(number(i.visible.data), number(i.infrared.data)) for i in items if isinstance(i, FramePair)]


def errors(items: list[FramePair | FrameError]) -> list[FrameError]:
    return [i for i in items if isinstance(i, FrameError)]


@pytest.mark.parametrize("extension", CODECS)
def test_equal_rates_pair_frame_by_frame(tmp_path: Path, extension: str) -> None:
    visible, infrared = put(tmp_path / f"v{extension}", 9, 8.7), put(tmp_path / f"i{extension}", 9, 8.7, (32, 32))
    source = open_source(f"video:{visible},{infrared}")
    assert source.info.pairs == 9
    assert source.info.fps == pytest.approx(8.7, rel=1e-4)
    assert source.info.paths == (visible, infrared)
    items = read_all(source)
    assert numbers(items) == [(k, k) for k in range(9)]
    for k, pair in enumerate(items):
        assert isinstance(pair, FramePair)
        assert (pair.name, pair.index) == (f"v_{k:06d}", k)
        assert pair.visible.time_ns == pair.infrared.time_ns == round(k * 1e9 / source.info.fps)
        assert (pair.visible.size, pair.infrared.size) == ((64, 48), (32, 32))


@pytest.mark.parametrize("extension", CODECS)
def test_slow_infrared_frames_are_reused(tmp_path: Path, extension: str) -> None:
    put(tmp_path / f"v{extension}", 12, 30)
    put(tmp_path / f"i{extension}", 4, 10)
    items = read_all(open_source(f"video:{tmp_path}/v{extension},{tmp_path}/i{extension}"))
    assert numbers(items) == [(k, k // 3) for k in range(12)]


def test_fast_infrared_frames_in_between_are_skipped(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 5, 10)
    put(tmp_path / "i.avi", 15, 30)
    items = read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))
    assert numbers(items) == [(k, 3 * k) for k in range(5)]


def test_uneven_rates_take_the_newest_infrared_frame(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 20, 30)
    put(tmp_path / "i.avi", 6, 8.7)
    items = read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))
    assert numbers(items) == [(k, int(k * 8.7 / 30)) for k in range(20)]


def test_rates_with_a_rounded_quotient_stay_in_step(tmp_path: Path) -> None:
    # 3 x 8.7 / 26.1 is less than 1 in floating point
    put(tmp_path / "v.avi", 12, 26.1)
    put(tmp_path / "i.avi", 4, 8.7)
    assert numbers(read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))) == [(k, k // 3) for k in range(12)]


def test_a_given_rate_overrides_both_files(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 4, 30)
    put(tmp_path / "i.avi", 4, 10)
    source = open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi?fps=12.5")
    assert source.info.fps == 12.5
    items = read_all(source)
    assert numbers(items) == [(k, k) for k in range(4)]
    assert [i.visible.time_ns for i in items if isinstance(i, FramePair)] == [0, 80_000_000, 160_000_000, 240_000_000]


@pytest.mark.parametrize("extension", CODECS)
def test_each_missing_infrared_frame_is_an_error(tmp_path: Path, extension: str) -> None:
    visible, infrared = put(tmp_path / f"v{extension}", 9, 30), put(tmp_path / f"i{extension}", 4, 30)
    source = open_source(f"video:{visible},{infrared}")
    items = read_all(source)
    assert source.info.pairs == len(items) == 9
    assert numbers(items) == [(k, k) for k in range(4)]
    assert [(e.cause, str(e)) for e in errors(items)] == [("ended", f"{infrared} ends after 4 frames, before {visible}")] * 5
    assert [e.name for e in errors(items)] == [f"v_{k:06d}" for k in range(4, 9)]


def test_missing_frames_of_a_slow_infrared_video(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 12, 30)
    put(tmp_path / "i.avi", 2, 10)
    items = read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))
    assert numbers(items) == [(k, k // 3) for k in range(6)]
    assert len(errors(items)) == 6


@pytest.mark.parametrize("extension", CODECS)
def test_a_visible_video_that_ends_early_is_reported(tmp_path: Path, extension: str) -> None:
    visible, infrared = put(tmp_path / f"v{extension}", 4, 30), put(tmp_path / f"i{extension}", 9, 30)
    items = read_all(open_source(f"video:{visible},{infrared}"))
    assert numbers(items) == [(k, k) for k in range(4)]
    assert {(e.cause, str(e)) for e in errors(items)} == {("ended", f"{visible} ends after 4 frames, before {infrared}")}


def test_each_missing_visible_frame_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 4, 30)
    put(tmp_path / "i.avi", 9, 30)
    items = read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))
    assert [e.name for e in errors(items)] == [f"v_{k:06d}" for k in range(4, 9)]


def test_infrared_frames_during_the_last_visible_frame_are_not_missing(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 3, 10)
    put(tmp_path / "i.avi", 9, 30)
    assert errors(read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))) == []


def test_an_infrared_frame_in_use_at_the_visible_videos_end_is_not_missing(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 11, 30)
    put(tmp_path / "i.avi", 4, 10)
    items = read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))
    assert numbers(items) == [(k, k // 3) for k in range(11)]
    assert errors(items) == []


@pytest.fixture
def broken(tmp_path: Path) -> tuple[Path, Path, int]:
    """Return a video of 20 frames, its first part, and the number of frames decodable from that part."""
    whole = put(tmp_path / "whole.avi", 20, 30, noise=True)
    part = tmp_path / "part.avi"
    data = whole.read_bytes()
    part.write_bytes(data[: len(data) * 3 // 5])
    capture, count = cv2.VideoCapture(str(part), cv2.CAP_FFMPEG), 0
    while capture.grab():
        count += 1
    assert 5 < count < 17
    # the last frame that FFmpeg decodes is itself truncated and must not be delivered
    return whole, part, count - 1


def test_truncated_videos_are_reported(broken: tuple[Path, Path, int]) -> None:
    _, part, count = broken
    source = open_source(f"video:{part},{part}")
    items = read_all(source)
    assert source.info.pairs == 20
    assert len(items) > count
    assert {str(e) for e in errors(items)} == {f"{part} breaks off at frame {count} of 20"}
    assert len(items) - len(errors(items)) == count


def test_every_frame_of_a_truncated_video_is_accounted_for(broken: tuple[Path, Path, int]) -> None:
    _, part, _ = broken
    source = open_source(f"video:{part},{part}")
    assert len(read_all(source)) == source.info.pairs


def test_the_rest_of_a_truncated_infrared_video_is_missing(broken: tuple[Path, Path, int]) -> None:
    whole, part, count = broken
    source = open_source(f"video:{whole},{part}")
    items = read_all(source)
    assert len(items) == source.info.pairs == 20
    assert len(errors(items)) == 20 - count


def test_truncated_videos_deliver_no_damaged_frame(broken: tuple[Path, Path, int]) -> None:
    whole, part, _ = broken
    pairs = [i for i in read_all(open_source(f"video:{whole},{part}")) if isinstance(i, FramePair)]
    for pair in pairs:
        np.testing.assert_array_equal(pair.infrared.data, pair.visible.data)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"RIFF\x10\0\0\0AVI LIST"])
@pytest.mark.parametrize("side", ["visible", "infrared"])
def test_files_that_are_not_videos_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], side: str, content: bytes) -> None:
    good, bad = put(tmp_path / "good.avi", 2, 30), tmp_path / "bad.avi"
    bad.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        open_source(f"video:{bad},{good}" if side == "visible" else f"video:{good},{bad}")
    assert str(caught.value).startswith(f"{bad}: not a readable video; check that it plays, or convert it (ffmpeg -i bad.avi ")


def test_an_mp4_truncated_anywhere_loses_nothing_silently(tmp_path: Path) -> None:
    whole, cut = put(tmp_path / "v.mp4", 20, 30), tmp_path / "cut.mp4"
    data = whole.read_bytes()
    refused = 0
    for end in range(len(data) - 40, 0, -120):
        cut.write_bytes(data[:end])
        try:
            items = read_all(open_source(f"video:{whole},{cut}"))
            both = read_all(open_source(f"video:{cut},{cut}"))
        except SourceError:
            refused += 1
            continue
        assert len(items) == 20
        assert len(errors(both)) > 0 or numbers(both) == [(k, k) for k in range(20)]
    assert refused > 5


@pytest.mark.parametrize("frames", [2, 20])
def test_videos_without_a_readable_frame_are_reported(tmp_path: Path, frames: int) -> None:
    video = put(tmp_path / "v.avi", frames, 30, noise=True)
    data = video.read_bytes()
    video.write_bytes(data[: data.index(b"movi") + 4])
    with pytest.raises(SourceError):
        open_source(f"video:{video},{video}").read()


@pytest.mark.parametrize("side", ["visible", "infrared"])
def test_a_missing_video_is_named_with_its_camera(tmp_path: Path, side: str) -> None:
    good = put(tmp_path / "good.avi", 2, 30)
    for bad in (tmp_path / "none.avi", tmp_path):
        with pytest.raises(SourceError) as caught:
            open_source(f"video:{bad},{good}" if side == "visible" else f"video:{good},{bad}")
        assert str(caught.value) == f"{bad}: no such {side} video; give video:VISIBLE,INFRARED"


@pytest.mark.parametrize("uri", ["video", "video:a", "video:a,b,c", "video:v.avi,v.avi?fps=-1", "video:v.avi,v.avi?loop=1"])
def test_wrong_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "v.avi", 1, 30)
    with pytest.raises(SettingsError):
        open_source(uri)


def test_closing_twice_is_allowed(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 2, 30)
    source = open_source(f"video:{tmp_path}/v.avi,{tmp_path}/v.avi")
    source.close()
    source.close()


def test_frames_are_not_overwritten_by_later_ones(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 4, 30)
    put(tmp_path / "i.avi", 2, 15)
    assert numbers(read_all(open_source(f"video:{tmp_path}/v.avi,{tmp_path}/i.avi"))) == [(0, 0), (1, 0), (2, 1), (3, 1)]


def test_a_name_with_a_percent_sign_is_one_file(tmp_path: Path) -> None:
    put(tmp_path / "v.avi", 2, 30)
    shutil.copy(tmp_path / "v.avi", tmp_path / "p%03d.avi")
    items = read_all(open_source(f"video:{tmp_path}/p%2503d.avi,{tmp_path}/v.avi"))
    assert [i.name for i in items] == ["p%03d_000000", "p%03d_000001"]


def test_a_relative_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "2024-05-01T12:30.avi", 2, 30)
    items = read_all(open_source("video:2024-05-01T12:30.avi,2024-05-01T12:30.avi"))
    assert numbers(items) == [(0, 0), (1, 1)]


def test_a_name_that_is_too_long_is_a_source_error() -> None:
    with pytest.raises(SourceError):
        open_source(f"video:{'n' * 300},b")


def test_a_name_that_is_not_utf_8_does_not_kill_the_process(tmp_path: Path) -> None:
    video = put(tmp_path / "v.avi", 2, 30)
    shutil.copy(video, os.fsencode(tmp_path) + b"/\xff.avi")
    code = f"""
import sys
from edgefuse.errors import SourceError
from edgefuse.sources import open_source
try:
    print(open_source("video:{tmp_path}/\\udcff.avi,{video}").read() is not None)
except SourceError as e:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout in ("True\n", "refused\n")
