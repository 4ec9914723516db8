"""MobileFuse-edge: stable on video, without trails; blank frames; warm bodies stay visible; the same picture on every runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import pytest

import edgefuse
from edgefuse.demoscene.scene import DemoScene
from edgefuse.errors import MissingDependencyError
from edgefuse.fusion.fuser import Fuser
from edgefuse.metrics.flicker import Flicker
from edgefuse.metrics.planes import luma
from edgefuse.metrics.targets import Targets
from edgefuse.util.arrays import UInt8Array
from tests.fusion.pairs import noisy, pair, random

MODELS = ["mobilefuse-edge", "blend-classic"]


@dataclass(frozen=True)
class Shot:
    visible: UInt8Array
    infrared: UInt8Array
    warm: UInt8Array  # 255 where a body is visible


@lru_cache
def shots(scene: str, count: int = 3, step: int = 10) -> list[Shot]:
    demo = DemoScene((320, 240), scene, 0, 250)
    return [Shot(*demo.render(k), np.where(demo.labels(k) > 0, 255, 0).astype(np.uint8)) for k in range(0, count * step, step)]


def fuser(model: str = "mobilefuse-edge", **options: object) -> Fuser:
    return edgefuse.load(model, threads=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("visible_noise", "infrared_noise"), [(0, 0), (2, 2), (4, 4), (2, 4), (4, 2), (0, 4), (4, 0)])
def test_a_still_scene_flickers_no_more_than_its_noisier_camera(model: str, visible_noise: float, infrared_noise: float) -> None:
    clean = [cv2.GaussianBlur(luma(p), (5, 5), 1) for p in (shots("day")[0].visible, shots("day")[0].infrared)]
    rng, flicker, steady = np.random.default_rng(0), Flicker(), fuser(model, steady=True)
    for k in range(14):
        visible, infrared = noisy(clean[0], visible_noise, rng), noisy(clean[1], infrared_noise, rng)
        fused = steady.fuse(pair(visible, infrared, k)).data
        if k >= 5:
            flicker.add(visible, infrared, fused, np.ones(fused.shape, bool))
    figures = flicker.figures
    assert figures.fused <= max(figures.visible, figures.infrared)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scene", ["day", "night"])
def test_a_moving_body_leaves_no_trail(model: str, scene: str) -> None:
    demo = DemoScene((320, 240), scene, 0, 250)
    steady, was = fuser(model, steady=True, sharpness=1), np.zeros((240, 320), bool)
    seen = 0
    for k in range(0, 24, 3):
        visible, infrared = demo.render(k)
        now = demo.labels(k) > 0
        result = steady.fuse(pair(visible, infrared, k))
        fresh = fuser(model, sharpness=1).fuse(pair(visible, infrared, k))
        left = cv2.erode((was & ~now).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        if left.any():
            seen += 1
            assert result.blending_map is not None
            assert fresh.blending_map is not None
            assert np.abs(result.blending_map - fresh.blending_map)[left].max() <= 0.02
            # what remains is averaged noise: 1.5 standard deviations in the fine band, a quarter of that in the middle one
            averaged = 1.5 * 1.25 * steady._method._memory.noise + 3  # type: ignore[attr-defined]
            assert cv2.absdiff(luma(result.data), luma(fresh.data))[left].max() <= averaged
        was = now
    assert seen >= 3


@pytest.mark.pi
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_infrared_frame_leaves_the_visible_one(model: str, level: int) -> None:
    visible = shots("day")[0].visible
    infrared = np.full(visible.shape[:2], level, np.uint8)
    fused = fuser(model, sharpness=1).fuse(pair(visible, infrared))
    assert fused.blending_map is not None
    assert (fused.blending_map == 1).all()
    assert np.abs(luma(fused.data).astype(int) - luma(visible)).max() <= 3
    assert cv2.absdiff(fused.data, visible).mean() < 1


def test_a_blank_visible_frame_leaves_the_infrared_one() -> None:
    infrared = shots("day")[0].infrared
    fused = fuser(sharpness=1).fuse(pair(np.full_like(infrared, 7), infrared))
    assert cv2.absdiff(fused.data, infrared).max() <= 2


@pytest.mark.parametrize("model", MODELS)
def test_a_white_infrared_border_is_left_out(model: str) -> None:
    shot = shots("day")[0]
    infrared = shot.infrared.copy()
    infrared[:, :40] = 255
    visible = luma(shot.visible)
    bordered = fuser(model, sharpness=1).fuse(pair(visible, infrared))
    assert bordered.blending_map is not None
    assert (bordered.blending_map[:, :36] == 1).all()
    assert np.abs(bordered.data[:, :32].astype(int) - visible[:, :32]).max() <= 2
    # and hardly influences the rest
    plain = fuser(model, sharpness=1).fuse(pair(visible, shot.infrared))
    assert cv2.absdiff(bordered.data[:, 120:], plain.data[:, 120:]).mean() < 6


def test_a_black_margin_shows_the_visible_frame() -> None:
    shot = shots("day")[0]
    infrared, visible = np.maximum(shot.infrared, 1), luma(shot.visible)
    infrared[:, :48] = 0
    fused = fuser("blend-classic", sharpness=1).fuse(pair(visible, infrared)).data
    assert np.abs(fused[:, :24].astype(int) - visible[:, :24]).max() <= 6


@pytest.mark.parametrize("scene", ["day", "night"])
def test_warm_bodies_are_kept_better_than_by_the_classic_blend(scene: str) -> None:
    kept = {}
    for model in MODELS:
        fused, scores = fuser(model), []
        for shot in shots(scene):
            targets = Targets(shot.visible, shot.infrared, shot.warm)
            assert len(targets)
            scores.append(targets.kept(fused.fuse(pair(shot.visible, shot.infrared)).data))
        kept[model] = float(np.mean(np.concatenate([np.ravel(s) for s in scores])))
    assert kept["mobilefuse-edge"] > kept["blend-classic"]


@pytest.mark.parametrize("model", MODELS)
def test_pictures_of_a_folder_do_not_depend_on_their_order(model: str) -> None:
    pairs = [pair(s.visible, s.infrared, k) for k, s in enumerate([*shots("day"), *shots("night")])]
    grey = random((240, 320), 5)
    pairs.append(pair(grey, random((240, 320), 6), 9))
    one, other = fuser(model), fuser(model)
    forth = [one.fuse(p).data.copy() for p in pairs]
    back = [other.fuse(p).data.copy() for p in reversed(pairs)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forth, back, strict=True))


def test_what_was_handed_out_stays_as_it_is() -> None:
    fused = fuser("blend-classic")
    held = [fused.fuse(pair(s.visible, s.infrared)) for s in (*shots("day"), *shots("night"))]
    fresh = [fuser("blend-classic").fuse(f.pair) for f in held]
    for a, b in zip(held, fresh, strict=True):
        assert np.array_equal(a.data, b.data)
        assert np.array_equal(a.decided_map, b.decided_map)


def test_more_readiness_pulls_more_to_the_infrared_frame() -> None:
    shot = shots("night")[0]
    p = pair(shot.visible, shot.infrared)
    shares = [float(fuser(targets=t).fuse(p).targets.mean()) for t in (0, 0.5, 1, 1.5, 2)]  # type: ignore[union-attr]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] > shares[2] > 0


@pytest.mark.parametrize("scene", ["day", "night"])
def test_the_mask_of_targets_is_handed_out(scene: str) -> None:
    shot = shots(scene)[0]
    p = pair(shot.visible, shot.infrared)
    fused = fuser().fuse(p)
    assert fused.targets is not None
    assert fused.targets.shape == shot.infrared.shape
    assert fused.targets.dtype == np.float32
    assert 0 <= fused.targets.min() <= fused.targets.max() <= 1
    held, before = fused.decided_targets, fused.targets.copy()
    fuser().fuse(pair(*(x[::-1].copy() for x in (shot.visible, shot.infrared))))
    assert np.array_equal(fused.targets, before)
    assert held is fused.decided_targets
    plain = fuser("blend-classic").fuse(p)
    assert plain.targets is not None
    assert not plain.targets.any()


def test_without_targets_it_is_the_classic_blend() -> None:
    for shot in (*shots("day"), *shots("night")):
        p = pair(shot.visible, shot.infrared)
        assert np.array_equal(fuser(targets=0).fuse(p).data, fuser("blend-classic").fuse(p).data)


@pytest.mark.parametrize("steady", [False, True])
def test_what_moves_by_does_not_make_its_surroundings_jump(steady: bool) -> None:
    """Compares local brightness (means of 16 x 16 pixels) where neither input's changes by more than 8 levels between frames."""
    demo, fused, before, steps = DemoScene((320, 240), "day", 0, 250), fuser(steady=steady), None, []
    for k in range(30):
        visible, infrared = demo.render(k)
        pictures = luma(fused.fuse(pair(visible, infrared, k)).data), luma(visible), infrared
        now = [cv2.resize(x.astype(np.float32), (20, 15), interpolation=cv2.INTER_AREA) for x in pictures]
        if before is not None:
            change, *inputs = (np.abs(a - b) for a, b in zip(now, before, strict=True))
            steps.append(float(change[np.maximum(*inputs) <= 8].max()))
        before = now
    assert max(steps) <= 20


@pytest.mark.pi
@pytest.mark.parametrize("scene", ["day", "night"])
@pytest.mark.parametrize(
    ("runtime", "precision", "most", "mean"),
    [("onnx", "fp32", 1, 0.01), ("litert", "fp32", 1, 0.01), ("onnx", "int8", 60, 0.5), ("litert", "int8", 60, 0.5)],
)
def test_every_runtime_makes_the_same_picture(scene: str, runtime: str, precision: str, most: int, mean: float) -> None:
    reference = fuser(runtime="numpy")
    try:
        other = fuser(runtime=runtime, precision=precision)
    except MissingDependencyError as e:
        pytest.skip(str(e))
    for shot in shots(scene):
        p = pair(shot.visible, shot.infrared)
        difference = cv2.absdiff(reference.fuse(p).data, other.fuse(p).data)
        assert difference.max() <= most
        assert difference.mean() <= mean


@pytest.mark.pi
@pytest.mark.parametrize("size", [(1, 1), (8, 9), (20, 33), (97, 131)], ids=str)
def test_video_of_any_size(size: tuple[int, int]) -> None:
    steady = fuser("mobilefuse-edge", steady=True)
    for k in range(4):
        assert steady.fuse(pair(random((*size, 3), k), random(size, k + 9), k)).data.shape == (*size, 3)
