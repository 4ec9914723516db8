"""The mask of targets: set only where the blend would lose a target, and within the budget."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.fusion.target_steps import CompiledSteps, Gate, NumpySteps, Strength
from edgefuse.fusion.targets import TargetBlend
from edgefuse.util import compiled
from edgefuse.util.arrays import UInt8Array
from tests.fusion.pairs import random

SHAPE = (24, 32)
needs_compiler = pytest.mark.skipif(compiled.library() is None, reason="EdgeFuse was installed without a C compiler")


def warm(level: int = 200, around: int = 60) -> UInt8Array:
    """Return a warm body at a quarter of the frame's size; at an eighth it is 3 x 3 cells."""
    picture = np.full((2 * SHAPE[0], 2 * SHAPE[1]), around, np.uint8)
    picture[20:26, 28:34] = level
    return picture


def eighth(quarter: UInt8Array) -> UInt8Array:
    return cv2.resize(quarter, SHAPE[::-1], interpolation=cv2.INTER_AREA)


def test_a_lost_body_is_pulled_and_nothing_far_from_it() -> None:
    infrared, fused = warm(), np.full_like(warm(), 110)
    pull = TargetBlend(SHAPE, 1.0)
    mask = pull.mask(eighth(infrared), eighth(fused), None)
    assert mask.shape == SHAPE
    assert mask.dtype == np.float32
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask[11, 15] > 0.9
    assert not mask[:3].any()
    before = fused.copy()
    drawn, less = pull.apply(mask, fused, infrared, eighth(before), eighth(infrared))
    assert drawn.shape == infrared.shape
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert fused[22:24, 30:32].mean() - fused[22:24, 16:20].mean() > 80
    # the brightness of the surroundings is unchanged
    assert np.abs(fused.astype(int) - before)[:, :20].max() <= 25
    assert np.array_equal(fused[drawn == 0], before[drawn == 0])
    # visible details are taken away, around the body more than on it
    assert less[21:25, 29:33].max() < less[16:19, 28:34].min()
    assert not less[drawn == 0].any()


def test_what_the_blend_shows_is_left_alone() -> None:
    infrared = warm()
    assert not TargetBlend(SHAPE, 1.0).mask(eighth(infrared), eighth(infrared), None).any()


def test_without_readiness_nothing_is() -> None:
    assert not TargetBlend(SHAPE, 0.0).mask(eighth(warm()), np.full(SHAPE, 110, np.uint8), None).any()


@pytest.mark.parametrize(("evidence", "pulled"), [(0.0, False), (0.25, True), (0.75, True), (1.0, True)])
def test_the_evidence_is_a_gate(evidence: float, pulled: bool) -> None:
    mask = TargetBlend(SHAPE, 1.0).mask(eighth(warm()), np.full(SHAPE, 110, np.uint8), np.full(SHAPE, evidence, np.float32))
    assert (mask.max() > 0.9) == pulled
    assert (mask.max() == 0) != pulled


@pytest.mark.parametrize("readiness", [0.3, 1.0, 2.0])
def test_a_frame_full_of_warm_things_stays_within_the_budget(readiness: float) -> None:
    infrared = np.full(SHAPE, 40, np.uint8)
    infrared[2::6, 2::6] = 220
    mask = TargetBlend(SHAPE, readiness).mask(infrared, np.full(SHAPE, 110, np.uint8), None)
    # all boxes are equal: select none of them rather than all
    assert mask.mean() <= 0.4
    noisy = random(SHAPE, 3)
    assert TargetBlend(SHAPE, readiness).mask(noisy, np.full(SHAPE, 110, np.uint8), None).mean() <= (0.35 if readiness <= 1 else 0.45)


def test_readier_means_more() -> None:
    infrared = cv2.GaussianBlur(random(SHAPE, 5), (3, 3), 0.8)
    fused = cv2.addWeighted(infrared, 0.4, random(SHAPE, 6), 0.3, 20)
    evidence = np.linspace(0, 1, infrared.size, dtype=np.float32).reshape(SHAPE)
    masks = [TargetBlend(SHAPE, r).mask(infrared, fused, evidence) for r in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2)]
    for less, more in itertools.pairwise(masks):
        assert np.all(more >= less)
    assert not masks[0].any()
    assert masks[-1].mean() > masks[4].mean() > 0


def test_a_hot_body_does_not_saturate() -> None:
    infrared, fused = warm(250, 200), np.full_like(warm(), 180)
    pull = TargetBlend(SHAPE, 1.0)
    pull.apply(np.ones(SHAPE, np.float32), fused, infrared, eighth(fused), eighth(infrared))
    assert fused[22:24, 30:32].max() <= 255
    assert int(fused[22, 31]) - int(fused[22, 10]) > 30


@pytest.mark.parametrize("shape", [(4, 4), (4, 60), (8, 4)], ids=str)
def test_the_smallest_frames(shape: tuple[int, int]) -> None:
    pull = TargetBlend(shape, 2.0)
    infrared, quarter = random(shape, 1), random((2 * shape[0], 2 * shape[1]), 2)
    mask = pull.mask(infrared, random(shape, 3), None)
    drawn, _ = pull.apply(mask, quarter.copy(), quarter, infrared, infrared)
    assert np.isfinite(drawn).all()


@needs_compiler
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(0, 2**32 - 1))
def test_compiled_and_not_agree_to_the_bit(height: int, width: int, gated: bool, seed: int) -> None:
    def picture(k: int, factor: int = 1) -> UInt8Array:
        shape = factor * height, factor * width
        return cv2.blur(random(shape, seed + k), (3, 3)).reshape(shape)

    evidence = random((height, width), seed + 9).astype(np.float32) / np.float32(255) if gated else None
    gate = Gate(budget=height * width // 3, begin=30.0, width=127.0, evidence=0.1, rise=4.0)
    strength = Strength(
        edge=60.0, base=0.9, detail=0.75, own_detail=0.2, warm=10.0, ramp=20.0, flatter=0.6, brighter=1.3, brightest=250.0
    )  # fmt: skip
    shares = []
    for way in (NumpySteps, CompiledSteps):
        steps, fused = way((height, width), gate, strength), picture(0, 2)
        mask = steps.mask(picture(1), evidence)
        shares.append((mask, *steps.pull(mask, picture(2), picture(3), picture(4, 2), fused), fused))
    for one, other in zip(*shares, strict=True):
        assert np.array_equal(one, other)
