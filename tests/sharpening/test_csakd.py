"""CSAKD's student: better than cubic for any number of bands, the same on every runtime and tile size, clear errors for unusable input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse import registry, runtimes, zoo
from edgefuse.errors import CubeError, MissingDependencyError, SettingsError
from edgefuse.runtimes.golden import verify
from edgefuse.sharpening import csakd
from edgefuse.sharpening.base import Options, sharpener
from edgefuse.sharpening.csakd import prepare, sharpen
from edgefuse.sharpening.cubic import enlarged
from edgefuse.sharpening.psf import Psf
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import low, psnr, scene

SEEN = Psf(4)
SHARED = Path(__file__).resolve().parents[3] / "shared"


def wide(cube: Float32Array, bands: int) -> Float32Array:
    """Return the image of a camera with the wide bands that the network was trained on."""
    return np.asarray(cube @ csakd.response(cube.shape[2])[:bands].T)


def cubic(lr: Float32Array, psf: Psf = SEEN) -> Float32Array:
    (h, w), ratio = lr.shape[:2], psf.ratio
    return enlarged(lr, ((0, h), (0, w)), ((0, h * ratio), (0, w * ratio)), (h, w), psf)


def sharpened(lr: Float32Array, hr: Float32Array, options: Options | None = None, **nodata: float) -> Float32Array:
    made = prepare(lr, hr, options, **nodata)  # type: ignore[arg-type]
    out = np.empty((*hr.shape[:2], lr.shape[2]), np.float32)
    sharpen(made, out)
    return out


@pytest.mark.parametrize("image_bands", [4, 6])
@pytest.mark.parametrize("bands", [64, 172, 207])
def test_above_cubic_whatever_the_bands(bands: int, image_bands: int) -> None:
    cube = 0.6 * scene(64, 56, bands)
    lr = low(cube, SEEN)
    made = sharpened(lr, wide(cube, image_bands))
    assert made.shape == cube.shape
    # for these materials the short-wave bands can't be predicted from the first four
    assert psnr(made, cube) > psnr(cubic(lr), cube) + (3 if image_bands == 6 else 0.2)


@pytest.mark.parametrize("image_bands", [4, 6])
def test_far_above_cubic_on_a_real_scene_never_trained_on(image_bands: int) -> None:
    path = SHARED / "data/hsi/sandiego.npz"
    if not path.exists():
        pytest.skip("../shared/data/hsi is not there")
    with np.load(path) as stored:
        cube = stored["cube"][:64, :64].astype(np.float32) / 10000
    lr = low(cube, SEEN)
    assert psnr(sharpened(lr, wide(cube, image_bands)), cube) > psnr(cubic(lr), cube) + 2.5


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_every_runtime_draws_the_golden_pair(runtime: str) -> None:
    (verified,) = verify(zoo.find(csakd.NAME), runtime)
    if verified.status == "missing":
        pytest.skip(verified.note)
    assert verified.status == "ok", verified


def test_runtimes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: nothing to hold onnxruntime against")
    cube = 0.6 * scene(64, 64, 100)
    lr, hr = low(cube, SEEN), wide(cube, 4)
    choose, made = runtimes.choose, {}
    for name in ("onnx", "litert"):
        monkeypatch.setattr(csakd.runtimes, "choose", lambda card, threads, name=name: choose(card, name, threads=threads))
        made[name] = sharpened(lr, hr)
    assert not np.array_equal(made["onnx"], made["litert"])
    assert psnr(made["onnx"], made["litert"]) > psnr(made["onnx"], cube) + 6
    assert abs(psnr(made["onnx"], cube) - psnr(made["litert"], cube)) < 0.3


@pytest.mark.parametrize("side", [6, 10, 16])
def test_tiles_make_what_the_whole_would(side: int) -> None:
    cube = 0.6 * scene(96, 88, 60)
    lr, hr = low(cube, SEEN), wide(cube, 4)
    lr[9, 12], hr[50, 30] = np.nan, np.nan
    whole, tiled = sharpened(lr, hr, Options(side=48)), sharpened(lr, hr, Options(side=side))
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(tiled))
    # except where the order of a sum changes the rounding to 8 bits
    np.testing.assert_allclose(tiled, whole, atol=2e-3)
    assert np.nanmean(np.abs(tiled - whole)) < 1e-5


def test_units_of_counts_and_of_the_image_do_not_matter() -> None:
    cube = 0.6 * scene(64, 64, 60)
    lr, hr = low(cube, SEEN), wide(cube, 4)
    counts = np.rint(lr * 10000).astype(np.uint16)
    reflectances = sharpened(lr, hr)
    assert psnr(sharpened(counts, (hr * 255).astype(np.uint8)) / 10000, reflectances) > 45  # type: ignore[arg-type]
    assert psnr(sharpened(counts.astype(np.float32), hr * 3 + 1) / 10000, reflectances) > 55


def test_the_order_and_number_of_the_images_bands_do_not_matter() -> None:
    cube = 0.6 * scene(64, 64, 60)
    lr, hr = low(cube, SEEN), wide(cube, 6)
    made = sharpened(lr, hr)
    np.testing.assert_allclose(sharpened(lr, hr[..., ::-1]), made, atol=0.01)
    more = np.concatenate([hr, cube[..., 20:50:10]], 2)
    assert psnr(sharpened(lr, more), cube) > psnr(cubic(lr), cube) + 3


def test_a_shift_is_found() -> None:
    cube = 0.6 * scene(96, 96, 60)
    hr, moved = wide(cube, 6), low(cube, Psf(4, 1, 1.0, -1.0))
    made, taken = sharpened(moved, hr), sharpened(moved, hr, Options(register=False))
    inner = slice(8, -8)
    assert psnr(made[inner, inner], cube[inner, inner]) > psnr(taken[inner, inner], cube[inner, inner]) + 0.4


def test_missing_is_missing_and_nothing_else_is() -> None:
    cube = 0.6 * scene(80, 80, 60)
    lr, hr = low(cube, SEEN), wide(cube, 4)
    whole = sharpened(lr, hr)
    lr[10, 12, 3], hr[20, 30, 1] = np.nan, -7
    out = sharpened(lr, hr, image_nodata=-7)
    missing = np.zeros(cube.shape[:2], bool)
    missing[40:44, 48:52] = missing[20, 30] = True
    assert np.array_equal(np.isnan(out).any(2), missing)
    assert psnr(out[~missing], cube[~missing]) > psnr(whole, cube) - 0.5


def test_a_tile_where_all_is_missing() -> None:
    cube = 0.6 * scene(96, 96, 60)
    lr, hr = low(cube, SEEN), wide(cube, 4)
    lr[:, 12:] = np.nan
    out = sharpened(lr, hr, Options(side=6))
    assert np.isnan(out[:, 48:]).all()
    assert np.isfinite(out[:, :48]).all()


def test_progress_and_a_prediction() -> None:
    cube = 0.6 * scene(64, 64, 60)
    made, told = prepare(low(cube, SEEN), wide(cube, 4), Options(side=8)), []
    sharpen(made, np.empty(cube.shape, np.float32), beat=lambda done, of: told.append((done, of)))
    assert made.count == 9
    assert told == [(k, 9) for k in range(1, 10)]
    assert 0 < made.tile_s < made.prepared_s


def test_refusals() -> None:
    cube = 0.6 * scene(72, 72, 60)
    lr, hr = low(cube, SEEN), wide(cube, 4)
    pairs: dict[str, tuple[Any, ...]] = {
        "needs an image of 4 bands or more, this one has 3": (lr, hr[..., :3]),
        "sharpens by a factor of 4, here the ratio is 3": (low(cube, Psf(3)), hr),
        "not one whole number": (lr, hr[:71]),
        "do not show the same scene": (lr, np.rot90(hr), Options(register=False)),
        "too small": (lr[:1, :1], hr[:4, :4]),
        "trained on reflectances": (lr * 0.01, hr),
    }
    for told, given in pairs.items():
        with pytest.raises(CubeError, match=told):
            prepare(*given)
    with pytest.raises(SettingsError, match="--coarse is an option of sharpen-edge"):
        prepare(lr, hr, Options(coarse=True))
    out = np.empty(cube.shape, np.float32)
    with pytest.raises(SettingsError, match="leave out --uncertainty"):
        sharpen(prepare(lr, hr), out, np.empty((72, 72, 1), np.float32))


def test_without_a_runtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        @classmethod
        def version(cls) -> str:
            raise MissingDependencyError("onnxruntime", "the onnx runtime", "onnxruntime")

    get = registry.get
    monkeypatch.setattr(registry, "get", lambda group, name: Absent if group == "edgefuse.runtimes" else get(group, name))
    cube = 0.6 * scene(48, 48, 60)
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime"):
        prepare(low(cube, SEEN), wide(cube, 4))


def test_a_constant_cube_stays_what_it_is() -> None:
    lr, hr = np.full((12, 12, 50), 0.3, np.float32), np.full((48, 48, 4), 0.3, np.float32)
    np.testing.assert_allclose(sharpened(lr, hr), 0.3, atol=0.01)


def test_it_is_one_of_the_models() -> None:
    assert set(registry.names("edgefuse.sharpeners")) >= {"sharpen-edge", csakd.NAME}
    assert isinstance(sharpener(csakd.NAME), csakd.CsakdStudent)
