"""A camera's crop and its list of bad pixels, and finding them in a recording of a closed lid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefuse.cameras import camera
from edgefuse.cameras.adjusted import AdjustedCamera, Flip, read_bad
from edgefuse.cli.main import main
from edgefuse.errors import CameraError, SettingsError, SourceError
from edgefuse.frames import Frame, FramePair
from edgefuse.sources.rawfile import RawWriter
from edgefuse.thermal import bad_pixels
from edgefuse.util import zone
from tests.cameras.test_camera_thread import Scripted

COUNTS = np.arange(29000, 29000 + 48, dtype=np.uint16).reshape(6, 8)


def one(data: np.ndarray, crop: str = "", bad: tuple[tuple[int, int], ...] = (), rotate: int = 0, flip: Flip = "none") -> Frame | None:
    inner = Scripted([Frame(data, "infrared", 5, "")])
    made = AdjustedCamera(inner, zone.parse(crop) if crop else None, bad, rotate, flip)
    made.open()
    assert (made.raw, made.missed, made.identity()) == (True, 0, "scripted")
    return made.read(1)


def test_bad_pixels_are_set_to_no_measurement_and_the_frame_cropped() -> None:
    got = one(COUNTS, "4x3+2+1", ((3, 2), (0, 0)))
    assert got is not None
    expected = COUNTS[1:4, 2:6].copy()
    expected[1, 1] = 0
    np.testing.assert_array_equal(got.data, expected)
    assert got.time_ns == 5
    assert COUNTS[2, 3] != 0


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["none", "horizontal", "vertical", "both"])
def test_rotation_is_clockwise_and_comes_before_the_flip(rotate: int, flip: Flip) -> None:
    for data in (COUNTS, np.dstack([COUNTS.astype(np.uint8)] * 3)):
        got = one(data, "6x4+1+2", rotate=rotate, flip=flip)
        assert got is not None
        expected = np.rot90(data[2:6, 1:7], -rotate // 90)
        expected = expected[:, ::-1] if flip in ("horizontal", "both") else expected
        expected = expected[::-1] if flip in ("vertical", "both") else expected
        np.testing.assert_array_equal(got.data, expected)
        assert got.data.flags.c_contiguous


@pytest.mark.parametrize(
    ("crop", "bad", "data"), [("9x9+0+0", (), COUNTS), ("", ((8, 0),), COUNTS), ("", ((0, 0),), COUNTS.astype(np.uint8))]
)
def test_what_does_not_fit_the_frame_is_an_error(crop: str, bad: tuple[tuple[int, int], ...], data: np.ndarray) -> None:
    with pytest.raises(CameraError):
        one(data, crop, bad)


def test_the_options_of_every_camera(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("# lid, 2026\n3 2\n\n0 0  # corner\n")
    assert read_bad(path) == ((3, 2), (0, 0))
    for uri in (f"v4l2:1e4e:0100?crop=160x118+0+2&bad_pixels={path}", f"http://127.0.0.1:1/x#crop=80x60+0+0&bad_pixels={path}"):
        assert isinstance(camera(f"infrared={uri}"), AdjustedCamera)
    path.write_text("3\n")
    with pytest.raises(SettingsError, match=r"bad.txt:1: expected 'x y'"):
        camera(f"infrared=v4l2:1e4e:0100?bad_pixels={path}")
    with pytest.raises(SettingsError):
        camera("infrared=v4l2:1e4e:0100?crop=wide")


def lid(count: int = 30) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160]
    shading = 8000 + 30 * np.hypot(y - 60, x - 80) / 100
    frames = []
    for _ in range(count):
        frame = (shading + rng.normal(0, 3, (120, 160))).astype(np.uint16)
        frame[10, 20], frame[30, 40], frame[50, 60] = 0, 9000, 8003
        frame[70, 80] += rng.integers(0, 200)
        frames.append(frame)
    return frames


def test_bad_pixels_are_found_under_a_closed_lid() -> None:
    assert bad_pixels.find(lid()) == [(20, 10), (40, 30), (60, 50), (80, 70)]
    with pytest.raises(SourceError, match="too few"):
        bad_pixels.find(lid(3))
    rng = np.random.default_rng(1)
    scene = rng.integers(7000, 9000, (120, 160)) * (rng.random((120, 160)) < 0.2)
    with pytest.raises(SourceError, match="close the lid"):
        bad_pixels.find([(frame + scene).astype(np.uint16) for frame in lid()])


def test_the_command_writes_the_list_that_a_camera_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = RawWriter(tmp_path / "lid.efr", {"fps": 9.0, "sequence": True})
    for k, counts in enumerate(lid()):
        visible = Frame(np.zeros((120, 160), np.uint8), "visible", k, f"f{k}")
        writer.write(FramePair(visible, Frame(counts, "infrared", k, f"f{k}"), k))
    writer.close(0)
    assert main(["bad-pixels", str(tmp_path / "lid.efr"), "--out", str(tmp_path / "bad.txt")]) == 0
    assert "4 bad pixels of" in capsys.readouterr().out
    assert read_bad(tmp_path / "bad.txt") == ((20, 10), (40, 30), (60, 50), (80, 70))
    assert main(["bad-pixels", str(tmp_path / "none.efr")]) == 2
