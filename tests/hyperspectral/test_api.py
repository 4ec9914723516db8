"""`edgefuse.open_cube`, `compress`, `decompress` and `read_efz` with arrays, files and invalid arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefuse
from edgefuse.hyperspectral.formats import create_cube
from tests.conftest import one_line
from tests.hyperspectral.cubes import described, mixed, scene

CUBE = scene()
FLOATS = mixed((24, 20, 9), "float32")


def damaged(efz: bytes) -> bytes:
    """Return the data with a bit in the middle flipped."""
    at = len(efz) // 2
    return efz[:at] + bytes([efz[at] ^ 1]) + efz[at + 1 :]


def test_lossless_is_the_default() -> None:
    efz = edgefuse.compress(CUBE)
    assert len(efz) < CUBE.nbytes
    back = edgefuse.decompress(efz)
    assert back.dtype == CUBE.dtype
    assert np.array_equal(back, CUBE)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", ">u2", "<u2"])
def test_integer_types_and_byte_orders(kind: str) -> None:
    cube = (CUBE >> 7).astype(kind) if kind.endswith("8") else CUBE.astype(kind)
    assert np.array_equal(edgefuse.decompress(edgefuse.compress(cube)), cube)


def test_what_was_asked_for_is_held() -> None:
    assert np.abs(edgefuse.decompress(edgefuse.compress(CUBE, max_error=3)).astype(int) - CUBE).max() <= 3
    big = scene((64, 64, 30))
    assert 8 * len(edgefuse.compress(big, bpppc=2)) <= 2 * big.size
    off = edgefuse.decompress(edgefuse.compress(FLOATS, psnr=40)) - FLOATS
    assert -10 * np.log10(np.mean(np.square(off, dtype=np.float64))) >= 40


def test_layout_does_not_matter() -> None:
    turned = CUBE.transpose(1, 0, 2)[:, ::-1]
    assert np.array_equal(edgefuse.decompress(edgefuse.compress(turned)), turned)


def test_missing_samples_come_back_missing() -> None:
    cube = FLOATS.copy()
    cube[2, 3, 4], cube[5, 6, 7] = np.nan, np.inf
    back = edgefuse.decompress(edgefuse.compress(cube, psnr=50))
    assert np.array_equal(np.isnan(back), np.isnan(cube))
    assert np.array_equal(np.isinf(back), np.isinf(cube))
    counts = CUBE.copy()
    counts[1:3] = 65535
    efz = edgefuse.compress(counts, nodata=65535, max_error=9)
    assert np.array_equal(edgefuse.decompress(efz) == 65535, counts == 65535)
    assert edgefuse.read_efz(efz).info.nodata == 65535


def test_files_and_arrays_are_one(tmp_path: Path) -> None:
    cube, efz, back = tmp_path / "a.npy", tmp_path / "a.efz", tmp_path / "b.npy"
    np.save(cube, CUBE)
    report = edgefuse.compress(str(cube), efz)
    assert report["bytes"]["efz"] == efz.stat().st_size
    assert np.array_equal(edgefuse.decompress(edgefuse.compress(cube)), CUBE)
    assert np.array_equal(edgefuse.decompress(str(efz)), CUBE)
    assert edgefuse.decompress(efz, str(back))["lost"] == []
    assert np.array_equal(np.load(back), CUBE)
    edgefuse.compress(CUBE, tmp_path / "array.efz")
    assert np.array_equal(edgefuse.decompress(tmp_path / "array.efz"), CUBE)
    assert edgefuse.decompress(efz.read_bytes(), back)["cube"] == str(back)
    with edgefuse.open_cube(cube) as opened:
        assert np.array_equal(opened[2:4, :, 5], CUBE[2:4, :, 5])
        assert np.array_equal(edgefuse.decompress(edgefuse.compress(opened)), CUBE)


def test_what_a_file_says_of_its_cube_is_kept(tmp_path: Path) -> None:
    info = described(CUBE.shape)
    with create_cube(tmp_path / "a.img", info) as sink:
        sink[:, :, :] = CUBE
    efz_cube = edgefuse.read_efz(edgefuse.compress(tmp_path / "a.img"))
    assert efz_cube.lost == ()
    assert efz_cube.info.wavelengths == pytest.approx(info.wavelengths)
    assert efz_cube.info.georeference == info.georeference
    told = edgefuse.read_efz(edgefuse.compress(CUBE, wavelengths=range(400, 412)))
    assert told.info.wavelengths == tuple(range(400, 412))


def test_a_damaged_file_is_refused_or_read_as_far_as_it_goes(tmp_path: Path) -> None:
    efz = damaged(edgefuse.compress(CUBE))
    (tmp_path / "a.efz").write_bytes(efz)
    for given in (efz, tmp_path / "a.efz"):
        with pytest.raises(edgefuse.CubeError, match=r"is damaged: 1 of its tiles are lost; keep_intact=True gives the others"):
            edgefuse.decompress(given)
        efz_cube = edgefuse.read_efz(given, keep_intact=True)
        assert efz_cube.lost == ((slice(0, 24), slice(0, 20), slice(0, 12)),)
        assert not efz_cube.data.any()
    with pytest.raises(edgefuse.CubeError, match="damaged"):
        edgefuse.decompress(efz, tmp_path / "b.npy")
    assert not (tmp_path / "b.npy").exists()
    assert len(edgefuse.decompress(efz, tmp_path / "b.npy", keep_intact=True)["lost"]) == 1


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (None, "cube is NoneType; give a NumPy array, the path of a cube file, or what open_cube returned"),
        ([[[1]]], "cube is list"),
        (b"abc", "cube is bytes"),
        (CUBE[0], r"shape \(20, 12\); expected \(rows, columns, bands\)"),
        (np.zeros((0, 3, 3)), r"shape \(0, 3, 3\)"),
        (CUBE.astype(object), "type object"),
        (CUBE > 9, "type bool"),
        (CUBE.astype(complex), "complex"),
        (CUBE.astype(np.float16), "float16"),
        (CUBE.astype(np.int64), "int64"),
        (CUBE.astype("M8[s]"), "datetime64"),
        (np.ma.MaskedArray(CUBE), "masked"),
        (np.full((8, 8, 4), 1e20), "beyond 1e"),
        ("/none/such.npy", "cannot read /none/such.npy"),
    ],
)
def test_what_is_no_cube_is_one_line(bad: Any, words: str) -> None:
    with pytest.raises(edgefuse.CubeError, match=words) as caught:
        edgefuse.compress(bad, psnr=40)
    one_line(str(caught.value))


@pytest.mark.parametrize(
    ("cube", "options", "words"),
    [
        (np.ones((3, 3, 3), np.uint8), {"relative_error": 0.1}, "relative_error is for floats"),
        (CUBE, {"bpppc": 1, "psnr": 40}, "give only one of them"),
        (CUBE, {"bpppc": -1}, "-1"),
        (CUBE, {"bpppc": float("nan")}, "nan"),
        (CUBE, {"psnr": "high"}, "psnr is 'high'; give a number"),
        (CUBE, {"max_error": True}, "max_error is True; give a number"),
        (CUBE, {"psnr": 40, "model": "zip"}, "unknown codec 'zip'"),
        (CUBE, {"nodata": -1}, "can't be -1, so none is missing"),
        (CUBE, {"nodata": "none"}, "can't be 'none'"),
        (CUBE, {"wavelengths": [400]}, "1 wavelengths for 12 bands"),
        (CUBE, {"wavelengths": ["red"] * 12}, "not all finite numbers"),
        (CUBE, {"wavelengths": [np.nan] * 12}, "not all finite numbers"),
        (CUBE, {"dataset": "cube"}, "dataset='cube'"),
        (CUBE, {"out": "/proc/none/a.efz"}, "cannot write /proc/none"),
    ],
)
def test_a_bad_option_is_one_line(cube: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(edgefuse.InputError, match=words) as caught:
        edgefuse.compress(cube, **options)
    one_line(str(caught.value))


def test_options_of_arrays_are_not_for_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CUBE)
    with pytest.raises(edgefuse.SettingsError, match="nodata and wavelengths are for arrays"):
        edgefuse.compress(tmp_path / "a.npy", wavelengths=[400.0] * 12)
    with pytest.raises(edgefuse.SettingsError, match="is the cube that is read"):
        edgefuse.compress(tmp_path / "a.npy", tmp_path / "a.npy")
    edgefuse.compress(CUBE, tmp_path / "a.efz")
    with pytest.raises(edgefuse.SettingsError, match="is the file that is read"):
        edgefuse.decompress(tmp_path / "a.efz", tmp_path / "a.efz")
    with pytest.raises(edgefuse.SettingsError, match="is bytes; give a path as text"):
        edgefuse.compress(CUBE, b"a.efz")  # type: ignore[call-overload]


@pytest.mark.parametrize("bad", [None, 3, CUBE, b"", b"EFZ", b"nothing of ours", "/none/such.efz"])
def test_what_is_no_efz_is_one_line(bad: Any) -> None:
    for reads in (edgefuse.decompress, edgefuse.read_efz):
        with pytest.raises(edgefuse.CubeError) as caught:
            reads(bad)
        one_line(str(caught.value))
