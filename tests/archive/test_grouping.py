"""Which files belong to a cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefuse.archive.compression import plan
from edgefuse.archive.grouping import Listing, below, group
from edgefuse.errors import CubeError
from edgefuse.hyperspectral.quality import Quality

HEADER = "ENVI\nsamples = 4\nlines = 3\nbands = 2\ndata type = 1\ninterleave = bsq\n"
WHOLE = bytes(24)


def filled(folder: Path, **files: bytes | str) -> Listing:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return group(sorted(folder.iterdir()))


def cubes(listing: Listing) -> dict[str, list[str]]:
    return {path.name: [f.name for f in cube.files] for path, cube in listing.cubes.items()}


def passed(listing: Listing) -> dict[str, str]:
    return {path.name: why for path, why in listing.passed_over.items()}


def test_a_quicklook_of_the_headers_stem_is_none(tmp_path: Path) -> None:
    listing = filled(tmp_path, line__dat=WHOLE, line__hdr=HEADER, line__png=b"\x89PNG" + bytes(40), line__log=b"", line__kml=b"<kml/>")
    assert cubes(listing) == {"line.dat": ["line.dat", "line.hdr"]}
    assert passed(listing).keys() == {"line.png", "line.log", "line.kml"}
    assert passed(listing)["line.png"] == "is in no supported format, and holds 44 bytes where line.hdr promises 24"


def test_a_quicklook_does_not_wait_for_samples(tmp_path: Path) -> None:
    assert not filled(tmp_path, line__hdr=HEADER, line__png=b"\x89PNG" + bytes(40)).cubes
    # samples that arrive are waited for
    assert cubes(filled(tmp_path, line__dat=WHOLE[:9])) == {"line.dat": ["line.dat", "line.hdr"]}


def test_samples_of_any_suffix_whose_size_fits(tmp_path: Path) -> None:
    assert cubes(filled(tmp_path, a__spectral=WHOLE, a__hdr=HEADER)) == {"a.spectral": ["a.spectral", "a.hdr"]}


def test_two_files_share_a_header(tmp_path: Path) -> None:
    listing = filled(tmp_path, s__img=WHOLE, s__raw=WHOLE, s__hdr=HEADER)
    assert cubes(listing) == {"s.img": ["s.img", "s.hdr"], "s.raw": ["s.raw", "s.hdr"]}
    # one of them is not whole: it is none yet
    (tmp_path / "s.raw").write_bytes(WHOLE[:5])
    listing = group(sorted(tmp_path.iterdir()))
    assert cubes(listing) == {"s.img": ["s.img", "s.hdr"]}
    assert "holds 5 bytes" in passed(listing)["s.raw"]


def test_a_header_of_the_whole_name_has_that_file(tmp_path: Path) -> None:
    listing = filled(tmp_path, s__img=WHOLE[:3], s__img__hdr=HEADER, s__raw=WHOLE)
    assert cubes(listing) == {"s.img": ["s.img", "s.img.hdr"]}
    assert passed(listing) == {"s.raw": "has no ENVI header beside it"}


def test_a_header_that_can_not_be_read_is_the_samples_fault(tmp_path: Path) -> None:
    listing = filled(tmp_path, a__img=WHOLE, a__png=b"", a__hdr="no header")
    assert cubes(listing) == {"a.img": ["a.img", "a.hdr"]}
    assert "a.png" in passed(listing)


def test_what_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.npy").mkdir()
    listing = filled(
        tmp_path, a__img=b"x", b__hdr=HEADER, c__efz=b"", notes__txt=b"", d__npy=b"", _hidden=b"", e__npy__part=b"", f__nc=b"CDF\1",
        T32_B02__jp2=b"",
    )  # fmt: skip
    assert list(cubes(listing)) == ["d.npy"]
    assert passed(listing) == {
        "a.img": "has no ENVI header beside it",
        "b.hdr": "is an ENVI header without samples",
        "c.efz": "is compressed already",
        "notes.txt": "is in no supported format",
        "_hidden": "has no ENVI header beside it",
        "f.nc": "is in no supported format",
        "T32_B02.jp2": "may be one band of a cube, or name other files; compress it, or its folder, with `edgefuse compress`",
    }


def test_netcdf_is_a_cube(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.nc", "w") as f:
        f["cube"] = np.zeros((3, 4, 5))
    assert cubes(group([tmp_path / "a.nc"])) == {"a.nc": ["a.nc"]}
    assert [j.name for j in plan("compress", tmp_path, tmp_path / "out", Quality())] == ["a.nc"]


def test_files_beside_a_geotiff(tmp_path: Path) -> None:
    header = HEADER + "file type = TIFF\n"
    listing = filled(
        tmp_path, X_SPECTRAL__tif=b"II*\0", X_SPECTRAL__hdr=header, X_SPECTRAL__tfw=b"1", X_SPECTRAL__tif__aux__xml=b"<a/>",
        Y__tif=b"", Y__img=WHOLE, Y__hdr=HEADER,
    )  # fmt: skip
    assert cubes(listing) == {
        "X_SPECTRAL.tif": ["X_SPECTRAL.tif", "X_SPECTRAL.hdr", "X_SPECTRAL.tif.aux.xml", "X_SPECTRAL.tfw"],
        "Y.img": ["Y.img", "Y.hdr"],
        "Y.tif": ["Y.tif"],
    }


def test_enmap_awaits_its_metadata(tmp_path: Path) -> None:
    image = tmp_path / "A-SPECTRAL_IMAGE.TIF"
    image.write_bytes(b"II*\0")
    assert group([image]).cubes[image].awaited == "A-METADATA.XML"
    (tmp_path / "A-METADATA.XML").write_text("<level_X/>")
    cube = group(sorted(tmp_path.iterdir())).cubes[image]
    assert (cube.awaited, [f.name for f in cube.files]) == ("", ["A-SPECTRAL_IMAGE.TIF", "A-METADATA.XML"])


def test_other_files_of_an_archive_are_told(tmp_path: Path) -> None:
    filled(tmp_path / "in", a__npy=b"", b__img=b"")
    told: list[tuple[str, str]] = []
    jobs = plan("compress", tmp_path / "in", tmp_path / "out", Quality(), passed_over=lambda name, why: told.append((name, why)))
    assert [j.name for j in jobs] == ["a.npy"]
    assert told == [("b.img", "has no ENVI header beside it")]
    (tmp_path / "in/a.npy").unlink()
    with pytest.raises(CubeError, match=r"holds no cubes to compress; b\.img has no ENVI header beside it"):
        plan("compress", tmp_path / "in", tmp_path / "out", Quality())
    with pytest.raises(CubeError, match="cannot list"):
        list(below(tmp_path / "missing"))
