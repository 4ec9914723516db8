"""`edgefuse sharpen` with unusable or borderline input: a clear error or a correct result."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.hyperspectral.cube import Georeference
from edgefuse.hyperspectral.formats import open_cube
from edgefuse.sharpening.psf import Psf
from edgefuse.util.arrays import Float32Array
from tests.cli.sharpening import FEW, SHARP, WAVES, write, written
from tests.conftest import Run, one_line
from tests.sharpening.scenes import image, low, scene
from tests.support.processes import ended, until

DEADLINE_S = 300.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    truth = written(folder)
    lr, hr = low(truth, Psf(4)), image(truth)

    def holed(samples: Float32Array, value: float, *place: Any) -> Float32Array:
        changed = samples.copy()
        changed[place] = value
        return changed

    turned = hr.copy()
    turned[..., 1] = turned[..., 1].max() - turned[..., 1]
    away = Georeference((10.0, 0.0, 505000.0, 0.0, -10.0, 5000000.0), "EPSG:32633")
    beside = Georeference((10.0, 0.0, 500400.0, 0.0, -10.0, 5000000.0), "EPSG:32633")
    for name, samples, known in (
        ("odd.npy", hr[:79], {}),
        ("away.img", hr, {"georeference": away}),
        ("beside.img", hr, {"georeference": beside}),
        ("other.img", hr, {"georeference": Georeference(SHARP.transform, "EPSG:32632")}),
        ("one.npy", truth[:1, :1], {}),
        ("order.img", turned, {"wavelengths": FEW}),
        ("order.npy", hr[..., ::-1], {}),
        ("swir.img", hr, {"wavelengths": (1370.0, 1620.0, 1780.0, 1920.0)}),
        ("backwards.img", lr[..., ::-1], {"wavelengths": WAVES}),
        ("mirrored.npy", hr[:, ::-1], {}),
        ("noise.npy", np.random.default_rng(0).random(hr.shape, np.float32), {}),
        ("nan.npy", holed(lr, np.nan, 3, 3, 5), {}),
        ("all-nan.npy", np.full_like(hr, np.nan), {}),
        ("inf.npy", holed(hr, np.inf, slice(8, 12)), {}),
        ("fill.npy", holed(hr, -9999, slice(8, 12)), {"nodata": -9999}),
        ("untold.npy", holed(hr, -9999, slice(8, 12)), {}),
        ("untold-but-two.npy", holed(holed(lr, -9999, slice(2, 4)), 0, Ellipsis, slice(0, 2)), {}),
        ("black.npy", holed(lr, 0, slice(0, 4)), {}),
        ("black-told.npy", holed(lr, 0, slice(0, 4)), {"nodata": 0}),
        ("counts.npy", np.rint(lr * 10000).astype(np.uint16), {}),
        ("flat.npy", np.full_like(lr, 0.25), {}),
        ("flat-image.npy", np.full_like(hr, 0.25), {}),
        ("many.npy", np.repeat(hr, 8, 2), {}),
        ("huge.npy", hr * 1e20, {}),
        ("complex.npy", hr.astype(np.complex64), {}),
    ):
        write(folder / name, np.ascontiguousarray(samples), **known)
    for name in ("low.img", "truth.npy"):
        (folder / f"cut-{name}").write_bytes((folder / name).read_bytes()[:-1000])
    (folder / "cut-low.img.hdr").write_bytes((folder / "low.img.hdr").read_bytes())
    (folder / "text.img").write_text("no cube")
    return folder


@pytest.fixture
def at(files: Path, tmp_path: Path) -> Path:
    """Write the input files into `run`'s working folder."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


REFUSALS = {
    "low.img odd.npy out.npy": "not one whole number",
    "low.img away.img out.npy": "do not cover the same ground",
    "low.img beside.img out.npy": "do not show the same scene",
    "low.img other.img out.npy": "gdalwarp",
    "one.npy one.npy out.npy": "too small",
    "one.npy image.img out.npy": "too small",
    "low.img order.img out.npy": "not in the order of its wavelengths",
    "backwards.img image.img out.npy": "not in the order of its wavelengths",
    "low.img mirrored.npy out.npy": "mirrored",
    "low.img noise.npy out.npy": "do not show the same scene",
    "low.img flat-image.npy out.npy": "do not show the same scene",
    "image.img low.img out.npy": "give the cube first",
    "image.img many.npy out.npy": "give the cube, which has more bands, first",
    "low.img all-nan.npy out.npy": "without missing samples",
    "low.img untold.npy out.npy": "are -9999 in every band",
    "untold-but-two.npy image.img out.npy": "are -9999 in most bands",
    "low.img huge.npy out.npy": "scale the cube",
    "low.img complex.npy out.npy": "complex",
    "cut-low.img image.img out.npy": "incomplete",
    "cut-truth.npy image.img out.npy": "incomplete",
    "text.img image.img out.npy": "not a cube in a supported format",
    "nothing.img image.img out.npy": "nothing.img",
    "low.img . out.npy": "cannot read .",
    "low.img image.img out.npy --tile 30": "--tile 30",
    "low.img image.img out.npy --psf wide": "--psf wide",
    "low.img image.img out.npy --model other": "sharpen-edge",
    "low.img image.img out.npy --threads -1": "--threads -1",
    "low.img image.img out.npy --truth low.img": "on the image's grid",
    "low.img image.img out.npy --uncertainty out.npy": "written twice",
    "low.img image.img low.img": "choose another name",
    "low.img image.img ./image.img": "choose another name",
    "low.img image.img text.img/out.npy": "a file is there, not a folder",
    "low.img image.img /proc/none/out.npy": "cannot write /proc/none",
}


@pytest.mark.parametrize("arguments", list(REFUSALS))
def test_unusable_input_is_a_one_line_error(run: Run, at: Path, arguments: str) -> None:
    before = {p.name for p in at.iterdir()}
    done = run("sharpen", *arguments.split())
    assert done.returncode == 2
    assert REFUSALS[arguments] in one_line(done.stderr)
    assert {p.name for p in at.iterdir()} == before


def test_no_permission_is_a_one_line_error(run: Run, at: Path) -> None:
    (at / "locked").mkdir(mode=0o500)
    try:
        (at / "locked/probe").touch()
    except PermissionError:
        done = run("sharpen", "low.img", "image.img", "locked/out.npy")
        assert done.returncode == 2
        assert "no permission" in one_line(done.stderr)
    else:
        pytest.skip("this user may write anywhere")


@pytest.mark.parametrize(
    ("cube", "picture", "missing", "told"),
    [
        ("low.img", "order.npy", 0, ""),  # its bands have no names, so any order is acceptable
        ("low.img", "swir.img", 0, ""),  # outside the cube's wavelengths, but it explains the cube
        ("nan.npy", "image.img", 16, ""),
        ("low.img", "inf.npy", 4 * 72, ""),
        ("low.img", "fill.npy", 4 * 72, ""),
        ("black-told.npy", "image.img", 16 * 72, ""),
        ("counts.npy", "inf.npy", 0, "288 pixels are missing in the cube or the image and are written as 0"),
        ("black.npy", "image.img", 0, "0 in every band"),
    ],
)
def test_borderline_input_gives_a_correct_result_or_a_warning(run: Run, at: Path, cube: str, picture: str, missing: int, told: str) -> None:
    done = run("sharpen", cube, picture, "out.npy", "--truth", "truth.npy", "--json")
    assert done.returncode == 0, done.stderr
    assert told in one_line(done.stderr) if told else not done.stderr
    with open_cube(at / "out.npy") as out:
        nodata, samples = out.info.nodata, out[:]
    gone = np.isnan(samples) if nodata is None and samples.dtype.kind == "f" else samples == (nodata if nodata is not None else -1)
    assert gone.any(2).sum() == missing
    if cube not in ("black.npy", "counts.npy"):
        assert json.loads(done.stdout)["truth"]["psnr_whole_db"] > 40


def test_the_images_no_data_value_is_used_where_the_cube_has_none(run: Run, at: Path) -> None:
    assert run("sharpen", "low.img", "fill.npy", "out.npy").returncode == 0
    with open_cube(at / "out.npy") as out:
        assert out.info.nodata == -9999
        assert (out[8:12] == -9999).all()


def test_a_flat_cube_stays_flat(run: Run, at: Path) -> None:
    for picture in ("image.img", "flat-image.npy"):
        assert run("sharpen", "flat.npy", picture, "out.npy").returncode == 0
        np.testing.assert_allclose(np.load(at / "out.npy"), 0.25, atol=1e-6)


def test_interrupting_leaves_no_files(tmp_path: Path) -> None:
    cube = np.tile(scene(128, 128, 60), (4, 4, 1))
    np.save(tmp_path / "low.npy", low(cube, Psf(4)))
    np.save(tmp_path / "image.npy", image(cube))
    command = [sys.executable, "-m", "edgefuse", "sharpen", "low.npy", "image.npy", "out.img", "--uncertainty", "unsure.img"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: len(list(tmp_path.glob(".*.part"))) >= 2, process, "both outputs to be begun", DEADLINE_S)
    process.send_signal(signal.SIGINT)
    out, err = ended(process, "the end of the command", DEADLINE_S)
    assert (process.returncode, out) == (130, "")
    assert one_line(err) == "edgefuse: interrupted"
    assert {p.name for p in tmp_path.iterdir()} == {"low.npy", "image.npy"}
