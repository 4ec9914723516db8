"""HyperSpy's files, in the layout that rosettasciio 0.10 writes (format 3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.hyperspectral.formats import open_cube
from tests.hyperspectral.cubes import samples

h5py = pytest.importorskip("h5py")
SHAPE = (4, 3, 6)


def regular(name: str, offset: float, scale: float, unit: str, navigate: bool) -> dict[str, Any]:
    return {"name": name, "offset": offset, "scale": scale, "units": unit, "navigate": navigate, "_type": "UniformDataAxis"}


def hspy(path: Path, data: NDArray[Any], axes: list[dict[str, Any]]) -> Path:
    with h5py.File(path, "w") as f:
        f.attrs["file_format"], f.attrs["file_format_version"] = "HyperSpy", "3.3"
        group = f.create_group("Experiments/a scene")
        group["data"] = data
        for number, axis in enumerate(axes):
            values = axis.pop("axis", None)
            made = group.create_group(f"axis-{number}")
            made.attrs.update({"index_in_array": number, "size": data.shape[number], "is_binned": False, **axis})
            if values is not None:
                made["axis"] = values
        group.create_group("metadata/General").attrs["title"] = "a scene"
        group.create_group("metadata/Signal").attrs["quantity"] = "Counts"
        group.create_group("original_metadata/a").attrs["b"] = 1
    return path


PLACES = [regular("y", 10.0, 0.5, "um", True), regular("x", 0.0, 1.0, "_None_", True)]


def test_a_spectrum_at_each_place(tmp_path: Path) -> None:
    cube = samples(SHAPE)
    path = hspy(tmp_path / "a.hspy", cube, [*map(dict, PLACES), regular("Wavelength", 0.4, 0.002, "um", False)])
    with open_cube(path) as source:
        assert source.form == "HyperSpy"
        np.testing.assert_array_equal(source[:], cube)
        assert source.info.wavelengths == pytest.approx((400, 402, 404, 406, 408, 410))
        assert source.info.metadata == {
            "file_format": "HyperSpy", "file_format_version": "3.3", "title": "a scene", "quantity": "Counts", "axis y": "10 to 11.5 um",
        }  # fmt: skip
        assert source.unkept == ("attributes: of Experiments/a scene/original_metadata/a: b",)


def test_wavelengths_that_are_not_regular(tmp_path: Path) -> None:
    values = np.array([400.0, 410, 425, 440, 460, 500])
    axis = {"name": "Wavelength", "axis": values, "units": "nm", "navigate": False, "_type": "DataAxis"}
    with open_cube(hspy(tmp_path / "a.hspy", samples(SHAPE), [*map(dict, PLACES), axis])) as source:
        assert source.info.wavelengths == tuple(values)


def test_energies_are_kept_as_text(tmp_path: Path) -> None:
    energies = regular("Energy loss", 100.0, 0.5, "eV", False)
    with open_cube(hspy(tmp_path / "a.hspy", samples(SHAPE), [*map(dict, PLACES), energies])) as source:
        assert source.info.wavelengths is None
        assert source.info.metadata["axis energy loss"] == "100 to 102.5 eV"


def test_a_stack_of_images_has_its_bands_first(tmp_path: Path) -> None:
    cube = samples(SHAPE)
    axes = [regular("z", 5.0, 2.0, "um", True), regular("y", 0.0, 1.0, "_None_", False), regular("x", 0.0, 1.0, "_None_", False)]
    with open_cube(hspy(tmp_path / "a.hspy", cube.transpose(2, 0, 1), axes)) as source:
        np.testing.assert_array_equal(source[:], cube)
        assert source.info.wavelengths is None  # the depth of the images is no wavelength
        assert source.info.metadata["axis z"] == "5 to 15 um"
