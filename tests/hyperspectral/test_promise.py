"""A promise is verified, or it is an error: --psnr, --bpppc, fill values that are not declared, peaks that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefuse
from edgefuse.cli.main import main
from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral import compress
from edgefuse.hyperspectral.compressed_reader import Compressed
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.fills import likely_fills
from edgefuse.hyperspectral.formats import create_cube, open_cube
from edgefuse.hyperspectral.quality import Quality
from tests.hyperspectral.cubes import mixed


def written(path: Path, cube: Any, nodata: float | None = None) -> Path:
    with create_cube(path, CubeInfo(cube.shape, cube.dtype, nodata=nodata)) as sink:
        sink[:] = cube
    return path


def bordered(dtype: str, fill: float) -> Any:
    cube: Any = mixed((40, 40, 10), dtype)
    cube[:8] = fill
    return cube


def test_a_missed_psnr_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    cube = written(tmp_path / "a.npy", mixed((40, 40, 10)))
    honest = Compressed.each
    monkeypatch.setattr(Compressed, "each", lambda self, work, *how, **named: honest(self, lambda w, s: work(w, s + 20), *how, **named))
    with pytest.raises(CubeError, match=r"[0-9.]+ dB reached, 55 asked.*--psnr [0-9.]+ reaches it"):
        compress.compress_file(cube, tmp_path / "a.efz", Quality(psnr=55))
    assert not (tmp_path / "a.efz").exists()
    report = compress.compress_file(cube, tmp_path / "a.efz", Quality(psnr=55, allow_miss=True))
    assert "55 asked" in report["missed"]
    assert "55 asked" in caplog.text


@pytest.mark.parametrize(
    ("dtype", "fill"), [("int16", -9999), ("float32", -9999.0), ("float32", float(np.finfo("f4").min)), ("uint16", 65535)]
)
def test_a_fill_value_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, fill: float) -> None:
    cube = bordered(dtype, fill)
    path = written(tmp_path / "a.npy", cube)
    report = compress.compress_file(path, tmp_path / "a.efz", Quality(psnr=50))
    assert report["quality"]["psnr_db"] >= 50
    assert report["quality"]["samples"] == 32 * 40 * 10
    assert report["likely_fills"] == [{"value": fill, "share": 0.2}]
    assert f"--nodata={fill:.9g}" in caplog.text
    with open_cube(path) as source:
        assert [f.value for f in likely_fills(source)] == [fill]
    for nodata in (f"{fill:.9g}", "auto"):
        report = compress.compress_file(path, tmp_path / "b.efz", Quality(psnr=50, nodata=nodata))
        assert "likely_fills" not in report
        back = edgefuse.read_efz(tmp_path / "b.efz")
        assert back.info.nodata == fill
        assert np.array_equal(back.data == fill, cube == fill)


def test_nodata_for_files_and_arrays(tmp_path: Path) -> None:
    cube = bordered("int16", -9999)
    path = written(tmp_path / "a.npy", cube)
    assert edgefuse.read_efz(edgefuse.compress(path, bpppc=1, nodata=-9999)).info.nodata == -9999
    assert edgefuse.read_efz(edgefuse.compress(cube, bpppc=1, nodata="auto")).info.nodata == -9999
    with pytest.raises(CubeError, match=r"can't be 0\.5"):
        edgefuse.compress(path, nodata=0.5)
    with pytest.raises(SettingsError, match="expected a number or auto"):
        Quality(nodata="none")


def test_the_lowest_float_in_eight_digits_is_no_data(tmp_path: Path) -> None:
    cube = bordered("float32", float(np.finfo("f4").min))
    (tmp_path / "a.img").write_bytes(np.ascontiguousarray(cube.transpose(2, 0, 1)).tobytes())
    (tmp_path / "a.hdr").write_text(
        "ENVI\nsamples = 40\nlines = 40\nbands = 10\ndata type = 4\ninterleave = bsq\nbyte order = 0\ndata ignore value = -3.4028235e+38\n"
    )
    report = compress.compress_file(tmp_path / "a.img", tmp_path / "a.efz", Quality(psnr=60))
    assert report["quality"]["samples"] == 32 * 40 * 10
    assert "likely_fills" not in report


@pytest.mark.parametrize("scale", [1e-9, 1e4])
def test_a_peak_that_does_not_fit_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, scale: float) -> None:
    cube = (mixed((40, 40, 10), "float32") * scale).astype(np.float32)
    path = written(tmp_path / "a.npy", cube)
    report = compress.compress_file(path, tmp_path / "a.efz", Quality(psnr=45))
    assert report["quality"]["psnr_db"] == "inf" or report["quality"]["psnr_db"] >= 45
    assert "Give --peak in the samples' unit" in caplog.text
    # where more is lost than the figure suggests, an original stays
    assert report.get("doubts", []) == (
        [] if scale > 1 else [f"its largest sample is {cube.max():.4g}, and the peak of the quality 1: give --peak"]
    )
    caplog.clear()
    report = compress.compress_file(path, tmp_path / "a.efz", Quality(psnr=45, peak=float(cube.max())))
    assert not caplog.text
    back = edgefuse.decompress(tmp_path / "a.efz")
    assert np.mean((back.astype(float) - cube) ** 2) <= float(cube.max()) ** 2 / 10**4.5
    assert report["quality"]["peak"] == float(cube.max())


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.npy", mixed((20, 20, 6)))
    assert main(["compress", str(path), str(tmp_path / "a.efz"), "--bpppc", "0.001"]) == 2
    assert "--allow-miss" in capsys.readouterr().err
    assert not (tmp_path / "a.efz").exists()
    assert main(["compress", str(path), str(tmp_path / "a.efz"), "--bpppc", "0.001", "--allow-miss"]) == 0
    assert main(["compress", str(path), str(tmp_path / "a.efz"), "--psnr", "40", "--nodata=-9999", "--peak", "4000"]) == 0
    assert main(["batch", "compress", str(tmp_path), str(tmp_path / "out"), "--bpppc", "0.001"]) == 2


def test_complex_integers_are_told(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", height=8, width=8, count=1, dtype="complex_int16") as file,
    ):
        file.write(np.ones((1, 8, 8), "complex64"))
    with pytest.raises(CubeError, match="complex numbers"), open_cube(tmp_path / "a.tif"):
        pass


def test_netcdf_declares_its_fill_value(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file.create_dataset("reflectance", data=bordered("float32", -9999)).attrs["_FillValue"] = np.float32(-9999)
    with open_cube(tmp_path / "a.nc") as source:
        assert source.info.nodata == -9999
