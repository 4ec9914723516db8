from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefuse.archive import job as archives
from edgefuse.archive.sharpening import SharpeningJob, kind_and_key, plan
from edgefuse.errors import CubeError
from tests.sharpening.scenes import image, scene

HOW = {"name": "sharpen-edge", "fwhm": 1.0, "register": False, "tile": None, "coarse": False, "report": False}


@pytest.mark.parametrize(
    ("name", "kind", "left"),
    [
        ("a/scene_hsi.img", "h", "a/scene"),
        ("a/scene_msi.tif", "m", "a/scene"),
        ("hsi/scene.img", "h", "scene"),
        ("MS/scene.tif", "m", "scene"),
        ("scene/HS.img", "h", "scene"),
        ("paris_hs", "h", "paris"),
        ("scene.msi", "m", "scene"),
        ("hsi/scene_msi.img", "m", "scene"),
        ("hs-2020-a.npy", "h", "2020-a"),
        ("moss_2.img", "", "moss_2"),
        ("v1.2/this.img", "", "v1.2/this"),
    ],
)
def test_a_path_tells_what_it_is_and_what_it_belongs_to(name: str, kind: str, left: str) -> None:
    assert kind_and_key(name) == (kind, left)


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_pairs_in_every_layout(tmp_path: Path) -> None:
    folder = filled(
        tmp_path / "in", "a_hsi.npy", "a_msi.tif", "b/hsi.npy", "b/msi.npy", "hs/c.npy", "ms/c.h5",
        "d_ms.npy", "truth.npy", "readme.md", ".hidden/x_hsi.npy", "out/a_hsi.npy",
    )  # fmt: skip
    jobs, passed = plan(folder, None, folder / "out", HOW)
    assert {(j.name, str(j.image.relative_to(folder)), j.fault) for j in jobs} == {
        ("a_hsi.npy", "a_msi.tif", ""), ("b/hsi.npy", "b/msi.npy", ""), ("hs/c.npy", "ms/c.h5", ""),
    }  # fmt: skip
    assert jobs[0].targets == (folder / "out/a_hsi.npy",)
    assert passed == [str(folder / "d_ms.npy"), str(folder / "truth.npy")]


def test_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    cubes, images = filled(tmp_path / "c", "x/1.npy", "2_hsi.npy"), filled(tmp_path / "c/i", "x/1.npy", "2.npy", "3.npy")
    jobs, passed = plan(cubes, images, tmp_path / "out", HOW, uncertain=True, form="tiff")
    assert [(j.name, j.image.name, j.fault) for j in jobs] == [("2_hsi.npy", "2.npy", ""), ("x/1.npy", "1.npy", "")]
    assert jobs[0].targets == (tmp_path / "out/2_hsi.npy.tif", tmp_path / "out/2_hsi.npy.uncertainty.tif")
    assert passed == [str(images / "3.npy")]


def test_none_and_two_are_faults_of_that_cube(tmp_path: Path) -> None:
    folder = filled(
        tmp_path / "in", "a_hsi.npy", "a_msi.npy", "a_ms.npy", "b_hsi.npy", "c_hsi.npy", "c_hs.npy", "c_msi.npy", "d_hs.npy", "d_ms.npy"
    )
    jobs, _ = plan(folder, None, tmp_path / "out", HOW)
    faults = {j.name: j.fault for j in jobs}
    assert "2 images for this cube" in faults["a_hsi.npy"]
    assert "no image beside it" in faults["b_hsi.npy"]
    assert "2 cubes for one image" in faults["c_hsi.npy"]
    assert faults["c_hs.npy"].endswith("(c_hs.npy, c_hsi.npy); leave one")
    assert faults["d_hs.npy"] == ""
    record = archives.run(jobs[0])
    assert (record["state"], record["message"]) == ("bad", jobs[0].fault)


def test_no_pair_at_all_says_how_they_are_named(tmp_path: Path) -> None:
    folder, other = filled(tmp_path / "in", "a.npy", "b_hsi.npy"), filled(tmp_path / "other", "c.npy")
    with pytest.raises(CubeError, match="NAME_hsi"):
        plan(folder, None, tmp_path / "out", HOW)
    with pytest.raises(CubeError, match=r"no cube in .* has the name of an image in"):
        plan(folder, other, tmp_path / "out", HOW)
    with pytest.raises(CubeError, match="cannot list"):
        plan(folder, tmp_path / "missing", tmp_path / "out", HOW)


def test_settings_tell_results_apart(tmp_path: Path) -> None:
    def job(threads: int, **how: object) -> SharpeningJob:
        return SharpeningJob("a", tmp_path, tmp_path, tmp_path, tmp_path, HOW | how, threads=threads)

    assert job(1).settings == job(4).settings
    assert job(1).settings != job(1, coarse=True).settings
    assert job(1).settings["model"] == "sharpen-edge"


def test_an_image_that_changes_meanwhile_spoils_both_results(tmp_path: Path) -> None:
    cube = scene(24, 24, 6)
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in/a_hsi.npy", cube.reshape(12, 2, 12, 2, 6).mean((1, 3)))
    np.save(tmp_path / "in/a_msi.npy", image(cube))
    (job,), _ = plan(tmp_path / "in", None, tmp_path / "out", HOW, uncertain=True)
    record = archives.run(job, lambda done, total: np.save(tmp_path / "in/a_msi.npy", image(cube)))
    assert record["state"] == "changed"
    assert not any(p.exists() for p in job.targets)
    assert archives.run(job)["state"] == "done"
