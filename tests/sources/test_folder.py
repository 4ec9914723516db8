"""The folder source: pairs by name, in order, and every frame accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.errors import FrameError, SettingsError, SourceError
from edgefuse.frames import FramePair
from edgefuse.sources import open_source
from edgefuse.sources.base import Source
from edgefuse.sources.folder import FolderSource, natural

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("visible", "infrared"):
        (tmp_path / name).mkdir()
    return tmp_path


def put(path: Path, image: NDArray[Any] = GREY) -> None:
    done, data = cv2.imencode(path.suffix.lower(), image)
    assert done
    path.write_bytes(data.tobytes())


def put_pair(root: Path, stem: str, visible: NDArray[Any] = GREY, infrared: NDArray[Any] = GREY) -> None:
    put(root / "visible" / f"{stem}.png", visible)
    put(root / "infrared" / f"{stem}.png", infrared)


def read_all(source: Source) -> list[FramePair | FrameError]:
    items: list[FramePair | FrameError] = []
    with source:
        while True:
            try:
                pair = source.read()
            except FrameError as e:
                items.append(e)
                continue
            if pair is None:
                return items
            items.append(pair)


def test_pairs_come_with_their_pixels_names_and_times(root: Path) -> None:
    colour = np.dstack([GREY, GREY + 50, GREY + 100])
    deep = GREY.astype(np.uint16) * 1000
    put_pair(root, "a", colour, deep)
    put_pair(root, "b", GREY, GREY + 7)
    with open_source(f"folder:{root}") as source:
        assert (source.info.pairs, source.info.fps) == (2, 25.0)
        assert source.info.paths == (root / "visible", root / "infrared")
        assert source.info.uri == f"folder:{root}"
        first, second = source.read(), source.read()
        assert source.read() is None
        assert source.read() is None
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.visible.data, colour)
    np.testing.assert_array_equal(first.infrared.data, deep)
    assert first.infrared.data.dtype == np.uint16
    np.testing.assert_array_equal(second.infrared.data, GREY + 7)
    assert [(p.name, p.index, p.visible.time_ns, p.infrared.time_ns) for p in (first, second)] == [
        ("a", 0, 0, 0),
        ("b", 1, 40_000_000, 40_000_000),
    ]
    assert (first.visible.modality, first.infrared.modality) == ("visible", "infrared")


def test_the_rate_is_kept_as_given(root: Path) -> None:
    for k in range(3):
        put_pair(root, f"f{k}")
    source = open_source(f"folder:{root}?fps=8.7")
    assert source.info.fps == 8.7
    assert [p.visible.time_ns for p in read_all(source) if isinstance(p, FramePair)] == [0, 114_942_529, 229_885_057]


def test_two_folders_can_be_named(tmp_path: Path) -> None:
    for name in ("tag,1", "50%?"):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "x.png")
    pairs = read_all(open_source(f"folder:{tmp_path}/tag%2C1,{tmp_path}/50%25%3F"))
    assert [p.name for p in pairs] == ["x"]


def test_names_are_in_natural_order(root: Path) -> None:
    for stem in ("frame10", "frame2", "frame1", "2-b", "10-a", "frame"):
        put_pair(root, stem)
    assert [p.name for p in read_all(open_source(f"folder:{root}"))] == ["2-b", "10-a", "frame", "frame1", "frame2", "frame10"]


def test_names_of_the_same_number_keep_one_order(root: Path) -> None:
    stems = [f"frame{'0' * k}1" for k in range(9)]
    for stem in stems:
        put_pair(root, stem)
    assert [p.name for p in read_all(open_source(f"folder:{root}"))] == sorted(stems)


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), max_size=8), max_size=6))
def test_any_names_can_be_put_in_order(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural)) == sorted(names)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=6), st.text("abc-_ ", max_size=4))
def test_numbers_are_ordered_by_value(numbers: list[int], prefix: str) -> None:
    assert sorted((f"{prefix}{n}x" for n in numbers), key=natural) == [f"{prefix}{n}x" for n in sorted(numbers)]


def test_extensions_and_their_case_do_not_matter(root: Path) -> None:
    for k, (a, b) in enumerate([(".png", ".jpg"), (".PNG", ".Png"), (".JPEG", ".webp"), (".bmp", ".TIF"), (".pgm", ".tiff")]):
        put(root / "visible" / f"f{k}{a}")
        put(root / "infrared" / f"f{k}{b}")
    pairs = read_all(open_source(f"folder:{root}"))
    assert [(type(p), p.name) for p in pairs] == [(FramePair, f"f{k}") for k in range(5)]


def test_what_is_no_image_is_passed_over(root: Path) -> None:
    put_pair(root, "f")
    for name in ("notes.txt", ".hidden.png", "Thumbs.db", "png"):
        (root / "visible" / name).write_bytes(b"x")
    (root / "visible" / "folder.png").mkdir()
    source = open_source(f"folder:{root}")
    assert source.info.pairs == 1
    assert [p.name for p in read_all(source)] == ["f"]


def test_what_has_no_pair_is_an_error_in_its_place(root: Path) -> None:
    for stem in ("f1", "f3", "f5", "f6"):
        put_pair(root, stem)
    put(root / "visible" / "f2.png")
    put(root / "infrared" / "f4.png")
    put(root / "infrared" / "f5.jpg")
    whole = (root / "visible" / "f6.png").read_bytes()
    (root / "visible" / "f6.png").write_bytes(whole[:-20])
    source = open_source(f"folder:{root}")
    items = read_all(source)
    assert source.info.pairs == len(items) == 6
    assert [(i.name, i.cause if isinstance(i, FrameError) else i.index) for i in items] == [
        ("f1", 0), ("f2", "unpaired"), ("f3", 2), ("f4", "unpaired"), ("f5", "ambiguous"), ("f6", "unreadable"),
    ]  # fmt: skip
    assert [str(i) for i in items if isinstance(i, FrameError)] == [
        f"f2 has no infrared frame in {root}/infrared",
        f"f4 has no visible frame in {root}/visible",
        "f5 has 2 infrared frames (f5.jpg, f5.png)",
        f"{root}/visible/f6.png is truncated",
    ]


def test_a_lost_frame_takes_its_time_with_it(root: Path) -> None:
    put_pair(root, "a")
    put(root / "visible" / "b.png")
    put_pair(root, "c")
    last = read_all(open_source(f"folder:{root}?fps=10"))[2]
    assert isinstance(last, FramePair)
    assert (last.index, last.visible.time_ns) == (2, 200_000_000)


def test_a_file_that_goes_away_is_an_error_in_its_place(root: Path) -> None:
    put_pair(root, "a")
    put_pair(root, "b")
    source = open_source(f"folder:{root}")
    (root / "infrared" / "a.png").unlink()
    lost, kept = read_all(source)
    assert isinstance(lost, FrameError)
    assert (lost.cause, str(lost)) == ("unreadable", f"{root}/infrared/a.png cannot be opened (No such file or directory)")
    assert kept.name == "b"


def test_float_pixels_are_an_error_in_their_place(root: Path) -> None:
    put_pair(root, "a")
    (root / "infrared" / "a.png").unlink()
    put(root / "infrared" / "a.tiff", GREY.astype(np.float32))
    (lost,) = read_all(open_source(f"folder:{root}"))
    assert isinstance(lost, FrameError)
    assert "holds float32 pixels" in str(lost)


def test_no_pairs_at_all_is_said_with_what_is_there(root: Path) -> None:
    for stem in ("v1", "v2"):
        put(root / "visible" / f"{stem}.png")
    put(root / "infrared" / "i1.png")
    with pytest.raises(SourceError) as caught:
        open_source(f"folder:{root}")
    assert str(caught.value).startswith(
        f"no pairs: 2 images in {root}/visible and 1 images in {root}/infrared, but no two of the same name"
    )


@pytest.mark.parametrize(
    ("present", "words"),
    [((), "no visible/ and infrared/ inside"), (("visible",), "no infrared/ inside"), (("infrared",), "no visible/ inside")],
)
def test_a_root_without_its_folders_says_which(tmp_path: Path, present: tuple[str, ...], words: str) -> None:
    for name in present:
        (tmp_path / name).mkdir()
    with pytest.raises(SourceError) as caught:
        open_source(f"folder:{tmp_path}")
    assert f"{tmp_path}: {words}; make it" in str(caught.value)


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SourceError, match=r"/none: no such folder; "):
        open_source(f"folder:{tmp_path}/none")
    with pytest.raises(SourceError, match=r"/file: no such folder; "):
        open_source(f"folder:{tmp_path}/file")
    with pytest.raises(SourceError, match=r"^cannot list .*/none: No such file or directory; "):
        open_source(f"folder:{tmp_path}/none,{tmp_path}")
    with pytest.raises(SourceError, match=r"^cannot list .*/file: Not a directory; "):
        open_source(f"folder:{tmp_path},{tmp_path}/file")


def test_a_name_that_is_too_long_is_a_source_error() -> None:
    with pytest.raises(SourceError):
        open_source("folder:" + "n" * 300)


@pytest.mark.parametrize("uri", ["folder", "folder:a,b,c", "folder:a?fps=0", "folder:a?fps=nan", "folder:a?rate=3"])
def test_wrong_uris(root: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(root)
    (root / "a").mkdir()
    for name in ("visible", "infrared"):
        (root / "a" / name).mkdir()
        put(root / "a" / name / "x.png")
    with pytest.raises(SettingsError):
        open_source(uri)


def test_a_stranger_s_file_name_is_read(root: Path) -> None:
    put_pair(root, "\udcff naïve 图")
    (pair,) = read_all(FolderSource(root / "visible", root / "infrared", "folder"))
    assert pair.name == "\udcff naïve 图"
