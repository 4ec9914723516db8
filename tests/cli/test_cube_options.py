"""--dataset, --axes, --nodata, --wavelengths, --window and --bands: alike in compress, batch, sharpen, info and Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefuse
from edgefuse.cli.main import main
from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.formats import create_cube
from tests.hyperspectral.cubes import described, scene

SHAPE = (12, 10, 6)
AXES = "bands,rows,columns"


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """A .npz of two arrays, bands first, and a file of wavelengths."""
    folder = tmp_path / "in"
    folder.mkdir()
    np.savez(folder / "a.npz", counts=scene(SHAPE).transpose(2, 0, 1), other=np.zeros((2, 3, 4), np.uint8))
    (tmp_path / "nm.txt").write_text("400 410 420 430 440 450")
    return folder / "a.npz"


def _options(turned: Path) -> list[str]:
    wavelengths = turned.parent.parent / "nm.txt"
    return ["--dataset", "counts", "--axes", AXES, "--wavelengths", str(wavelengths), "--window", "2:,:8", "--bands", "1:4"]


def test_all_options_in_all_commands(turned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, part = _options(turned), scene(SHAPE)[2:, :8, 1:4]
    assert main(["info", str(turned), *options, "--nodata", "7", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shape"] == list(part.shape)
    assert (facts["wavelengths"], facts["nodata"]) == ([410, 420, 430], 7)
    assert main(["compress", str(turned), str(tmp_path / "a.efz"), *options, "--nodata", "7"]) == 0
    assert main(["batch", "compress", str(turned.parent), str(tmp_path / "out"), *options, "--nodata", "7", "--jobs", "1"]) == 0
    capsys.readouterr()
    for path in (tmp_path / "a.efz", tmp_path / "out/a.npz.efz"):
        back = edgefuse.read_efz(path)
        assert np.array_equal(back.data, part)
        assert (back.info.wavelengths, back.info.nodata) == ((410.0, 420.0, 430.0), 7)
    # another part is another job
    again = ["batch", "compress", str(turned.parent), str(tmp_path / "out"), "--dataset", "counts", "--axes", AXES, "--jobs", "1", "--json"]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 1
    assert edgefuse.read_efz(tmp_path / "out/a.npz.efz").data.shape == SHAPE
    with edgefuse.open_cube(
        turned,
        "counts",
        axes=AXES,
        nodata=7,
        wavelengths=[400, 410, 420, 430, 440, 450],
        window=(slice(2, None), slice(8)),
        bands=slice(1, 4),
    ) as cube:
        assert np.array_equal(cube[:], part)
        assert (cube.info.wavelengths, cube.info.nodata) == ((410.0, 420.0, 430.0), 7)
        assert np.array_equal(edgefuse.decompress(edgefuse.compress(cube)), part)


def test_both_files_of_a_sharpening(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = scene((64, 64, 8)).astype(np.float32)
    low = truth.reshape(16, 4, 16, 4, 8).mean((1, 3))
    image = np.stack([truth[..., :4].mean(2), truth[..., 4:].mean(2)], 2)
    np.save(tmp_path / "low.npy", low)
    np.save(tmp_path / "image.npy", image)
    np.savez(tmp_path / "low.npz", counts=low.transpose(2, 0, 1), other=np.zeros((2, 3, 4)))
    np.savez(tmp_path / "image.npz", rgb=image.transpose(2, 0, 1), other=np.zeros((2, 3, 4)))
    assert main(["sharpen", str(tmp_path / "low.npy"), str(tmp_path / "image.npy"), str(tmp_path / "a.npy"), "--threads", "1"]) == 0
    named = ["--dataset", "counts", "--axes", AXES, "--image-dataset", "rgb", "--image-axes", AXES, "--threads", "1"]
    assert main(["sharpen", str(tmp_path / "low.npz"), str(tmp_path / "image.npz"), str(tmp_path / "b.npy"), *named]) == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    (tmp_path / "pairs").mkdir()
    for name in ("low", "image"):
        (tmp_path / f"{name}.npz").rename(tmp_path / "pairs" / f"scene_{'hsi' if name == 'low' else 'msi'}.npz")
    batch = ["batch", "sharpen", str(tmp_path / "pairs"), str(tmp_path / "sharp"), *named, "--format", "npy", "--jobs", "1"]
    assert main([*batch, "--bands", "2:5"]) == 0
    capsys.readouterr()
    assert np.load(tmp_path / "sharp/scene_hsi.npz.npy").shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--axes", "rows,columns"], "expected rows, columns and bands"),
        (["--axes", "rows,columns,rows"], "expected rows, columns and bands"),
        (["--nodata=-9999"], "can't be -9999"),
        (["--nodata", "none"], "expected a number or auto"),
        (["--bands", "19:22"], "the window is empty"),
        (["--dataset", "nothing"], "nothing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(turned: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = options if "--dataset" in options else [*options, "--dataset", "counts"]
    status: object
    try:
        status = main(["info", str(turned), *given])
    except SystemExit as e:  # argparse
        status = e.code
    assert status == 2
    assert words in capsys.readouterr().err


def test_axes_that_a_file_tells_are_not_turned(tmp_path: Path) -> None:
    for name in ("a.npy", "a.img"):
        with create_cube(tmp_path / name, described(SHAPE)) as sink:
            sink[:] = scene(SHAPE)
    with pytest.raises(CubeError, match="axes are known; omit --axes"):
        edgefuse.open_cube(tmp_path / "a.npy", axes=AXES)
    with pytest.raises(CubeError, match="its format \\(envi\\) says which axis"):
        edgefuse.open_cube(tmp_path / "a.img", axes=AXES)
    with pytest.raises(SettingsError, match="expected rows, columns and bands"):
        edgefuse.open_cube(tmp_path / "a.npy", axes="first")


def test_axes_of_hdf5_take_the_place_of_those_that_are_assumed(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["counts"] = scene(SHAPE).transpose(1, 2, 0)
    with edgefuse.open_cube(tmp_path / "a.h5", axes="x, bands, y") as cube:
        assert np.array_equal(cube[:], scene(SHAPE))


def test_a_folder_is_described_by_its_cubes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with create_cube(tmp_path / "a.img", described(SHAPE)) as sink:
        sink[:] = scene(SHAPE)
    (tmp_path / "readme.txt").write_text("nothing")
    assert main(["info", str(tmp_path), "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert facts["cubes"] == ["a.img (a.img.hdr)"]
    assert facts["other_files"] == ["readme.txt is in no supported format"]
    (tmp_path / "empty").mkdir()
    assert main(["info", str(tmp_path / "empty")]) == 2
    assert "is a folder without cubes" in capsys.readouterr().err
