"""A cube is read as it was written, for every format, type, order and shape."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgefuse.errors import CubeError, OutputError, SettingsError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import FORMATS, create_cube, open_cube
from tests.hyperspectral.cubes import described, samples

NAMES = {
    "bsq": "a.img", "bil": "a.bil", "bip": "a.bip", "npy": "a.npy", "npz": "a.npz", "mat": "a.mat", "tiff": "a.tif", "hdf5": "a.h5",
    "netcdf": "a.nc",
}  # fmt: skip
NEEDS = {"mat": "h5py", "tiff": "rasterio", "hdf5": "h5py", "netcdf": "h5py"}
INTEGERS_AND_FLOATS = ("u1", "i2", "u2", "i4", "u4", "f4", "f8")


def needs(form: str) -> None:
    if form in NEEDS:
        pytest.importorskip(NEEDS[form])


def parts(info: CubeInfo) -> dict[str, Any]:
    """Return what must be preserved; of the metadata only the given keys, because a format may add its own."""
    return {name: getattr(info, name) for name in CubeInfo.__slots__ if name != "metadata"}


@pytest.mark.parametrize("form", NAMES)
def test_samples_and_meaning_survive(tmp_path: Path, form: str) -> None:
    needs(form)
    shape = (37, 29, 11)
    info, cube, path = described(shape), samples(shape), tmp_path / NAMES[form]
    with create_cube(path, info) as sink:
        sink[20:, :15] = cube[20:, :15]
        sink[:20] = cube[:20]
        sink[20:, 15:, :4] = cube[20:, 15:, :4]
        sink[20:, 15:, 4:] = cube[20:, 15:, 4:]
    with open_cube(path) as source:
        assert np.array_equal(source[:], cube)
        assert parts(source.info) == parts(info)
        assert source.info.metadata.items() >= info.metadata.items()
        assert set(source.files) == set(sink.files)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in sink.files}


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("second", ["bil", "tiff", "npy"])
def test_meaning_survives_from_format_to_format(tmp_path: Path, first: str, second: str) -> None:
    needs(first)
    needs(second)
    info, cube = described((5, 4, 3)), samples((5, 4, 3))
    names = [tmp_path / NAMES[first], tmp_path / f"b{Path(NAMES[second]).suffix}", tmp_path / f"c{Path(NAMES[first]).suffix}"]
    with create_cube(names[0], info) as sink:
        sink[:] = cube
    for a, b in pairwise(names):
        with open_cube(a) as source, create_cube(b, source.info) as sink:
            sink[:] = source[:]
    with open_cube(names[2]) as source:
        assert np.array_equal(source[:], cube)
        assert parts(source.info) == parts(info)
        assert source.info.metadata.items() >= info.metadata.items()


@pytest.mark.parametrize("form", NAMES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_type_shape_and_window(form: str, data: st.DataObject) -> None:
    needs(form)
    kinds = INTEGERS_AND_FLOATS + (("c8", "c16", "i8", "u8") if form in ("bsq", "bil", "bip", "npy", "npz") else ())
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(3))
    cube = samples(shape, data.draw(st.sampled_from(kinds)), data.draw(st.integers(0, 99)))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAMES[form])
        with create_cube(path, CubeInfo(cube.shape, cube.dtype)) as sink:
            rows, columns = (data.draw(st.integers(0, n)) for n in shape[:2])
            for window in ((slice(rows), slice(None)), (slice(rows, None), slice(columns, None)), (slice(rows, None), slice(columns))):
                sink[window] = cube[window]
        with open_cube(path) as source:
            assert (source.shape, source.dtype) == (cube.shape, cube.dtype)
            assert np.array_equal(source[:], cube)
            key = tuple(data.draw(_keys(n)) for n in shape[: data.draw(st.integers(1, 3))])
            assert np.array_equal(source[key], cube[key])


def _keys(n: int) -> st.SearchStrategy[Any]:
    return st.one_of(st.integers(-n, n - 1), st.slices(n))


def test_envi_is_written_as_it_came(tmp_path: Path) -> None:
    for first, second, form in (("a.bil", "b.npy", "ENVI bil"), ("a.bip", "b.img", "ENVI bip"), ("a.img", "b.bil", "ENVI bsq")):
        for a, b in pairwise((first, second, "c.img")):
            if a == first:
                with create_cube(tmp_path / a, described((3, 4, 5))) as sink:
                    sink[:] = samples((3, 4, 5))
            with open_cube(tmp_path / a) as source, create_cube(tmp_path / b, source.info) as sink:
                sink[:] = source[:]
        with open_cube(tmp_path / "c.img") as source:
            assert source.form == (form if second != "b.bil" else "ENVI bil")
            assert np.array_equal(source[:], samples((3, 4, 5)))


def test_slices_as_an_array_does(tmp_path: Path) -> None:
    cube = samples((6, 5, 4))
    with create_cube(tmp_path / "a.npy", CubeInfo(cube.shape, cube.dtype)) as sink:
        sink[...] = cube
    with open_cube(tmp_path / "a.npy") as source:
        for key in (np.s_[..., 2], np.s_[1, ...], np.s_[::-2, 1:3], np.s_[2:2], 3, np.s_[:, -1, ::3]):
            assert np.array_equal(source[key], cube[key])
        assert np.array_equal(np.asarray(source), cube)
        for bad in (6, np.s_[:, :, :, 0], np.s_[0, -6]):
            with pytest.raises(IndexError):
                source[bad]


@pytest.mark.parametrize("form", NAMES)
def test_nothing_appears_and_the_old_one_stays_when_writing_fails(tmp_path: Path, form: str) -> None:
    needs(form)
    path, info = tmp_path / NAMES[form], CubeInfo((3, 4, 5), np.dtype("u2"))
    with create_cube(path, info) as sink:
        sink[:] = 7
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="broadcast"), create_cube(path, info) as sink:
        sink[:2] = np.zeros((7, 7, 7))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("form", NAMES)
def test_a_file_cut_short_is_one_line(tmp_path: Path, form: str) -> None:
    needs(form)
    path, info = tmp_path / NAMES[form], CubeInfo((40, 40, 30), np.dtype("u2"))
    with create_cube(path, info) as sink:
        sink[:] = samples(info.shape)
    whole = path.read_bytes()
    for keep in (len(whole) - 1, len(whole) // 2, 600, 100, 9):
        path.write_bytes(whole[:keep])
        with pytest.raises(CubeError) as e, open_cube(path) as source:
            assert source[:].shape
        assert len(str(e.value).splitlines()) == 1
        assert NAMES[form] in str(e.value)


def test_what_is_no_cube_is_told(tmp_path: Path) -> None:
    for name, data in (
        ("a.txt", b"hello"),
        ("empty", b""),
        ("b.npy", b"\x93NUMPY"),
        ("c.npz", b"PK\3\4"),
        ("d.mat", b"MATLAB 5.0 MAT-file"),
    ):
        (tmp_path / name).write_bytes(data)
        if name == "d.mat":
            pytest.importorskip("scipy")
        with pytest.raises(CubeError, match=name):
            open_cube(tmp_path / name)
    with pytest.raises(CubeError, match="missing"):
        open_cube(tmp_path / "missing.npy")
    with pytest.raises(CubeError):
        open_cube(tmp_path)
    with pytest.raises(SettingsError, match="envi, npy"):
        create_cube(tmp_path / "a.png", described((2, 2, 2)), "png")
    with pytest.raises(OutputError):
        create_cube(tmp_path, described((2, 2, 2)), "npy")


def test_every_format_is_tested() -> None:
    assert {"envi" if f in ("bsq", "bil", "bip") else f for f in NAMES} | {"cog"} == set(FORMATS)  # test_cog.py
