"""The video sink writes a playable file at the given rate, or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.errors import OutputError, SettingsError
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.sinks import open_sink
from edgefuse.util import files

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = [".mp4", ".mkv", ".mov", ".avi"]


def fused(image: NDArray[Any]) -> FusedFrame:
    frame = Frame(image, "visible", 0, "f")
    return FusedFrame(image, FramePair(frame, frame, 0))


def flat(level: int, size: tuple[int, int] = (64, 48)) -> FusedFrame:
    return fused(np.full((size[1], size[0]), level, np.uint8))


def play(path: Path) -> tuple[float, list[NDArray[Any]]]:
    """Return (frames per second, the frames)."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert capture.isOpened()
    fps, frames = capture.get(cv2.CAP_PROP_FPS), []
    while True:
        ok, image = capture.read()
        if not ok:
            return fps, frames
        frames.append(image)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("fps", [8.7, 25.0, 30000 / 1001, 0.5, 200 / 3, 700.123])
def test_a_video_plays_frame_by_frame_at_its_own_rate(tmp_path: Path, extension: str, fps: float) -> None:
    path = tmp_path / f"out{extension}"
    with open_sink(f"video:{path}", fps) as sink:
        for k in range(5):
            sink.write(flat(20 + 40 * k))
    rate, frames = play(path)
    assert rate == pytest.approx(fps, rel=1e-4)
    assert [round((f.mean() - 20) / 40) for f in frames] == list(range(5))
    assert {f.shape for f in frames} == {(48, 64, 3)}
    assert sink.bytes_written == path.stat().st_size > 0
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("rate", [5.0, 6.3, 10.0, 19.0])
def test_a_video_lasts_as_long_as_its_frames_did(tmp_path: Path, rate: float) -> None:
    # live cameras: jitter, and a rate that is not the nominal one
    rng = np.random.default_rng(0)
    times = np.arange(60) / rate + rng.uniform(-0.2, 0.2, 60) / rate
    times[40:] += 3
    sink = open_sink(f"video:{tmp_path}/v.avi", 10.0)
    for k, time_s in enumerate(times):
        one = flat(4 * k)
        time_ns = 10**12 + round(time_s * 1e9)
        pair = replace(one.pair, visible=replace(one.pair.visible, time_ns=time_ns), infrared=replace(one.pair.infrared, time_ns=time_ns))
        sink.write(replace(one, pair=pair))
    sink.close()
    fps, pictures = play(tmp_path / "v.avi")
    assert abs(len(pictures) / fps - (times[-1] - times[0] + 1 / rate)) < 0.25
    # each picture is at its time
    for k, time_s in enumerate(times):
        shown = [abs(picture.mean() - 4 * k) for picture in pictures]
        if min(shown) < 1.5:
            first = next(n for n, off in enumerate(shown) if off < 1.5)
            assert abs(first / fps - (time_s - times[0])) < 0.21


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_file_appears_on_close_and_the_old_one_stays_until_then(tmp_path: Path, extension: str) -> None:
    new, old = tmp_path / f"new{extension}", tmp_path / f"old{extension}"
    old.write_bytes(b"old")
    for path in (new, old):
        sink = open_sink(f"video:{path}", 25)
        for k in range(3):
            sink.write(flat(k))
        assert path.exists() == (path == old)
        assert old.read_bytes() == b"old"
        sink.close()
        assert len(play(path)[1]) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([new.name, old.name])


def test_closing_twice_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = open_sink(f"video:{path}", 25)
    sink.write(flat(9))
    sink.close()
    first, written = path.read_bytes(), sink.bytes_written
    sink.close()
    assert (path.read_bytes(), sink.bytes_written) == (first, written)


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    with open_sink(f"video:{tmp_path}/out.mp4", 25) as sink:
        pass
    assert list(tmp_path.iterdir()) == []
    assert sink.bytes_written == 0


def test_written_frames_are_kept_when_the_run_fails(tmp_path: Path) -> None:
    sink = open_sink(f"video:{tmp_path}/out.avi", 25)

    def run() -> None:
        with sink:
            sink.write(flat(100))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert len(play(tmp_path / "out.avi")[1]) == 1


def test_the_colour_order_is_kept(tmp_path: Path) -> None:
    image = np.full((48, 64, 3), (30, 90, 200), np.uint8)
    with open_sink(f"video:{tmp_path}/out.avi", 25) as sink:
        sink.write(fused(image))
    np.testing.assert_allclose(play(tmp_path / "out.avi")[1][0].mean((0, 1)), (30, 90, 200), atol=6)


def test_grey_stays_grey(tmp_path: Path) -> None:
    with open_sink(f"video:{tmp_path}/out.mp4", 25) as sink:
        sink.write(fused(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))))
    (frame,) = play(tmp_path / "out.mp4")[1]
    assert np.ptp(frame.astype(int), axis=2).max() <= 6
    np.testing.assert_allclose(frame.mean(2)[24], np.arange(0, 256, 4), atol=8)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(("size", "even"), [((45, 33), (46, 34)), ((64, 33), (64, 34)), ((45, 48), (46, 48)), ((1, 1), (2, 2))])
def test_an_odd_size_is_made_even_by_repeating_the_edge(
    tmp_path: Path, extension: str, size: tuple[int, int], even: tuple[int, int]
) -> None:
    with open_sink(f"video:{tmp_path}/out{extension}", 25) as sink:
        sink.write(flat(200, size))
    (frame,) = play(tmp_path / f"out{extension}")[1]
    assert frame.shape == (even[1], even[0], 3)
    np.testing.assert_allclose(frame, 200, atol=6)


def test_another_size_is_fitted_in_with_black_borders(tmp_path: Path) -> None:
    with open_sink(f"video:{tmp_path}/out.avi", 25) as sink:
        for size in ((64, 48), (128, 48), (32, 48), (640, 480), (63, 47)):
            sink.write(flat(200, size))
    first, wide, tall, big, odd = (f.mean(2) for f in play(tmp_path / "out.avi")[1])
    assert {f.shape for f in (first, wide, tall, big, odd)} == {(48, 64)}
    for whole in (first, big, odd):
        np.testing.assert_allclose(whole, 200, atol=6)
    # 128 x 48 becomes 64 x 24 in the centre, 32 x 48 stays as it is in the centre
    np.testing.assert_allclose(wide[14:34], 200, atol=12)
    np.testing.assert_allclose(np.vstack([wide[:8], wide[40:]]), 0, atol=12)
    np.testing.assert_allclose(tall[:, 18:46], 200, atol=12)
    np.testing.assert_allclose(np.hstack([tall[:, :14], tall[:, 50:]]), 0, atol=12)


def test_colour_may_follow_grey(tmp_path: Path) -> None:
    with open_sink(f"video:{tmp_path}/out.avi", 25) as sink:
        sink.write(flat(50))
        sink.write(fused(np.full((48, 64, 3), (0, 0, 250), np.uint8)))
    grey, red = play(tmp_path / "out.avi")[1]
    np.testing.assert_allclose(grey, 50, atol=5)
    assert red[..., 2].mean() > 200 > 60 > red[..., 0].mean()


def test_the_case_of_the_extension_does_not_matter(tmp_path: Path) -> None:
    with open_sink(f"video:{tmp_path}/OUT.MP4", 25) as sink:
        sink.write(flat(50))
    assert [p.name for p in tmp_path.iterdir()] == ["OUT.MP4"]
    assert len(play(tmp_path / "OUT.MP4")[1]) == 1


@pytest.mark.parametrize("name", ["out", "out.gif", "out.mp4.txt", ".mp4"])
def test_an_unknown_extension_lists_the_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name}: a video needs one of the extensions \.mp4, \.mkv, \.mov, \.avi$"):
        open_sink(f"video:{tmp_path}/{name}", 25)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(OutputError, match="a folder is there, not a file"):
        open_sink(f"video:{tmp_path}/out.mp4", 25)


@pytest.mark.parametrize("uri", ["video", "video:a.mp4,b.mp4", "video:a.mp4?fps=3"])
def test_wrong_uris(uri: str) -> None:
    with pytest.raises(SettingsError):
        open_sink(uri, 25)


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with open_sink(f"video:{tmp_path}/new/er/out.avi", 25) as sink:
        sink.write(flat(50))
    assert len(play(tmp_path / "new" / "er" / "out.avi")[1]) == 1


def test_a_nearly_full_disk_ends_the_video_while_it_can_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([10**9, 10**9, 1000])
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, next(free)))
    sink = open_sink(f"video:{tmp_path}/out.avi", 25)
    sink.write(flat(1))
    sink.write(flat(2))
    with pytest.raises(OutputError, match=rf"^cannot write {tmp_path}.*: the disk is full"):
        sink.write(flat(3))
    sink.close()
    assert len(play(tmp_path / "out.avi")[1]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["out.avi"]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_really_full_disk_leaves_a_playable_video(tmp_path: Path, extension: str) -> None:
    private = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', str(tmp_path))
    if (
        os.getuid() != 0
        or not shutil.which("unshare")
        or subprocess.run([*private, "true"], capture_output=True, timeout=120).returncode != 0
    ):
        pytest.skip("a small file system can only be mounted by root, where namespaces are allowed")
    code = f"""
    import sys
    from pathlib import Path
    import numpy as np
    from edgefuse.errors import OutputError
    from edgefuse.sinks import open_sink
    from tests.sinks.test_video import fused, play
    folder = Path(sys.argv[1])
    rng = np.random.default_rng(0)
    sink = open_sink(f"video:{{folder}}/out{extension}", 25)
    written = 0
    try:
        for _ in range(500):
            sink.write(fused(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)))
            written += 1
    except OutputError as e:
        print("the disk is full" in str(e))
    sink.close()
    print(written > 5, len(play(folder / "out{extension}")[1]) == written, [p.name for p in folder.iterdir()])
    """
    command = [*private, sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["True", f"True True ['out{extension}']"], done.stderr


def test_a_removed_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    sink = open_sink(f"video:{tmp_path}/gone/out.avi", 25)
    sink.write(flat(1))
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(OutputError, match="No such file or directory"):
        sink.write(flat(2))


def test_a_removed_video_is_an_output_error_on_close(tmp_path: Path) -> None:
    sink = open_sink(f"video:{tmp_path}/out.avi", 25)
    sink.write(flat(1))
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(OutputError, match="No such file or directory"):
        sink.close()
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_relative_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_sink("video:2024-05-01T12:30.avi", 25) as sink:
        sink.write(flat(1))
    assert [p.name for p in tmp_path.iterdir()] == ["2024-05-01T12:30.avi"]


def test_a_name_with_a_percent_sign_is_one_file(tmp_path: Path) -> None:
    with open_sink(f"video:{tmp_path}/f%2503d.mp4", 25) as sink:
        sink.write(flat(1))
        sink.write(flat(2))
    assert [p.name for p in tmp_path.iterdir()] == ["f%03d.mp4"]


def test_a_name_that_is_not_utf_8_does_not_kill_the_process(tmp_path: Path) -> None:
    code = f"""
    import numpy as np
    from edgefuse.errors import OutputError
    from edgefuse.sinks import open_sink
    from tests.sinks.test_video import flat
    try:
        with open_sink("video:{tmp_path}/\\udcff.avi", 25) as sink:
            sink.write(flat(1))
        print("written")
    except OutputError:
        print("refused")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout in ("written\n", "refused\n")


def test_a_too_long_name_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the name is too long"):
        open_sink(f"video:{tmp_path}/{'n' * 300}.mp4", 25)
