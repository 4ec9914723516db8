"""ENVI headers as found in practice, and invalid ones."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats import create_cube, envi_header, envi_map_info, open_cube
from edgefuse.hyperspectral.formats.flat import BIL, BIP, BSQ
from tests.hyperspectral.cubes import described, samples
from tests.hyperspectral.mutate import HEADER, check_header, hostile_header, mutations, survive

SHAPE = (4, 3, 5)  # rows, columns, bands
PLAIN = "ENVI\nsamples = 3\nlines = 4\nbands = 5\ndata type = 12\ninterleave = bsq\n"


def write(folder: Path, header: str, data: bytes, name: str = "a.img", beside: str = "a.hdr") -> Path:
    (folder / name).write_bytes(data)
    (folder / beside).write_bytes(header.encode("latin-1"))
    return folder / name


@pytest.mark.parametrize("number", sorted(envi_header.TYPES))
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(("interleave", "axes"), [("bsq", BSQ), ("BIL", BIL), ("Bip", BIP)])
def test_every_type_order_and_interleave(tmp_path: Path, number: int, order: int, interleave: str, axes: tuple[int, int, int]) -> None:
    dtype = np.dtype(envi_header.TYPES[number])
    cube = samples(SHAPE, dtype)
    data = cube.transpose(axes).astype(dtype.newbyteorder("<>"[order])).tobytes()
    head = PLAIN.replace("12", str(number)).replace("bsq", interleave) + f"byte order = {order}\nheader offset = 7\n"
    with open_cube(write(tmp_path, head, b"trailer" + data)) as source:
        assert source.dtype == dtype
        assert np.array_equal(source[:], cube)
        assert np.array_equal(source[1:3, 2, ::2], cube[1:3, 2, ::2])


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a.img", "a.hdr"),
        ("a.img", "a.img.hdr"),
        ("a", "a.hdr"),
        ("a.dat", "a.HDR"),
        ("A.BSQ", "A.HDR"),
        ("a.b.img", "a.b.hdr"),
        ("a.x", "a.x.hdr"),
    ],
)
def test_the_header_is_found_under_its_names(tmp_path: Path, name: str, beside: str) -> None:
    path = write(tmp_path, PLAIN, bytes(120), name, beside)
    for given_path in (path, tmp_path / beside):
        with open_cube(given_path) as source:
            assert source.path.samefile(path)
            assert source.header.samefile(tmp_path / beside)  # type: ignore[attr-defined]


def test_a_header_elsewhere_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, PLAIN, bytes(120), "a.img", "other.hdr")
    with pytest.raises(CubeError, match=r"no ENVI header|is not a cube"):
        open_cube(tmp_path / "a.img")
    with open_cube(tmp_path / "a.img", header=tmp_path / "other.hdr") as source:
        assert source.shape == SHAPE


TRAPS = """\
\ufeffENVI
; a comment = with an equals sign
description = {
  File made by somebody, with = signs;
  over lines }
SAMPLES   =   3
Lines=4
bands   = 5
Header  Offset = 0
file type = ENVI Standard
data type = 12
interleave = bsq
sensor type = Unknown
byte order = 0
map info = {UTM, 1.500, 2.000, 500030.0, 4999995.0, 30.0, 20.0, 33, South, WGS-84, units=Meters}
wavelength units = Micrometers
wavelength = {
 0.4, 0.5,
; a comment between
 0.6,
 0.7, 0.8
}
fwhm = { 0.01,0.01,0.01,0.01,0.02 }
band names = {one, two,
 three, four , five}
data ignore value = -9999
reflectance scale factor = 10000
bbl = {1,1,0,1,1}
"""


def test_traps(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_text(TRAPS.replace("\n", "\r\n"), "utf-8")
    (tmp_path / "a.img").write_bytes(bytes(120))
    with open_cube(tmp_path / "a.img") as source:
        info = source.info
    assert info.wavelengths == pytest.approx((400, 500, 600, 700, 800))
    assert info.fwhm == pytest.approx((10, 10, 10, 10, 20))
    assert info.band_names == ("one", "two", "three", "four", "five")
    assert info.nodata == -9999
    assert info.gain == (1e-4,) * 5
    assert info.georeference == Georeference((30.0, 0.0, 500015.0, 0.0, -20.0, 5000015.0), "EPSG:32733")
    assert info.metadata["bbl"] == "1,1,0,1,1"
    assert info.metadata["description"] == "File made by somebody, with = signs;\n  over lines"
    # written again, it has the same meaning in the original words
    again = envi_header.fields(envi_header.text(info, "bil").encode())
    assert envi_header.info(again, envi_header.layout(again)) == info.like(metadata={**info.metadata, "interleave": "bil"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("samples = 3", ""), "samples = nothing"),
        (("samples = 3", "samples = 0"), "samples = 0"),
        (("lines = 4", "lines = -4"), "lines = -4"),
        (("lines = 4", "lines = 1e3"), "1e3"),
        (("bands = 5", "bands = 99999999999999999999"), "expected an integer"),
        (("bands = 5", "bands = 65536"), "to 65535"),
        (("data type = 12", "data type = 7"), "data type = 7"),
        (("data type = 12", "data type = float"), "float"),
        (("interleave = bsq", "interleave = bsx"), "bsq, bil or bip"),
        (("interleave = bsq", ""), "bsq, bil or bip"),
        (("ENVI", "ENVY"), "first line"),
        (("bands = 5", "bands = 5\nbyte order = 2"), "byte order"),
        (("bands = 5", "bands = 5\ndescription = {never"), "never closed"),
        (("bands = 5", "bands = 5\nfile compression = 1"), "gunzip"),
        (("bands = 5", "bands = 5\nfile type = ENVI Meta File"), "Meta"),
        (("bands = 5", "bands = 5\nmajor frame offsets = {4, 0}"), "frame offsets"),
        (("bands = 5", "bands = 6"), "holds 120 bytes where a.hdr promises 144.*incomplete"),
        (("data type = 12", "data type = 1"), "holds 120 bytes where a.hdr promises 60"),
        (("bands = 5", "bands = 5\nheader offset = 1"), "promises 121"),
    ],
)
def test_a_bad_header_is_told_in_a_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    path = write(tmp_path, PLAIN.replace(*change), bytes(120))
    with pytest.raises(CubeError, match=says) as e:
        open_cube(path)
    assert "a.hdr" in str(e.value)
    assert len(str(e.value).splitlines()) == 1


def test_lists_of_a_wrong_length_are_left_as_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    head = PLAIN + "wavelength = {1, 2, 3}\nfwhm = {a, b, c, d, e}\ndata ignore value = none\nmap info = {Arbitrary, 1}\n"
    with caplog.at_level(logging.WARNING), open_cube(write(tmp_path, head, bytes(120))) as source:
        assert source.info.wavelengths is source.info.fwhm is source.info.nodata is source.info.georeference is None
        assert source.info.metadata["wavelength"] == "1, 2, 3"
    assert len(caplog.records) == 4


def test_wavelengths_without_a_unit_are_told_by_their_size() -> None:
    for text, nanometres in (("0.4, 2.5", (400, 2500)), ("400, 2500", (400, 2500))):
        parsed = envi_header.fields(f"ENVI\nsamples=1\nlines=1\nbands=2\ndata type=1\ninterleave=bip\nwavelength={{{text}}}".encode())
        assert envi_header.info(parsed, envi_header.layout(parsed)).wavelengths == pytest.approx(nanometres)


def test_wavenumbers_are_kept_as_they_are() -> None:
    parsed = envi_header.fields((PLAIN + "wavelength units = Wavenumber\nwavelength = {1,2,3,4,5}").encode())
    info = envi_header.info(parsed, envi_header.layout(parsed))
    assert info.wavelengths is None
    assert info.metadata["wavelength units"] == "Wavenumber"
    again = envi_header.fields(envi_header.text(info, "bsq").encode())
    assert again["wavelength"] == "1,2,3,4,5"


@given(angle=st.floats(-180, 180), dx=st.floats(0.1, 100), dy=st.floats(0.1, 100), column=st.floats(1, 50), row=st.floats(1, 50))
def test_a_turned_grid_goes_there_and_back(angle: float, dx: float, dy: float, column: float, row: float) -> None:
    where = envi_map_info.place(f"UTM, {column}, {row}, 500000, 5e6, {dx}, {dy}, 33, North, WGS-84, rotation={angle}", "")
    text = envi_header.text(described((2, 2, 2)).like(georeference=where), "bsq")
    parsed = envi_header.fields(text.encode())
    again = envi_header.info(parsed, envi_header.layout(parsed)).georeference
    assert again is not None
    assert again.crs == where.crs == "EPSG:32633"
    assert again.transform == pytest.approx(where.transform, rel=1e-9, abs=1e-6)


def test_a_grid_that_moved_is_written_where_it_is() -> None:
    parsed = envi_header.fields((PLAIN + "map info = {UTM, 1, 1, 500000, 5000000, 30, 30, 33, North, WGS-84}").encode())
    info = envi_header.info(parsed, envi_header.layout(parsed))
    moved = info.like(georeference=Georeference((30.0, 0.0, 500300.0, 0.0, -30.0, 5000000.0), "EPSG:32633"))
    again = envi_header.fields(envi_header.text(moved, "bsq").encode())
    assert envi_header.info(again, envi_header.layout(again)).georeference == moved.georeference


def test_a_type_that_envi_has_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(CubeError, match="float16"):
        create_cube(tmp_path / "a.img", CubeInfo((1, 2, 3), np.dtype("f2")))
    assert not list(tmp_path.iterdir())


def test_a_cube_that_shrinks_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN, bytes(120))
    with open_cube(path) as source:
        with open(path, "r+b") as f:
            f.truncate(60)
        assert source[0, 0, 0] == 0
        with pytest.raises(CubeError, match="shorter"):
            source[:]


def test_mutated_headers_are_read_or_told() -> None:
    survive(mutations(HEADER, 3000, seed=1))


def written(header: str) -> tuple[CubeInfo, CubeInfo, str]:
    """Return the metadata of a header, those of the header that is written from them, and that header's text."""
    parsed = envi_header.fields(header.encode())
    info = envi_header.info(parsed, envi_header.layout(parsed))
    text = envi_header.text(info, "bsq")
    again = envi_header.fields(text.encode())
    return info, envi_header.info(again, envi_header.layout(again)), text


@pytest.mark.parametrize("factor", ["10000", "0", "-inf", "7_0"])
def test_a_gain_is_written_beside_a_factor_that_says_another(factor: str) -> None:
    gain = (0.5, 0.25, 0.5, 0.5, 0.5)
    info, again, text = written(f"{PLAIN}data gain values = {{0.5, 0.25, 0.5, 0.5, 0.5}}\nreflectance scale factor = {factor}\n")
    assert info.gain == again.gain == gain
    assert f"reflectance scale factor = {factor}" in text


def test_a_factor_is_written_as_it_is() -> None:
    info, again, text = written(PLAIN + "reflectance scale factor = 10000\n")
    assert info.gain == again.gain == (1e-4,) * 5
    assert "data gain values" not in text


def test_the_unit_of_wavelengths_that_stay_as_text_stays(caplog: pytest.LogCaptureFixture) -> None:
    """FWHM in nanometres beside wavelengths in micrometres would be read a thousand times too large."""
    info, again, text = written(
        PLAIN + "wavelength units = Micrometers\nwavelength = {0.4, 0.5, 0.6, 0.7}\nfwhm = {0.01, 0.01, 0.01, 0.01, 0.01}\n"
    )
    assert "4 values for 5 bands" in caplog.text
    assert (info.wavelengths, info.fwhm) == (again.wavelengths, again.fwhm) == (None, None)
    assert "wavelength units = Micrometers" in text
    assert "fwhm = {0.01, 0.01, 0.01, 0.01, 0.01}" in text


@pytest.mark.parametrize(("unit", "kept"), [("{{a}, {b}}", "(a), (b)"), ("a}", "a)"), ("{a {b} c}", "a {b} c")])
def test_a_value_with_braces_is_kept(unit: str, kept: str) -> None:
    """Without their unit, the wavelengths would be read as nanometres."""
    info, again, _ = written(f"{PLAIN}wavelength units = {unit}\nwavelength = {{1, 2, 3, 4, 5}}\n")
    assert info.wavelengths is again.wavelengths is None
    assert again.metadata["wavelength units"] == kept
    assert again.metadata["wavelength"] == "1, 2, 3, 4, 5"


def test_a_coordinate_system_with_braces_keeps_the_grid() -> None:
    """Seed 35839 of the fuzz tests: without a system, such a grid counts pixels and lies nowhere."""
    info, again, _ = written(PLAIN + "map info = {Arbitrary, 1, 1, 0, 0, 1, 1}\ncoordinate system string = {{a}, {b}}\n")
    assert info.georeference is not None
    assert again.georeference == Georeference(info.georeference.transform, "(a), (b)")


def test_control_characters_are_blanks_before_a_value_is_read() -> None:
    """Otherwise a list that is no number would become one when it is written."""
    info, again, _ = written(PLAIN + "fwhm = {\x0110, 10, 10, 10, 10}\nsome\x01 name = a\x02 b\n")
    assert info.fwhm == again.fwhm == (10.0,) * 5
    assert info.metadata["some name"] == again.metadata["some name"] == "a  b"


def test_lines_that_are_no_fields_are_named() -> None:
    header = (PLAIN + "= 5\nsome words\n\n  \nsensor type = x\n").encode()
    parsed = envi_header.fields(header)
    assert "" not in parsed
    assert parsed["sensor type"] == "x"
    assert envi_header.unkept(header, parsed) == ("2 lines of its header that are no fields",)
    assert envi_header.unkept(b"ENVI\n \t; comment\n", {}) == ("comments in its header",)


@pytest.mark.parametrize(
    "more", [b"\n" * 600_000, b"\r\n" * 600_000, b"x = {" + b"1," * 600_000 + b"}", b"a = 1\n" * 40_000, b"x = " + b" " * (1 << 22)]
)
def test_a_header_of_too_many_parts_is_refused(more: bytes) -> None:
    with pytest.raises(CubeError, match=r"the header has (more than \d+ times '|\d+ bytes; the maximum is 4194304)"):
        envi_header.fields(PLAIN.encode() + more)


def test_a_header_of_the_most_bands_is_read() -> None:
    """One value a line, as some programs write them."""
    bands = 65535
    lists = {"wavelength": "0.400123", "fwhm": "0.010012", "band names": "Band of an imager", "data gain values": "1.0e-4"}
    text = PLAIN.replace("= 5", f"= {bands}") + "".join(
        f"{name} = {{\n" + ",\n".join([value] * bands) + "}\n" for name, value in lists.items()
    )
    parsed = envi_header.fields(text.encode())
    info = envi_header.info(parsed, envi_header.layout(parsed))
    assert info.wavelengths == (pytest.approx(400.123),) * bands
    assert info.gain == (1e-4,) * bands


def test_made_headers_mean_the_same_when_they_are_written() -> None:
    accepted = 0
    for seed in range(400):
        try:
            check_header(hostile_header(random.Random(seed)))
            accepted += 1
        except CubeError:
            pass
    assert 100 < accepted < 350
