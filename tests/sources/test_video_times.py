"""Videos as they really are: variable rates, gaps, starts, guessed rates, damage in the middle, 16 bits. The bar's place tells the time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.errors import FrameError, SettingsError, SourceError
from edgefuse.frames import FramePair
from edgefuse.run import build
from edgefuse.settings import RunSettings
from edgefuse.sources import open_source
from tests.sources.test_video import errors, put, read_all

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg: apt-get install ffmpeg")
SIZE = (160, 48)


def bar(time_s: float) -> NDArray[np.uint8]:
    picture = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    at = round(8 + time_s * 32)
    picture[:, at : at + 6] = 250
    return picture


def seconds(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> float:
    row = picture[24] if picture.ndim == 2 else picture[24, :, 1]
    return float((np.flatnonzero(row > 160).min() - 8) / 32)


def film(path: Path, count: int = 120, fps: float = 30, *how: str, codec: str = "libx264") -> Path:
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{SIZE[0]}x{SIZE[1]}", "-r", f"{fps:g}",
               "-i", "-", *how, "-c:v", codec, "-qp" if codec == "libx264" else "-q:v", "10" if codec == "libx264" else "3", "-bf", "0",
               "-pix_fmt", "yuv420p", "-threads", "1", str(path)]  # fmt: skip
    subprocess.run(command, input=b"".join(bar(k / fps).tobytes() for k in range(count)), check=True)
    return path


def apart(items: Iterable[FramePair | FrameError]) -> list[float]:
    return [abs(seconds(i.visible.data) - seconds(i.infrared.data)) for i in items if isinstance(i, FramePair)]


VARIABLE = ("-vf", "select='not(between(n,30,59))*(lt(n,60)+not(mod(n,3)))'", "-fps_mode", "vfr")


@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".ts"])
def test_a_variable_rate_pairs_by_time_and_a_gap_is_told(tmp_path: Path, kind: str) -> None:
    visible, infrared = film(tmp_path / "v.mp4"), film(tmp_path / f"i{kind}", 120, 30, *VARIABLE)
    items = read_all(open_source(f"video:{visible},{infrared}"))
    assert len(items) == 120
    # an infrared interval is 33 ms in the first second and 100 ms from the second one
    assert max(apart(items)) <= 0.1 + 1 / 32
    lost = errors(items)
    assert 27 <= len(lost) <= 30
    assert {(e.cause, str(e)) for e in lost} == {("gap", f"{infrared} has no frame from 0.97 to 2.00 s")}


def test_a_gap_in_the_visible_video_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    visible, infrared = film(tmp_path / "v.mkv", 120, 30, *VARIABLE), film(tmp_path / "i.mp4")
    items = read_all(open_source(f"video:{visible},{infrared}"))
    assert max(apart(items)) <= 0.034 + 1 / 32
    assert f"{visible} has no frame from 0.97 to 2.00 s" in caplog.text
    pairs = [i for i in items if isinstance(i, FramePair)]
    assert max(abs(p.visible.time_ns / 1e9 - seconds(p.visible.data)) for p in pairs) < 0.02


@pytest.mark.parametrize("kind", [".mp4", ".mkv"])
def test_a_file_that_begins_later_by_its_time_stamps(tmp_path: Path, kind: str) -> None:
    visible, plain = film(tmp_path / "v.mp4"), film(tmp_path / "plain.mp4", 60)
    later = tmp_path / f"later{kind}"
    subprocess.run(["ffmpeg", "-v", "error", "-itsoffset", "2", "-i", str(plain), "-c", "copy", "-copyts", str(later)], check=True)
    source = open_source(f"video:{visible},{later}")
    assert source.info.layout == f"by their time stamps {visible} begins at 0.00 s, {later} at 2.00 s"
    items = read_all(source)
    pairs = [i for i in items if isinstance(i, FramePair)]
    assert [e.cause for e in errors(items)] == ["gap"] * 60
    assert {round(seconds(p.visible.data) - seconds(p.infrared.data), 1) for p in pairs} == {2.0}


def test_an_offset_for_either_file(tmp_path: Path) -> None:
    visible, infrared = film(tmp_path / "v.mp4"), film(tmp_path / "i.mp4")
    for uri, delay in (
        (f"video:{visible},{infrared}?offset=0.5", 0.5), (f"video:{visible}?offset=0.5,{infrared}", -0.5),
        (f"video:{visible}?offset=0.25,{infrared}?offset=0.75", 0.5),
    ):  # fmt: skip
        pairs = [i for i in read_all(open_source(uri)) if isinstance(i, FramePair)]
        assert len(pairs) == 105
        assert {round(seconds(p.visible.data) - seconds(p.infrared.data), 1) for p in pairs} == {delay}
        assert min(p.visible.time_ns for p in pairs) >= 0


def test_a_delay_works_or_says_that_it_does_not(tmp_path: Path) -> None:
    visible, infrared = film(tmp_path / "v.mp4"), film(tmp_path / "i.mp4")
    source = build.source(RunSettings(source=f"video:{visible},{infrared}", delay=500), None)
    pairs = [i for i in read_all(source) if isinstance(i, FramePair)]
    # infrared frames are stamped half a second later than visible ones of the same moment
    assert {round(seconds(p.infrared.data) - seconds(p.visible.data), 1) for p in pairs} == {0.5}
    with pytest.raises(SettingsError, match="--delay is for cameras and video: files"):
        build.source(RunSettings(source="demo?frames=2", delay=500), None)


def test_a_guessed_rate_is_told_and_can_be_given_for_that_file(tmp_path: Path) -> None:
    bare, other = film(tmp_path / "v.h264"), film(tmp_path / "i.mp4", 120, 30)
    source = open_source(f"video:{bare},{other}")
    # FFmpeg before version 7 takes the rate for 30, later 25
    told = rf"{re.escape(str(bare))} has no time stamps; its rate of (25|30) frames a second is a guess"
    assert re.match(told, source.info.warning)
    source.close()
    for uri in (f"video:{bare}?fps=30,{other}", f"video:{bare},{other}?fps=30", f"video:{other},{bare}?fps=30"):
        source = open_source(uri)
        assert (source.info.warning, source.info.fps) == ("", 30)
        items = read_all(source)
        assert max(apart(items)) <= 1 / 32
        assert len(apart(items)) == 120
    slow = film(tmp_path / "slow.mp4", 36, 9)
    items = read_all(open_source(f"video:{bare}?fps=30,{slow}"))
    assert max(apart(items)) <= 1 / 9 + 1 / 32
    assert not errors(items)


def test_a_wrong_stated_rate_is_measured(tmp_path: Path) -> None:
    visible, infrared = film(tmp_path / "v.mp4"), film(tmp_path / "i.mkv")
    fast = tmp_path / "fast.mp4"
    how = ["-vf", "setpts=if(eq(N\\,1)\\,1/600/TB\\,PTS)", "-fps_mode", "passthrough", "-enc_time_base", "1:600", "-c:v", "libx264"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(visible), *how, "-qp", "10", str(fast)], check=True)
    source = open_source(f"video:{fast},{infrared}")
    assert source.info.fps == pytest.approx(30, rel=0.02)
    assert max(apart(read_all(source))) <= 1 / 30 + 1 / 16


@pytest.mark.parametrize("kind", [".mp4", ".avi"])
def test_damage_in_the_middle_is_told_where_it_is_and_shifts_nothing(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    visible = film(tmp_path / "v.mp4")
    good = film(tmp_path / f"good{kind}", 120, 30, "-g", "10", codec="mjpeg" if kind == ".avi" else "libx264")
    data = bytearray(good.read_bytes())
    # inside of a frame's coded data
    at, size = len(data) // 2, 40
    if kind == ".avi":
        chunk = data.index(b"00dc", at)
        at = chunk + 8 + int.from_bytes(data[chunk + 4 : chunk + 8], "little") - 200
    data[at : at + size] = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    bad = tmp_path / f"bad{kind}"
    bad.write_bytes(data)
    items = read_all(open_source(f"video:{visible},{bad}"))
    lost = errors(items)
    assert len(items) == 120
    assert 1 <= len(lost) < 20
    assert {e.cause for e in lost} == {"damaged"}
    for e in lost:
        assert f"{bad} is damaged at " in str(e)
        where = float(str(e).split(" is damaged at ")[1].split(" s ")[0])
        assert abs(where - int(e.name[-6:]) / 30) < 0.05
    after = [i for i in items[90:] if isinstance(i, FramePair)]
    assert len(after) == 30
    assert max(apart(after)) <= 1 / 32
    assert "[h264" not in capfd.readouterr().err


@pytest.mark.parametrize("level", ["-8", "8", "48"])
def test_damage_is_told_whatever_the_log_level_of_ffmpeg(tmp_path: Path, level: str) -> None:
    good = film(tmp_path / "good.mp4", 40, 30, "-g", "10")
    data = bytearray(good.read_bytes())
    at = len(data) // 2
    data[at : at + 40] = np.random.default_rng(0).integers(0, 256, 40, np.uint8).tobytes()
    (tmp_path / "bad.mp4").write_bytes(data)
    # OpenCV reads the level once in a process
    code = "import sys; from edgefuse.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", "--source", "video:good.mp4,bad.mp4", "--runtime", "numpy", "--json"]
    environment = os.environ | {"OPENCV_FFMPEG_LOGLEVEL": level}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=False)
    assert json.loads(done.stdout)["dropped_by_cause"]["damaged"] >= 1, done.stderr


def raw(path: Path, form: str, frames: Callable[[int], NDArray[np.uint16]], *how: str) -> Path:
    first = frames(0)
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray16le", "-s", f"{first.shape[1]}x{first.shape[0]}",
               "-r", "9", "-i", "-", "-pix_fmt", form, *how, str(path)]  # fmt: skip
    subprocess.run(command, input=b"".join(frames(k).astype("<u2").tobytes() for k in range(6)), check=True)
    return path


def test_16_bit_grey_video_keeps_its_bits(tmp_path: Path) -> None:
    def counts(k: int) -> NDArray[np.uint16]:
        return np.random.default_rng(k).integers(29300, 31000, (48, 64)).astype(np.uint16)

    visible = put(tmp_path / "v.avi", 6, 9)
    thermal = raw(tmp_path / "t.mkv", "gray16le", counts, "-c:v", "ffv1")
    pairs = [i for i in read_all(open_source(f"video:{visible},{thermal}")) if isinstance(i, FramePair)]
    assert len(pairs) == 6
    for k, pair in enumerate(pairs):
        np.testing.assert_array_equal(pair.infrared.data, counts(k))
    twelve = raw(tmp_path / "t12.mkv", "gray12le", counts, "-c:v", "ffv1")
    with pytest.raises(SourceError, match="holds grey of 12 bits, which OpenCV reads as 8; convert it, counts are then multiplied by 16"):
        open_source(f"video:{visible},{twelve}")


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    visible, av1 = put(tmp_path / "v.avi", 6, 9), tmp_path / "a.mp4"
    made = subprocess.run(["ffmpeg", "-v", "error", "-i", str(visible), "-c:v", "libaom-av1", "-cpu-used", "8", str(av1)], check=False)
    if made.returncode:
        pytest.skip("this ffmpeg can't write AV1")
    if cv2.VideoCapture(str(av1), cv2.CAP_FFMPEG).read()[0]:
        assert len(read_all(open_source(f"video:{visible},{av1}"))) == 6
        return
    with pytest.raises(SourceError, match="this OpenCV can't decode AV1; convert it"):
        open_source(f"video:{visible},{av1}")
