"""The folder sink: one complete file per frame."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.errors import OutputError, SettingsError
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.sinks import open_sink

COLOUR = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)


def fused(image: NDArray[Any], name: str = "f") -> FusedFrame:
    frame = Frame(image, "visible", 0, name)
    return FusedFrame(image, FramePair(frame, frame, 0))


@pytest.mark.parametrize("image", [COLOUR, COLOUR[..., 0], COLOUR[:1, :1]], ids=["colour", "grey", "a pixel"])
def test_png_keeps_every_pixel_and_the_name(tmp_path: Path, image: NDArray[Any]) -> None:
    with open_sink(f"folder:{tmp_path}/out/deep", 25) as sink:
        sink.write(fused(image, "frame 7.raw"))
    (path,) = (tmp_path / "out" / "deep").iterdir()
    assert path.name == "frame 7.raw.png"
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), image)


def test_jpeg_and_its_quality(tmp_path: Path) -> None:
    smooth = cv2.resize(COLOUR, (170, 130))
    sizes = []
    for quality in (95, 20):
        with open_sink(f"folder:{tmp_path}?format=jpg&quality={quality}", 25) as sink:
            sink.write(fused(smooth, f"q{quality}"))
        path = tmp_path / f"q{quality}.jpg"
        assert path.read_bytes().startswith(b"\xff\xd8")
        assert np.abs(cv2.imread(str(path)).astype(int) - smooth).mean() < 20
        sizes.append(path.stat().st_size)
    assert sizes[0] > 1.5 * sizes[1]


def test_bytes_written_are_those_of_the_files(tmp_path: Path) -> None:
    sink = open_sink(f"folder:{tmp_path}", 25)
    assert sink.bytes_written == 0
    for k in range(3):
        sink.write(fused(COLOUR, f"f{k}"))
    sink.close()
    sink.close()
    assert sink.bytes_written == sum(p.stat().st_size for p in tmp_path.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f0.png", "f1.png", "f2.png"]


def test_frame_names_are_not_interned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the table of interned strings grows with every name and is released only when rebuilt, which takes megabytes
    interned: list[str] = []
    intern = sys.intern

    def spy(text: str) -> str:
        interned.append(text)
        return intern(text)

    with open_sink(f"folder:{tmp_path}", 25) as sink:
        monkeypatch.setattr(sys, "intern", spy)
        sink.write(fused(COLOUR, "f7"))
        seen = list(interned)
        assert (tmp_path / "f7.png").is_file()
    assert seen == []


def test_a_file_of_that_name_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "f.png").write_bytes(b"old")
    with open_sink(f"folder:{tmp_path}", 25) as sink:
        sink.write(fused(COLOUR))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "f.png")), COLOUR)


@pytest.mark.parametrize("name", ["../f", "/tmp/f", "sub/f", ".", "..", ".hidden", "sub/../f"])
def test_a_name_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "out" / "sub").mkdir(parents=True)
    with open_sink(f"folder:{tmp_path}/out", 25) as sink, pytest.raises(OutputError, match="is not a file name"):
        sink.write(fused(COLOUR, name))
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_frame_without_a_name_is_refused(tmp_path: Path) -> None:
    with open_sink(f"folder:{tmp_path}", 25) as sink, pytest.raises(OutputError):
        sink.write(fused(COLOUR, ""))


def test_non_ascii_names_are_kept(tmp_path: Path) -> None:
    with open_sink(f"folder:{tmp_path}", 25) as sink:
        sink.write(fused(COLOUR, "\udcff 图"))
    assert [p.name for p in tmp_path.iterdir()] == ["\udcff 图.png"]


def test_a_name_that_is_too_long_is_an_output_error(tmp_path: Path) -> None:
    with open_sink(f"folder:{tmp_path}", 25) as sink, pytest.raises(OutputError, match="the name is too long"):
        sink.write(fused(COLOUR, "n" * 300))


def test_a_picture_too_large_for_jpeg_is_an_output_error(tmp_path: Path) -> None:
    with open_sink(f"folder:{tmp_path}?format=jpg", 25) as sink, pytest.raises(OutputError):
        sink.write(fused(np.zeros((1, 65536), np.uint8)))


def test_a_target_that_is_not_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in ("file", "file/in"):
        with pytest.raises(OutputError, match=rf"^cannot write {tmp_path}/{place}: "):
            open_sink(f"folder:{tmp_path}/{place}", 25)


def test_a_removed_folder_is_an_output_error(tmp_path: Path) -> None:
    sink = open_sink(f"folder:{tmp_path}/out", 25)
    (tmp_path / "out").rmdir()
    with pytest.raises(OutputError, match="No such file or directory"):
        sink.write(fused(COLOUR))


@pytest.mark.parametrize(
    "uri",
    ["folder", "folder:a,b", "folder:a?format=bmp", "folder:a?quality=0", "folder:a?quality=101", "folder:a?quality=x", "folder:a?fps=3"],
)
def test_wrong_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError):
        open_sink(uri, 25)
    assert list(tmp_path.iterdir()) == []


def test_unknown_sinks_list_the_known() -> None:
    with pytest.raises(SettingsError, match=r"^unknown sink 'mqtt'; choose from folder, video"):
        open_sink("mqtt:x", 25)
