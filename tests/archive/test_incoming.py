"""When a cube counts as complete. The tests pass the time in, so nothing waits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgefuse.archive.incoming import IncomingCubes
from edgefuse.archive.open_files import open_for_writing
from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube
from tests.hyperspectral.cubes import samples


def cube(path: Path, rows: int = 4) -> Path:
    with create_cube(path, CubeInfo((rows, 3, 5), np.dtype("u2"))) as sink:
        sink[:] = samples((rows, 3, 5))
    return path


def names(found: list[Path]) -> list[str]:
    return [p.name for p in found]


def test_a_cube_that_stays_as_it_is_is_whole(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 2, 60)
    cube(tmp_path / "a.npy")
    assert incoming.scan(0) == ([], [])
    assert incoming.scan(1.9) == ([], [])
    assert names(incoming.scan(2)[0]) == ["a.npy"]
    # again and again, until it is dismissed
    assert names(incoming.scan(3)[0]) == ["a.npy"]
    incoming.dismiss(tmp_path / "a.npy")
    assert incoming.scan(4) == ([], [])
    assert incoming.waiting == 0
    cube(tmp_path / "a.npy", 9)
    assert incoming.scan(5) == ([], [])
    assert names(incoming.scan(7)[0]) == ["a.npy"]


def test_a_cube_that_grows_is_waited_for(tmp_path: Path) -> None:
    whole = cube(tmp_path / "b.npy").read_bytes()
    (tmp_path / "b.npy").unlink()
    incoming = IncomingCubes(tmp_path, 2, 60)
    for now, size in ((0, 10), (2, 60), (4, 130), (6, len(whole) - 1)):
        (tmp_path / "a.npy").write_bytes(whole[:size])
        assert incoming.scan(now) == ([], [])
        assert incoming.scan(now + 1.5) == ([], [])
    # one byte is missing for a while
    assert incoming.scan(30) == ([], [])
    (tmp_path / "a.npy").write_bytes(whole)
    incoming.scan(31)
    assert names(incoming.scan(33)[0]) == ["a.npy"]


def test_a_cube_that_never_gets_whole_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(cube(tmp_path / "b.npy").read_bytes()[:-1])
    incoming = IncomingCubes(tmp_path, 2, 60)
    incoming.scan(0)
    assert names(incoming.scan(59)[0]) == ["b.npy"]
    ((path, why),) = incoming.scan(60)[1]
    assert path.name == "a.npy"
    assert "incomplete" in why


def test_what_came_in_one_piece_is_given_up_sooner(tmp_path: Path) -> None:
    (tmp_path / "b.npy").write_bytes(data := cube(tmp_path / "a.npy").read_bytes()[:-1])
    (tmp_path / "a.npy").unlink()
    if open_for_writing(tmp_path / "b.npy") is None:
        pytest.skip("this file system does not tell who writes a file")
    incoming = IncomingCubes(tmp_path, 2, 60, closed_s=20)
    incoming.scan(0)
    assert incoming.scan(19) == ([], [])
    with open(tmp_path / "b.npy", "ab") as f:
        # a program that stalls while it sends
        assert incoming.scan(20) == ([], [])
        f.write(b"\0")
    assert names(incoming.scan(21)[0]) == []
    assert names(incoming.scan(23)[0]) == ["b.npy"]
    # one that opens the file again and again was seen to change it
    (tmp_path / "b.npy").write_bytes(data)
    assert incoming.scan(30) == incoming.scan(50) == incoming.scan(89) == ([], [])
    assert len(incoming.scan(90)[1]) == 1
    # of both files of a cube
    for path in tmp_path.iterdir():
        path.unlink()
    cube(tmp_path / "s.img")
    os.truncate(tmp_path / "s.img", 9)
    incoming.scan(100)
    with open(tmp_path / "s.img.hdr", "ab"):
        assert incoming.scan(120) == ([], [])
    ((path, _),) = incoming.scan(121)[1]
    assert path.name == "s.img"


def test_what_the_system_says_is_closed_is_whole_at_once(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 2, 60)
    cube(tmp_path / "a.npy")
    incoming.file_closed("a.npy")
    assert names(incoming.scan(0)[0]) == ["a.npy"]


def test_of_envi_both_files_are_to_be_closed(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 2, 60)
    cube(tmp_path / "a.img")
    incoming.file_closed("a.img.hdr")
    assert incoming.scan(0) == ([], [])
    incoming.file_closed("a.img")
    assert names(incoming.scan(0.1)[0]) == ["a.img"]
    # a file that changes was not closed for good
    os.utime(tmp_path / "a.img", (1, 1))
    assert incoming.scan(0.2) == ([], [])
    incoming.file_closed("a.img")
    assert names(incoming.scan(0.3)[0]) == ["a.img"]


def test_samples_wait_for_their_header(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 2, 60)
    cube(tmp_path / "a.img")
    (tmp_path / "a.img.hdr").rename(tmp_path / "later")
    assert incoming.scan(0) == incoming.scan(100) == ([], [])
    (tmp_path / "later").rename(tmp_path / "a.img.hdr")
    assert incoming.scan(101) == ([], [])
    assert names(incoming.scan(103)[0]) == ["a.img"]


def test_a_renamed_cube_is_one_and_unfinished_names_are_none(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 2, 60)
    cube(tmp_path / "a.npy").rename(tmp_path / "a.npy.part")
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / ".hidden.npy").write_bytes(b"")
    assert incoming.scan(0) == incoming.scan(100) == ([], [])
    (tmp_path / "a.npy.part").rename(tmp_path / "b.npy")
    incoming.file_closed("b.npy")
    assert names(incoming.scan(101)[0]) == ["b.npy"]
    (tmp_path / "b.npy").rename(tmp_path / "c.npy")
    incoming.scan(102)
    assert names(incoming.scan(104)[0]) == ["c.npy"]


def test_what_is_spoiled_comes_back_when_it_changes(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 0, 60)
    path = cube(tmp_path / "a.npy")
    assert names(incoming.scan(0)[0]) == ["a.npy"]
    incoming.mark_unusable(path, "no good")
    assert incoming.scan(1) == ([], [])
    assert incoming.scan(60) == ([], [(path, "no good")])
    cube(path, 7)
    assert names(incoming.scan(61)[0]) == ["a.npy"]


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(CubeError, match="cannot list"):
        IncomingCubes(tmp_path / "missing").scan(0)


def test_a_quicklook_neither_delays_nor_replaces_the_samples(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 2, 60)
    whole = cube(tmp_path / "line.dat").read_bytes()
    (tmp_path / "line.dat.hdr").rename(tmp_path / "line.hdr")
    (tmp_path / "line.png").write_bytes(b"\x89PNG")
    (tmp_path / "line.dat").unlink()
    assert incoming.scan(0) == incoming.scan(100) == ([], [])
    # the samples take two minutes
    for now in range(100, 220, 5):
        (tmp_path / "line.dat").write_bytes(whole[: now - 99])
        assert incoming.scan(now) == incoming.scan(now + 1.9) == ([], [])
    (tmp_path / "line.dat").write_bytes(whole)
    incoming.scan(230)
    assert names(incoming.scan(232)[0]) == ["line.dat"]
    assert {p.name for p in incoming.passed_over} == {"line.png"}


def test_a_metadata_file_that_lands_later_is_waited_for(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    incoming = IncomingCubes(tmp_path, 2, 60, 600)
    image = cube(tmp_path / "A-SPECTRAL_IMAGE.TIF")
    incoming.file_closed(image.name)
    assert incoming.scan(0) == incoming.scan(60) == ([], [])
    (tmp_path / "A-METADATA.XML").write_text("<level_X/>")
    assert incoming.scan(61) == ([], [])
    assert names(incoming.scan(63)[0]) == [image.name]
    # without one it is a cube in the end
    (tmp_path / "A-METADATA.XML").unlink()
    assert incoming.scan(70) == incoming.scan(669) == ([], [])
    assert names(incoming.scan(670)[0]) == [image.name]
    assert incoming.cube(image).awaited == "A-METADATA.XML"


def test_a_shared_header_is_needed_until_its_last_samples_went(tmp_path: Path) -> None:
    incoming = IncomingCubes(tmp_path, 0, 60)
    header = tmp_path / "s.hdr"
    for name in ("s.img", "s.raw", "s.dat"):
        cube(tmp_path / name)
        (tmp_path / f"{name}.hdr").replace(header)
    # one is still arriving
    os.truncate(tmp_path / "s.dat", 9)
    assert names(incoming.scan(0)[0]) == ["s.img", "s.raw"]
    for name in ("s.img", "s.raw"):
        assert header in incoming.needed_by_others(tmp_path / name)
        (tmp_path / name).unlink()
    assert header in incoming.needed_by_others(tmp_path / "s.raw")
    (tmp_path / "s.dat").unlink()
    assert incoming.needed_by_others(tmp_path / "s.raw") == set()


def test_what_is_not_known_yet_is_asked_again(tmp_path: Path) -> None:
    answers: list[str | None] = [None, None, "broken"]
    incoming = IncomingCubes(tmp_path, 2, 60, examine=lambda _: answers.pop(0))
    path = cube(tmp_path / "a.npy")
    assert incoming.scan(0) == incoming.scan(2) == incoming.scan(3) == incoming.scan(4) == ([], [])
    assert answers == []
    assert incoming.scan(60) == ([], [(path, "broken")])
