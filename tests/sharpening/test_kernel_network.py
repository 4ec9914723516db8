"""The learned kernel: its model on every runtime, results independent of a window's surroundings, and where the fixed kernel is used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgefuse import zoo
from edgefuse.runtimes.golden import verify
from edgefuse.sharpening import kernel_network
from edgefuse.sharpening.kernel import FixedFeatures
from edgefuse.sharpening.kernel_network import FEATURES, LEFT, MODEL, LearnedFeatures
from edgefuse.util.arrays import Float32Array


def test_its_golden_pair_on_every_runtime_that_is_here() -> None:
    verified = verify(zoo.find(MODEL))
    assert {r.runtime for r in verified} == {"onnx", "numpy"}
    assert {r.status for r in verified} <= {"ok", "missing"}, [r.note for r in verified]


def test_it_is_small_and_the_card_says_what_is_needed() -> None:
    card = zoo.find(MODEL)
    assert card.cost["parameters"] <= 10_000
    assert all(1 < near < 100 for near in card.training["near"])


def _seen(height: int, width: int, bands: int, seed: int) -> tuple[Float32Array, Float32Array]:
    rng = np.random.default_rng(seed)
    whitened, left = (rng.normal(0, deviation, (height, width, n)).astype(np.float32) for deviation, n in ((2, bands), (1, LEFT)))
    return whitened, left


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 6, 8])
def test_any_number_of_bands_and_a_window_is_a_part_of_the_whole(bands: int) -> None:
    features = kernel_network.from_card(zoo.find(MODEL), bands).features
    margin = features.margin
    seen = _seen(24, 21, bands, bands)
    whole = features(*seen)
    assert whole.similarity.shape == whole.slopes.shape == (24 - 2 * margin, 21 - 2 * margin, FEATURES)
    assert whole.scale.shape == whole.similarity.shape[:2]
    assert (whole.scale > 0).all()
    part = features(*(x[5:16, 3:17] for x in seen))
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a[5 : 16 - 2 * margin, 3 : 17 - 2 * margin], b, atol=1e-4)


def test_it_adds_to_the_fixed_features() -> None:
    whitened, left = np.zeros((9, 9, 4), np.float32), np.zeros((9, 9, LEFT), np.float32)
    whitened[4, 4, 1] = 40
    made, fixed = kernel_network.kernel(4).features(whitened, left), FixedFeatures()(whitened[2:-2, 2:-2], left[2:-2, 2:-2, :0])
    assert made.slopes[2, 2, 1] > 0.5 * fixed.slopes[2, 2, 1]
    assert np.abs(made.similarity[..., :4] - fixed.similarity).max() < 10


def test_what_the_trend_leaves_tells_places_apart() -> None:
    whitened, left = np.zeros((9, 9, 4), np.float32), np.zeros((9, 9, LEFT), np.float32)
    left[:, 5:, 0] = 2
    made = kernel_network.kernel(4).features(whitened, left)
    assert np.abs(made.similarity[2, 0] - made.similarity[2, -1]).max() > 1e-3


def test_an_image_of_many_bands_has_a_fixed_kernel() -> None:
    assert isinstance(kernel_network.kernel(5).features, LearnedFeatures)
    assert isinstance(kernel_network.kernel(6).features, FixedFeatures)
    assert kernel_network.kernel(6).near > kernel_network.kernel(5).near


def test_tiles_side_by_side_get_their_own() -> None:
    features = kernel_network.kernel(4).features
    windows = [_seen(20, 20, 4, n) for n in range(12)]
    alone = [features(*w) for w in windows]
    with ThreadPoolExecutor(4) as crew:
        for made, again in zip(alone, crew.map(lambda w: features(*w), windows), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))
