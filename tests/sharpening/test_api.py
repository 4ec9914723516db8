"""`edgefuse.sharpen` with arrays and files, and errors for unusable input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefuse
from edgefuse.sharpening.psf import Psf
from tests.conftest import one_line
from tests.sharpening.scenes import image, low, psnr, scene

TRUE = scene(96, 96)
CUBE, IMAGE = low(TRUE, Psf(4, 1.0)), image(TRUE)


def test_arrays() -> None:
    made = edgefuse.sharpen(CUBE, IMAGE)
    assert made.shape == TRUE.shape
    assert made.dtype == np.float32
    assert psnr(made, TRUE) > psnr(CUBE.repeat(4, 0).repeat(4, 1), TRUE) + 10


def test_files_and_arrays_are_one(tmp_path: Path) -> None:
    cube, picture, out = tmp_path / "cube.npy", tmp_path / "image.npy", tmp_path / "out.npy"
    np.save(cube, CUBE)
    np.save(picture, IMAGE)
    expected = edgefuse.sharpen(CUBE, IMAGE)
    assert edgefuse.sharpen(str(cube), picture, out)["ratio"] == 4
    assert np.array_equal(np.load(out), expected)
    assert np.array_equal(edgefuse.sharpen(cube, str(picture)), expected)
    with edgefuse.open_cube(cube) as opened:
        assert np.array_equal(edgefuse.sharpen(opened, IMAGE), expected)
    with pytest.raises(edgefuse.SettingsError, match="is an input; choose another name for out"):
        edgefuse.sharpen(cube, picture, cube)
    assert np.array_equal(np.load(cube), CUBE)


def test_what_is_missing_stays_missing() -> None:
    cube, counts = CUBE.copy(), IMAGE.copy()
    cube[3, 4] = np.nan
    counts[40, 50] = -1
    made = edgefuse.sharpen(cube, counts, image_nodata=-1)
    missing = np.zeros(TRUE.shape[:2], bool)
    missing[12:16, 16:20] = missing[40, 50] = True
    assert np.array_equal(np.isnan(made).all(2), missing)
    assert np.array_equal(np.isnan(made).any(2), missing)


@pytest.mark.parametrize(
    ("cube", "picture", "words"),
    [
        (None, IMAGE, "cube is NoneType; give a NumPy array"),
        (CUBE, [1, 2], "image is list; give a NumPy array"),
        (IMAGE, CUBE, "give the cube first, then the image"),
        (CUBE[..., 0], IMAGE, r"cube has shape \(24, 24\)"),
        (CUBE, IMAGE[:95], "crop the cube to 23 x 24 and the image to 92 x 96 pixels"),
        (CUBE[:4, :4], IMAGE[:16, :16], "too small"),
        (CUBE.astype(complex), IMAGE, "complex"),
        (CUBE.astype(object), IMAGE, "type object"),
        (np.full_like(CUBE, np.nan), IMAGE, "share 0 low-resolution pixels"),
        (CUBE, np.full_like(IMAGE, np.inf), "share 0 low-resolution pixels"),
        (np.random.default_rng(0).random(CUBE.shape), IMAGE, "they do not show the same scene"),
        (CUBE * 1e20, IMAGE, "above 1e"),
        ("/none/such.npy", IMAGE, "cannot read /none/such.npy"),
    ],
)
def test_what_can_not_be_sharpened_is_one_line(cube: Any, picture: Any, words: str) -> None:
    with pytest.raises(edgefuse.CubeError, match=words) as caught:
        edgefuse.sharpen(cube, picture)
    one_line(str(caught.value))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"psf": 0}, "psf 0"),
        ({"psf": float("nan")}, "psf nan"),
        ({"psf": "auto"}, "psf is 'auto'; give a number"),
        ({"threads": -1}, "threads -1"),
        ({"model": "zip"}, "unknown sharpener 'zip'"),
        ({"nodata": "none"}, "can't be 'none'"),
        ({"out": "sharp.npy"}, "cube is ndarray; with out=, give the paths of files"),
    ],
)
def test_a_bad_option_is_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(edgefuse.InputError, match=words) as caught:
        edgefuse.sharpen(CUBE, IMAGE, **options)
    one_line(str(caught.value))
