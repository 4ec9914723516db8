"""The kernel network of sharpen-edge: training and runtime compute the same, and the commands from training to export work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgefuse import zoo
from edgefuse.runtimes.golden import verify
from edgefuse.sharpening.covariance import Grid, covariances
from edgefuse.sharpening.kernel import MANY, FixedFeatures
from edgefuse.sharpening.kernel_network import AXES, from_card
from edgefuse.sharpening.psf import Psf
from tools.data import sharpening
from tools.kernel import export, train
from tools.kernel.network import MARGIN, KernelNetwork, parameters


def _scenes(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    spectra = np.abs(np.cumsum(rng.normal(0, 1, (5, 40)), 1)) + 1
    for name in ("a", "b", "held_out"):
        fields = rng.integers(0, 5, (12, 12)).repeat(4, 0).repeat(4, 1)
        cube = spectra[fields] * rng.uniform(0.8, 1.2, (48, 48, 1)) * 100 + rng.normal(0, 5, (48, 48, 40))
        np.savez(folder / f"{name}.npz", cube=cube.astype(np.float32))
    return folder


def test_it_has_at_most_ten_thousand_parameters() -> None:
    assert parameters(KernelNetwork()) <= 10_000


def test_trained_and_exported_it_is_what_the_runtime_has(tmp_path: Path) -> None:
    data, runs, models = _scenes(tmp_path), tmp_path / "runs", tmp_path / "models"
    options = ["--steps", "4", "--every", "2", "--pairs", "2", "--asked", "1", "--rate", "0.05", "--without", "held_out"]
    result = train.train(train.parser().parse_args(["--data", str(data), "--runs", str(runs), *options]))
    assert isinstance(result["held_out"], float)
    assert result["steps"] == 4
    assert result["scenes"] == ["a", "b"]
    folder = export.export(export.parser().parse_args(["--runs", str(runs), "--models", str(models)]))
    card = zoo.read_card(folder)
    assert {r.status for r in verify(card)} == {"ok"}
    state = torch.load(runs / "sharpen-kernel/final.pt", weights_only=True)
    network = KernelNetwork(state["width"])
    network.load_state_dict(state["network"])
    assert float(network.say.weight.detach().abs().max()) > 0
    pair = sharpening.random_pair(list(sharpening.read(data).values()), np.random.default_rng(1))
    height, width = pair.whitened.shape[1:]
    with torch.no_grad():
        f, slopes, scale = train.features(network, pair, slice(0, height), slice(0, width))
    whitened = np.pad(np.moveaxis(pair.whitened.numpy(), 0, 2), [(MARGIN, MARGIN)] * 2 + [(0, 0)], mode="reflect")
    bands = whitened.shape[2]
    kernel = from_card(card, bands)
    assert kernel.near == pytest.approx(network.near[int(bands >= MANY)].item(), abs=1e-3)
    made = kernel.features(whitened, np.sinh(np.moveaxis(pair.planes[AXES:].numpy(), 0, 2)))
    np.testing.assert_allclose(made.similarity.reshape(f.shape), f, atol=1e-3)
    np.testing.assert_allclose(made.slopes.reshape(f.shape), slopes, atol=1e-3)
    np.testing.assert_allclose(made.scale.reshape(scale.shape), scale, atol=1e-3)


def test_its_covariances_are_the_runtime_s() -> None:
    features = np.random.default_rng(0).normal(0, 1, (8, 12, 3)).astype(np.float32)
    similarity = FixedFeatures()(features, features[..., :0]).similarity
    seen = train.similarity(torch.from_numpy(similarity.reshape(-1, 3)), (8, 12), torch.tensor(5.0)).numpy()
    y, x = ((np.arange(n, dtype=np.float32) + np.float32(0.5)) / 4 for n in (8, 12))
    weights = Psf(4).rows(0, 2, 8)[1], Psf(4).columns(0, 3, 12)[1]
    window = Grid(similarity, np.ones(similarity.shape[:2], np.float32), y, x)
    computed = covariances(window, window, weights, 5.0)
    right = np.einsum("aprq,mr,nq->amnp", seen.reshape(8, 12, 8, 12), *weights).reshape(8, -1, 12)
    np.testing.assert_allclose(computed, right, atol=1e-4)
