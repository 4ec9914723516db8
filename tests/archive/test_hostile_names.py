"""Names and kinds of files that a folder may hold besides cubes: none stops the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgefuse.archive import compression, grouping
from edgefuse.archive.incoming import IncomingCubes
from edgefuse.archive.manifest import Manifest
from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats import envi, open_cube
from edgefuse.hyperspectral.quality import Quality
from tests.archive.test_incoming import cube, names


def linked(path: Path, to: Path) -> None:
    path.symlink_to(to)


KINDS: dict[str, Callable[[Path], object]] = {
    "a link in a circle": lambda folder: linked(folder / "circle.npy", Path("circle.npy")),
    "a link that leads nowhere": lambda folder: linked(folder / "nowhere.img", Path("nothing")),
    "a link to a device": lambda folder: linked(folder / "zero.npy", Path("/dev/zero")),
    "a pipe": lambda folder: os.mkfifo(folder / "cube.img"),
    "a pipe as header": lambda folder: ((folder / "p.img").write_bytes(b"123"), os.mkfifo(folder / "p.hdr")),
    "a folder": lambda folder: (folder / "folder.npy").mkdir(),
    "a name of 255 bytes": lambda folder: (folder / ("n" * 255)).write_bytes(b"x"),
    "a name of 255 bytes, of samples": lambda folder: (folder / ("n" * 251 + ".img")).write_bytes(b"x"),
    "a name of 254 bytes, of a TIFF": lambda folder: (folder / ("n" * 250 + ".tif")).write_bytes(b"II*\0"),
    "a name of 253 bytes, of a header": lambda folder: (folder / ("n" * 249 + ".hdr")).write_bytes(b"ENVI\n"),
    "an EnMAP name of 255 bytes": lambda folder: (folder / ("n" * 235 + "-SPECTRAL_IMAGE.TIF")).write_bytes(b"II*\0"),
    "a name that is not UTF-8": lambda folder: (folder / os.fsdecode(b"bad\xff.img")).write_bytes(b"x"),
    "a name of two lines": lambda folder: (folder / "two\nlines\x1b[2J.img").write_bytes(b"x"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_and_no_kind_of_file_stops_a_watch(tmp_path: Path, kind: str) -> None:
    incoming = IncomingCubes(tmp_path, 2, 60)
    cube(tmp_path / "z.npy")
    KINDS[kind](tmp_path)
    for now in (0, 2, 70):
        complete, _ = incoming.scan(now)
    assert "z.npy" in names(complete)
    out = tmp_path / "out"
    assert "z.npy" in [job.name for job in compression.plan("compress", tmp_path, out, Quality(max_error=0), passed_over=lambda *_: None)]


def test_a_name_that_is_nearly_too_long_is_read_and_told(tmp_path: Path) -> None:
    short = cube(tmp_path / "a.npy")
    path = tmp_path / ("n" * 251 + ".npy")
    short.rename(path)
    with open_cube(path) as source:
        assert source.shape == (4, 3, 5)
    (tmp_path / ("n" * 255)).write_bytes(b"x")
    with pytest.raises(CubeError, match="not a cube in a supported format"):
        open_cube(tmp_path / ("n" * 255))


def test_names_that_differ_by_case_have_files_of_their_own(tmp_path: Path) -> None:
    """On a FAT file system `A.npy.efz` and `a.npy.efz` are one file."""
    with Manifest(tmp_path) as manifest:
        target = {"file": "CAF\N{LATIN CAPITAL LETTER E WITH ACUTE}.npy.efz"}
        manifest.append({"name": "A", "state": "done", "settings": {}, "target": target})
        for name in ("caf\N{LATIN SMALL LETTER E WITH ACUTE}.npy.efz", "cafe\N{COMBINING ACUTE ACCENT}.NPY.efz"):
            assert manifest.taken(name)
        assert not manifest.taken("cafe.npy.efz")


def test_a_header_is_parsed_once_as_long_as_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ENVI\nsamples = 3\nlines = 4\nbands = 5\ndata type = 12\ninterleave = bsq\n"
    (tmp_path / "a.img").write_bytes(bytes(120))
    (tmp_path / "a.hdr").write_text(text)
    parsed: list[Path] = []
    honest = envi.promised
    monkeypatch.setattr(envi, "promised", lambda header: (parsed.append(header), honest(header))[1])
    for _ in range(3):
        assert list(grouping.group(sorted(tmp_path.iterdir())).cubes) == [tmp_path / "a.img"]
    assert len(parsed) == 1
    (tmp_path / "a.hdr").write_text(text.replace("= 5", "= 500"))
    grouping.group(sorted(tmp_path.iterdir()))
    assert len(parsed) == 2
