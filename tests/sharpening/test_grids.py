"""Georeferenced pairs: the common part is found on any two grids, and sharpened nearly as well as a pair whose pixels nest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefuse
from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats import create_cube, open_cube
from edgefuse.sharpening.grids import Lattice, common
from edgefuse.sharpening.psf import Psf
from edgefuse.util.arrays import Float32Array, Float64Array
from tests.sharpening.scenes import image, low, psnr, scene


def info(shape: tuple[int, int, int], transform: tuple[float, ...], crs: str = "EPSG:32633") -> CubeInfo:
    a, b, c, d, e, f = transform
    return CubeInfo(shape, np.dtype(np.float32), georeference=Georeference((a, b, c, d, e, f), crs))


def write(path: Path, samples: Float32Array, transform: tuple[float, ...], crs: str = "EPSG:32633") -> Path:
    with create_cube(path, info(samples.shape, transform, crs)) as sink:  # type: ignore[arg-type]
        sink[:] = samples
    return path


IMAGE = 10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0


def test_the_same_corners_need_nothing() -> None:
    cube, picture = info((24, 20, 9), (40, 0, 500000, 0, -40, 5000000)), info((96, 80, 4), IMAGE)
    area = common(cube, picture, ("cube", "image"))
    assert area is not None
    assert area.whole(cube, picture)


def test_grids_that_overlap_in_part_are_cropped_and_the_rest_of_a_pixel_is_an_offset() -> None:
    cube, picture = info((24, 20, 9), (30, 0, 499895, 0, -30, 5000035)), info((60, 50, 4), IMAGE)
    area = common(cube, picture, ("cube", "image"))
    assert area is not None
    # the cube begins 3.5 rows above and 10.5 columns left of the image
    assert (area.rows, area.columns) == ((2, 21), (4, 20))
    assert area.window == ((2, 59), (2, 50))
    assert area.ratio == 3
    assert (area.dy, area.dx) == (0.5, -0.5)
    assert area.georeference.transform == (10, 0, 500020, 0, -10, 4999980)


@pytest.mark.parametrize(("pixel", "ratio"), [(12.0, 3), (10.0, 3), (7.5, 4), (29.0, 1)])
def test_rotated_and_broken_ratios_are_resampled(pixel: float, ratio: int) -> None:
    angle = np.radians(5)
    c, s = 30 * np.cos(angle), 30 * np.sin(angle)
    cube = info((20, 20, 9), (c, s, 500300, s, -c, 4999900))
    area = common(cube, info((200, 200, 4), (pixel, 0, 500000, 0, -pixel, 5000200)), ("cube", "image"))
    assert area is not None
    assert area.window is None
    assert area.ratio == ratio
    places = area.mapping(np.array([0.0]), np.array([0.0]))[0, 0]
    x, y = cube.georeference.transform[2] + c * area.columns[0] + s * area.rows[0], 4999900 + s * area.columns[0] - c * area.rows[0]  # type: ignore[union-attr]
    np.testing.assert_allclose(places, ((x - 500000) / pixel, (5000200 - y) / pixel), atol=1e-6)
    np.testing.assert_allclose(area.georeference.transform[2::3], (x, y))


def test_grids_apart_are_refused_with_their_distance() -> None:
    cube = info((24, 20, 9), (40, 0, 500000, 0, -40, 5000000))
    with pytest.raises(CubeError, match=r"do not cover the same ground: .* \+500 rows and -250 columns"):
        common(cube, info((96, 80, 4), (10, 0, 490000, 0, -10, 4980000)), ("cube", "image"))
    with pytest.raises(CubeError, match="but for 4 x 20 of the cube's pixels"):
        common(cube, info((96, 80, 4), (10, 0, 500000, 0, -10, 5000800)), ("cube", "image"))


def test_larger_pixels_of_the_image_are_refused() -> None:
    with pytest.raises(CubeError, match="give the cube first"):
        common(info((96, 80, 4), IMAGE), info((24, 20, 9), (40, 0, 500000, 0, -40, 5000000)), ("cube", "image"))


@pytest.mark.parametrize(("dy", "dx"), [(6, -9), (-2.5, 4.5)])
def test_an_offset_that_both_georeferences_state_costs_little(tmp_path: Path, dy: float, dx: float) -> None:
    truth = scene(180, 180)
    whole = low(truth, Psf(3, 1.0, dy - round(dy), dx - round(dx)))[10:50, 10:50]
    at = (30 + round(dy), 30 + round(dx))
    inner = slice(at[0], at[0] + 120), slice(at[1], at[1] + 120)
    moved = np.ascontiguousarray(truth[inner])
    # the cube begins at row 30 of the truth, plus the offset's fraction; the image at row 30 plus the whole offset
    corner = 500000 + 300 + 10 * (dx - round(dx)), 5000000 - 300 - 10 * (dy - round(dy))
    cube = write(tmp_path / "cube.npy", whole, (30, 0, corner[0], 0, -30, corner[1]))
    picture = write(tmp_path / "image.npy", image(moved), (10, 0, 500000 + 10 * at[1], 0, -10, 5000000 - 10 * at[0]))
    with open_cube(cube) as one, open_cube(picture) as other:
        made = edgefuse.sharpen(one, other, threads=1)
    report = edgefuse.sharpen(cube, picture, tmp_path / "out.npy", threads=1)
    with open_cube(tmp_path / "out.npy") as out:
        place = out.info.georeference
        np.testing.assert_array_equal(out[:], made)
    assert place is not None
    top, left = round((5000000 - place.transform[5]) / 10), round((place.transform[2] - 500000) / 10)
    assert list(made.shape) == report["shapes"]["out"]
    at_rest = edgefuse.sharpen(low(truth, Psf(3)), image(truth), threads=1)
    window = slice(top, top + made.shape[0]), slice(left, left + made.shape[1])
    edge = np.s_[6:-6, 6:-6]
    assert psnr(made[edge], truth[window][edge]) > psnr(at_rest[window][edge], truth[window][edge]) - 0.5


def seen_from(truth: Float32Array, centres: Float64Array, sigma: float) -> Float32Array:
    """Return what a Gaussian sees of the truth at places (m, n, 2) of columns and rows, (m, n, B)."""
    made, reach = np.empty((*centres.shape[:2], truth.shape[2]), np.float32), int(np.ceil(4 * sigma))
    for at in np.ndindex(centres.shape[:2]):
        spans = [np.arange(int(c) - reach, int(c) + reach + 1).clip(0, n - 1) for c, n in zip(centres[at][::-1], truth.shape, strict=False)]
        weights = [np.exp(-0.5 * np.square((span + 0.5 - c) / sigma)) for span, c in zip(spans, centres[at][::-1], strict=True)]
        down, across = (w / w.sum() for w in weights)
        made[at] = across @ (down @ truth[np.ix_(*spans)].reshape(len(down), -1)).reshape(len(across), -1)
    return made


def test_a_cube_of_30_m_and_an_image_of_10_m_in_two_zones_of_utm(tmp_path: Path) -> None:
    """EnMAP's and Sentinel-2's pixels, whose grids are turned to each other by the convergence of their meridians."""
    pytest.importorskip("rasterio")
    truth = scene(210, 210)
    place = (10.0, 0.0, 705880.0, 0.0, -10.0, 5766420.0)
    picture = write(tmp_path / "s2.tif", image(truth), place, "EPSG:32632")
    from edgefuse.hyperspectral.crs import converter

    x, y = converter("EPSG:32632", "EPSG:32633")(np.array([(705880.0 + 400, 5766420.0 - 400)]))[0]
    corner = 30 * np.floor(x / 30), 30 * np.floor(y / 30)
    described = info((50, 50, 30), (30, 0, corner[0], 0, -30, corner[1]))
    steps = np.arange(50) + 0.5
    centres = Lattice.between(described, info((210, 210, 4), place, "EPSG:32632"))(steps, steps)
    cube = write(tmp_path / "enmap.tif", seen_from(truth, centres, 3 / 2.355), (30, 0, corner[0], 0, -30, corner[1]))
    report = edgefuse.sharpen(cube, picture, tmp_path / "out.tif", threads=1)
    assert report["ratio"] == 3
    with open_cube(tmp_path / "out.tif") as out:
        made, result = out[:], out.info
    assert result.georeference is not None
    assert result.georeference.transform[0] == pytest.approx(10)
    # what the truth is there: by the nearest of its pixels
    steps = [np.arange(n) + 0.5 for n in made.shape[:2]]
    at = Lattice.between(result, info((210, 210, 4), place, "EPSG:32632"))(steps[0], steps[1])
    rows, columns = (np.floor(at[..., k]).astype(int).clip(0, 209) for k in (1, 0))
    known = np.isfinite(made).all(2) & (at > 8).all(2) & (at < 202).all(2)
    assert known.mean() > 0.5
    # a nearest pixel is half a pixel off: the image itself, resampled, is the yardstick
    assert psnr(made[known], truth[rows, columns][known]) > psnr(seen_from(truth, at, 0.6)[known], truth[rows, columns][known]) - 3
