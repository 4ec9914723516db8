"""`edgefuse sharpen` as a real process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgefuse.hyperspectral.cube import Georeference
from edgefuse.hyperspectral.formats import open_cube
from edgefuse.metrics.windows import WindowScore
from edgefuse.sharpening.psf import Psf
from edgefuse.util.arrays import Float32Array
from tests.cli.sharpening import BLUNT, FEW, SHARP, WAVES, write, written
from tests.conftest import Run, one_line
from tests.hyperspectral.test_crs import UTM_AS_ENVI
from tests.sharpening.scenes import image, low, psnr, scene, trend_only


@pytest.fixture
def truth(tmp_path: Path) -> Float32Array:
    return written(tmp_path)


def test_the_result_has_the_images_georeference_and_the_cubes_wavelengths(run: Run, truth: Float32Array, tmp_path: Path) -> None:
    done = run("sharpen", "low.img", "image.img", "out.img", "--json", "--truth", "truth.npy", "--uncertainty", "unsure.npy")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    with open_cube(tmp_path / "out.img") as out:
        assert out.info.georeference == SHARP
        assert out.info.wavelengths == WAVES
        assert out.info.metadata["sensor type"] == "EdgeFuse"
        assert psnr(out[:], truth) > psnr(trend_only(low(truth, Psf(4)), image(truth), Psf(4)), truth) + 1
        assert report["truth"]["psnr_whole_db"] == pytest.approx(psnr(out[:], truth), abs=1e-6)
        windows = WindowScore(30, 1.0)
        windows.add(truth, out[:])
        assert {k: report["truth"][k] for k in ("ssim", "uqi")} == pytest.approx(windows.result().as_json())
        assert "ssim" not in report["consistency"]
    assert report["consistency"]["psnr_db"] > 50
    assert report["shift_pixels"] == [0, 0]
    assert report["ratio"] == 4
    assert report["tile_predicted_s"] > 0
    with open_cube(tmp_path / "unsure.npy") as unsure:
        assert unsure.shape == (80, 72, 1)
        assert unsure.info.georeference == SHARP
        assert unsure[:].min() > 0


def test_a_text_report(run: Run, truth: Float32Array) -> None:
    done = run("sharpen", "low.img", "image.img", "out.npy", "--psf", "auto", "--coarse", "--tile", "32", "--truth", "truth.npy")
    assert done.returncode == 0, done.stderr
    assert "s a megapixel" in done.stdout
    assert "degrees" in done.stdout
    assert done.stdout.count("SSIM") == done.stdout.count("UQI") == 1
    assert not done.stderr


def test_the_papers_student(run: Run, truth: Float32Array, tmp_path: Path) -> None:
    common = "sharpen", "low.img", "image.img", "--model", "csakd-student"
    done = run(*common, "out.npy", "--truth", "truth.npy", "--json", "--tile", "48")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["tiles"] == 4
    assert report["tile_predicted_s"] > 0
    with open_cube(tmp_path / "out.npy") as out:
        assert report["truth"]["psnr_whole_db"] == pytest.approx(psnr(out[:], truth), abs=1e-6)
    for more, told in (
        (("--uncertainty", "unsure.npy"), "leave out --uncertainty"),
        (("--coarse",), "--coarse is an option of sharpen-edge"),
    ):
        done = run(*common, "none.npy", *more)
        assert done.returncode == 2
        assert told in one_line(done.stderr)
        assert not list(tmp_path.glob("none*"))
        assert not list(tmp_path.glob("unsure*"))


def test_integer_types_and_no_data_are_kept(run: Run, tmp_path: Path) -> None:
    cube = scene(80, 80) * 10000
    counts = np.rint(low(cube, Psf(4))).astype(np.int16)
    counts[3, 5] = -1
    write(tmp_path / "low.npy", counts, nodata=-1)
    write(tmp_path / "image.npy", image(cube))
    assert run("sharpen", "low.npy", "image.npy", "out.npy").returncode == 0
    with open_cube(tmp_path / "out.npy") as out:
        assert (out.dtype, out.info.nodata) == (np.int16, -1)
        missing = (out[:] == -1).all(2)
    assert missing[12:16, 20:24].all()
    assert missing.sum() == 16


def test_one_coordinate_system_in_two_spellings(run: Run, truth: Float32Array, tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    write(tmp_path / "low.img", low(truth, Psf(4)), georeference=Georeference(BLUNT.transform, UTM_AS_ENVI))
    write(tmp_path / "image.tif", image(truth), georeference=SHARP)
    done = run("sharpen", "low.img", "image.tif", "out.img")
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_bands_without_data_are_no_data_in_the_result(run: Run, tmp_path: Path) -> None:
    cube = scene(80, 80) * 10000
    counts = np.rint(low(cube, Psf(4))).astype(np.int16)
    counts[..., 20:22] = -32768
    write(tmp_path / "low.img", counts, nodata=-32768, wavelengths=WAVES)
    write(tmp_path / "image.img", image(cube), wavelengths=FEW)
    np.save(tmp_path / "truth.npy", cube)
    done = run("sharpen", "low.img", "image.img", "out.img", "--json", "--truth", "truth.npy", "--uncertainty", "unsure.img")
    assert done.returncode == 0, done.stderr
    assert "2 of 30 bands" in one_line(done.stderr)
    with open_cube(tmp_path / "out.img") as out:
        assert out.info.wavelengths == WAVES
        missing = out[:] == -32768
    assert missing[..., 20:22].all()
    assert missing.sum() == 2 * 80 * 80
    report = json.loads(done.stdout)
    assert report["truth"]["pixels"] == 80 * 80
    assert report["truth"]["psnr_db"] > 25
    assert report["consistency"]["psnr_db"] > 40
