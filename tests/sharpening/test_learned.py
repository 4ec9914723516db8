"""The learned kernel: its model on every runtime, windows alike whatever surrounds them, the fixed kernel where it does not apply."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgefuse import zoo
from edgefuse.runtimes.golden import verify
from edgefuse.sharpening import learned
from edgefuse.sharpening.kernel import Fixed
from edgefuse.sharpening.learned import AXES, MODEL, Learned


def test_its_golden_pair_on_every_runtime_that_is_here() -> None:
    found = verify(zoo.find(MODEL))
    assert {r.runtime for r in found} == {"onnx", "numpy"}
    assert {r.status for r in found} <= {"ok", "missing"}, [r.note for r in found]


def test_it_is_small_and_the_card_says_what_is_needed() -> None:
    card = zoo.find(MODEL)
    assert card.cost["parameters"] <= 10_000
    assert 1 < card.training["near"] < 100


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 8])
def test_any_number_of_bands_and_a_window_is_a_part_of_the_whole(bands: int) -> None:
    features = Learned(zoo.find(MODEL))
    margin = features.margin
    whitened = np.random.default_rng(bands).normal(0, 2, (24, 21, bands)).astype(np.float32)
    whole = features(whitened)
    assert whole.alike.shape == whole.leaning.shape == (24 - 2 * margin, 21 - 2 * margin, AXES)
    part = features(whitened[5:16, 3:17])
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a[5 : 16 - 2 * margin, 3 : 17 - 2 * margin], b, atol=1e-4)


def test_it_adds_to_the_fixed_features() -> None:
    whitened = np.zeros((9, 9, 4), np.float32)
    whitened[4, 4, 1] = 40
    made, fixed = learned.kernel(4).features(whitened), Fixed()(whitened[2:-2, 2:-2])
    assert made.leaning[2, 2, 1] > 0.5 * fixed.leaning[2, 2, 1]
    assert np.abs(made.alike[..., :4] - fixed.alike).max() < 10


def test_an_image_of_many_bands_has_a_fixed_kernel() -> None:
    assert isinstance(learned.kernel(5).features, Learned)
    assert isinstance(learned.kernel(6).features, Fixed)
    assert learned.kernel(6).near > learned.kernel(5).near


def test_tiles_side_by_side_get_their_own() -> None:
    features = Learned(zoo.find(MODEL))
    windows = [np.random.default_rng(n).normal(0, 1, (20, 20, 4)).astype(np.float32) for n in range(12)]
    alone = [features(w) for w in windows]
    with ThreadPoolExecutor(4) as crew:
        for a, b in zip(alone, crew.map(features, windows), strict=True):
            assert np.array_equal(a.alike, b.alike)
            assert np.array_equal(a.leaning, b.leaning)
