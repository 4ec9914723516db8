"""Fusion metrics: comparison with VIFB's published figures and with other implementations, and properties for any picture."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgefuse.errors import InputError
from edgefuse.metrics import fusion
from tests.metrics.pictures import SIZE, Image, made

# Values for tests.metrics.pictures.made(), computed once by independent code: ssim, psnr, rmse and en by scikit-image 0.26.0, vif by
# sewar 0.4.10, ten of VIFB's metrics by the project's referee (sf with the channels in the order RGB), the others by loops over pixels and
# complex Fourier transforms (NumPy, SciPy 1.17.1) from the papers' equations.
PINNED = {
    "ssim": 0.509123059,
    "ssim_a": 0.509123059,
    "psnr": 15.0598852,
    "rmse": 44.9987329,
    "vif": 0.393961724,
    "en": 7.23122325,
    "mi": 4.8567141,
    "sd": 44.5425488,
    "sf": 26.0325715,
    "ag": 13.7887974,
    "q_abf": 0.264572962,
    "n_abf": 0.00854113492,
    "vifb_ag": 9.76292179,
    "vifb_ce": 1.16119758,
    "vifb_ei": 86.2733176,
    "vifb_en": 7.33716842,
    "vifb_mi": 3.55962285,
    "vifb_psnr": 49.8619601,
    "vifb_rmse": 0.671295428,
    "vifb_sf": 28.5784624,
    "vifb_ssim": 0.994685195,
    "vifb_sd": 45.9755893,
    "vifb_qabf": 0.294594201,
    "vifb_qcb": 0.504605302,
    "vifb_qcv": 672.94981,
}
ROWS = (
    "carLight_GFF", "carLight_IFCNN", "carLight_LP_SR", "manCall_GFF", "manCall_IFCNN", "manCall_LP_SR", "snow_GFF", "snow_IFCNN",
    "snow_LP_SR",
)  # fmt: skip
pictures = arrays(np.uint8, (44, 47), elements=st.integers(0, 255))


def every(visible: Image, infrared: Image, fused: Image) -> dict[str, float]:
    return fusion.vifb(visible, infrared, fused) | fusion.textbook(visible, infrared, fused)


@pytest.mark.parametrize("row", ROWS)
def test_vifb_s_own_figures(shared: Path, row: str) -> None:
    folder, scene = shared / "data" / "fusion" / "vifb_golden", row.split("_")[0]
    paths = (folder / "visible" / f"{scene}.jpg", folder / "infrared" / f"{scene}.jpg", folder / "fused" / f"{row}.jpg")
    expected = {f"vifb_{name.lower()}": value for name, value in json.loads((folder / "values.json").read_text())[row].items()}
    assert fusion.vifb(*(cv2.imread(str(p)) for p in paths)) == pytest.approx(expected, rel=1e-3)


def test_figures_of_other_people_s_code() -> None:
    result = every(*made())
    assert result == pytest.approx(PINNED, rel=1e-8)
    assert list(result) == list(fusion.METRICS)


@pytest.mark.parametrize("name", PINNED)
def test_one_by_one_as_all_at_once(name: str) -> None:
    assert getattr(fusion, name)(*made()) == every(*made())[name]
    assert fusion.METRICS[name].function is getattr(fusion, name)


def test_inputs_that_are_compared_twice_give_the_same() -> None:
    visible, infrared, fused = made()
    inputs = fusion.Inputs(visible, infrared)
    first = fusion.compare(inputs, fused, "vifb", "textbook")
    fusion.compare(inputs, fused[..., 0].copy(), "vifb", "textbook")
    assert fusion.compare(inputs, fused, "vifb", "textbook") == first == every(visible, infrared, fused)


def test_grey_beside_colour() -> None:
    visible, infrared, fused = made()
    thrice = np.repeat(infrared[..., None], 3, axis=2)
    assert fusion.vifb(visible, thrice, fused) == pytest.approx(fusion.vifb(visible, infrared, fused))
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (visible, fused)]
    assert fusion.vifb(visible, thrice, grey[1]) == fusion.vifb(grey[0], infrared, grey[1])
    assert fusion.textbook(visible, infrared, fused) == fusion.textbook(grey[0], infrared, grey[1])


@given(pictures)
def test_a_picture_fused_of_itself(image: Image) -> None:
    result = every(image, image, image)
    assert result["ssim"] == result["ssim_a"] == pytest.approx(1)
    assert result["vifb_ssim"] == pytest.approx(2)
    assert result["vif"] == pytest.approx(2)
    assert result["psnr"] == result["vifb_psnr"] == math.inf
    assert result["rmse"] == result["vifb_rmse"] == result["vifb_qcv"] == result["vifb_ce"] == result["n_abf"] == 0
    assert result["vifb_qcb"] == pytest.approx(1)
    assert result["mi"] == pytest.approx(2 * result["en"])


@given(pictures, pictures, pictures)
def test_bounds_and_symmetry(visible: Image, infrared: Image, fused: Image) -> None:
    result = every(visible, infrared, fused)
    assert all(math.isfinite(value) or name.endswith("psnr") for name, value in result.items())
    assert 0 <= result["en"] <= 8
    assert 0 <= result["mi"] <= 16
    assert -1 <= result["ssim"] <= 1
    for name in ("q_abf", "n_abf", "vifb_qabf", "vifb_qcb"):
        assert 0 <= result[name] <= 1
    assert result["sd"] <= 127.5
    assert every(infrared, visible, fused) == pytest.approx(result)


@given(pictures, pictures, pictures)
def test_a_mirror_changes_nothing(visible: Image, infrared: Image, fused: Image) -> None:
    result, mirrored = (fusion.textbook(*(image[:, ::turn] for image in (visible, infrared, fused))) for turn in (1, -1))
    for name in ("psnr", "rmse", "ssim", "q_abf", "en", "mi", "sd", "sf"):
        assert mirrored[name] == pytest.approx(result[name])


@pytest.mark.parametrize("levels", [(0, 0, 0), (255, 255, 255), (40, 200, 120), (0, 9, 0)])
@pytest.mark.parametrize("shape", [SIZE, (*SIZE, 3)])
def test_constant_pictures_have_defined_figures(levels: tuple[int, int, int], shape: tuple[int, ...]) -> None:
    result = every(*(np.full(shape, level, np.uint8) for level in levels))
    assert all(math.isfinite(value) for name, value in result.items() if not name.endswith("psnr"))
    assert result["en"] == result["mi"] == result["sd"] == result["sf"] == result["ag"] == result["q_abf"] == result["vifb_qcv"] == 0
    assert result["vifb_qcb"] == 1
    assert result["vif"] == 2


def test_a_constant_fused_picture_keeps_nothing() -> None:
    visible, infrared, _ = made()
    result = every(visible, infrared, np.full_like(visible, 90))
    assert result["q_abf"] < 1e-3
    assert result["vif"] == 0
    assert result["mi"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", PINNED)
def test_bad_pictures_are_one_line(name: str) -> None:
    metric = getattr(fusion, name)
    good, small = np.zeros((64, 64), np.uint8), np.zeros((60, 64), np.uint8)
    with pytest.raises(InputError, match=r"differ in size \(visible 64x64, infrared 64x64, fused 64x60\)"):
        metric(good, good, small)
    with pytest.raises(InputError, match="differ in size"):
        metric(good, small, good)
    with pytest.raises(InputError, match=r"the fused picture is float64 \(64, 64\); metrics take uint8"):
        metric(good, good, good.astype(float))
    with pytest.raises(InputError, match=r"the visible picture is uint8 \(64, 64, 4\)"):
        metric(np.zeros((64, 64, 4), np.uint8), good, good)
    with pytest.raises(InputError, match="the infrared picture is list"):
        metric(good, good.tolist(), good)
    with pytest.raises(InputError, match="metrics need"):
        metric(*[np.zeros((1, 30), np.uint8)] * 3)


def test_too_small_for_the_windows() -> None:
    image = np.zeros((40, 60), np.uint8)
    with pytest.raises(InputError, match="60x40; metrics need 41x41"):
        fusion.textbook(image, image, image)
    assert fusion.vifb(image, image, image)["vifb_ssim"] == pytest.approx(2)


def test_ranks_share_places_and_put_nan_last() -> None:
    assert fusion.ranks([3, 1, 3, math.nan, math.inf], "higher") == [2.5, 4, 2.5, 5, 1]
    assert fusion.ranks([3, 1, 3], "lower") == [2.5, 1, 2.5]


def test_mean_rank() -> None:
    table = {"a": {"en": 7.0, "rmse": 9.0, "ssim_a": 0.0, "other": 0.0}, "b": {"en": 6.0, "rmse": 3.0, "ssim_a": 1.0, "other": 1.0}}
    table["c"] = {"en": 5.0, "rmse": 1.0, "ssim_a": 0.5, "other": 0.5}
    assert fusion.mean_rank(table) == {"a": 2.0, "b": 2.0, "c": 2.0}
    table["a"]["rmse"] = 0.5
    assert fusion.mean_rank(table) == {"a": 1.0, "b": 2.5, "c": 2.5}
    assert fusion.mean_rank({}) == {}


def test_units_and_directions() -> None:
    lower = {"vifb_ce", "vifb_rmse", "vifb_qcv", "rmse", "n_abf"}
    assert {m.name for m in fusion.METRICS.values() if m.better == "lower"} == lower
    assert len(fusion.names("vifb")) == 13
    assert len(fusion.names("textbook")) == 12
    assert {m.name for m in fusion.METRICS.values() if not m.ranked} == {"ssim_a"}
