"""SSCNet from a linear transform: the initialisation, the training data, and the command from there to the exported files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgefuse import zoo
from edgefuse.hyperspectral.codec.sscnet import patterns, with_place_patterns
from edgefuse.runtimes.golden import verify
from tools.data.cubes import BANDS, load
from tools.data.photographs import Photograph
from tools.sscnet import cell_positions, export, linear_start, linear_transform, train_from_linear
from tools.sscnet.mixing import Source
from tools.sscnet.network import SPAN, SSCNet, read
from tools.tests.sscnet.test_sscnet import WIDTHS, scenes  # noqa: F401


def spectra(seed: int, count: int, size: int, grain: int = 1) -> np.ndarray:
    """Return (count, BANDS, size, size) in [0, 1]: four materials with smooth spectra; their shares are random every `grain` pixels."""
    rng = np.random.default_rng(seed)
    at = np.linspace(0, 1, BANDS)
    materials = np.stack([0.2 + 0.1 * at, 0.4 * np.exp(-(((at - 0.3) / 0.1) ** 2)), 0.3 * np.exp(-(((at - 0.7) / 0.2) ** 2)), 0.1 * at**2])
    coarse = rng.uniform(0.1, 1, (count * 4, size // grain, size // grain))
    shares = np.stack([cv2.resize(plane, (size, size)) for plane in coarse]).reshape(count, 4, size, size)
    return np.einsum("kb,nkhw->nbhw", materials, shares).astype(np.float32)


def test_told_its_places_the_network_computes_a_block_transform_and_otherwise_loses_what_is_fine() -> None:
    crops, x = spectra(0, 60, 48), torch.from_numpy(spectra(1, 4, 24))
    psnr = {}
    for told, first in ((True, 20), (False, 32)):
        # four materials at 64 places are 256 numbers, and these widths can hold them all
        network = SSCNet(latent=256, widths=(first, 48, 96, 256, 256, 64, 16, 4), span=SPAN, places=told)
        (cell_positions if told else linear_start).begin(network, crops)
        with torch.no_grad():
            psnr[told] = -10 * np.log10(float((network.eval()(x) - x).square().mean()))
    # the remaining error with places comes from the sigmoid, which is not exactly linear
    assert psnr[True] > 45
    assert psnr[False] < 25


def test_patterns_are_no_part_of_smooth_spectra_and_follow_the_cells() -> None:
    codes = patterns(BANDS)
    np.testing.assert_allclose(codes @ codes.T, np.eye(6), atol=1e-5)
    assert np.abs(codes @ spectra(0, 1, 8).reshape(BANDS, -1)).max() < 0.01
    added = with_place_patterns(np.zeros((BANDS, 11, 17), np.float32))
    np.testing.assert_array_equal(added[:, :3, :9], added[:, 8:11, 8:17])
    assert len(np.unique(np.round(added[:, :8, :8].reshape(BANDS, -1).T, 4), axis=0)) == 64


def test_mixed_crops_repeat_by_seed_and_are_reflectance(scenes: str) -> None:  # noqa: F811
    rng = np.random.default_rng(0)
    photographs = [Photograph(f"p{k}", rng.integers(0, 256, (60, 80), np.uint8), None) for k in range(3)]
    source = Source([s for s in load([scenes]) if s.part == "train"], photographs, 16, mixed=1.0)
    one, two = (source.batch(3, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (3, BANDS, 16, 16)
    assert one.min() >= 0
    assert one.max() <= 1
    assert one.std(axis=(2, 3)).max() > 0


@pytest.mark.parametrize("told", [[], ["--places"]])
def test_train_goes_on_where_it_was_and_exports(scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:  # noqa: F811
    monkeypatch.setattr(train_from_linear, "VALIDATION", ("enmap_00",))
    monkeypatch.setattr(train_from_linear, "CROPS", 8)
    monkeypatch.setattr(export, "RANGE_CROPS", 1)
    runs = tmp_path / "runs"
    small = ["--batch", "1", "--size", "16", "--every", "1", "--nice", "0"]
    common = ["--data", scenes, "--photographs", "--runs", str(runs), "--name", "x", *small]
    widths = ["--latent", "8", "--widths", *map(str, (20, 24, 24, 24, 24, 16, 16, 16))]
    models = tmp_path / "models"
    exported = ["--export", str(models)] if told else []
    result = train_from_linear.train(
        train_from_linear.parser().parse_args([*common, *widths, *told, *exported, "--hours", "0.001", "--patience", "2"])
    )
    assert (runs / "x/log.png").is_file()
    assert set(result["test"]) == {"mean_db", "sandiego"}
    lines = [json.loads(line) for line in (runs / "x/log.jsonl").read_text().splitlines()]
    assert lines[0]["step"] == 0
    assert result["best_step"] == max(lines, key=lambda line: line["mean_db"])["step"]
    again = train_from_linear.train(train_from_linear.parser().parse_args([*common, *widths, *told, "--hours", "0.001", "--patience", "2"]))
    assert again["steps"] >= result["steps"]
    assert read(runs / "x").places == bool(told)
    if not told:
        arguments = ["--data", scenes, "--runs", str(runs), "--run", "x", "--models", str(models), "--crops", "1"]
        export.export(export.parser().parse_args(arguments))
    for name in ("sscnet-encoder", "sscnet-decoder"):
        assert [(r.runtime, r.status) for r in verify(zoo.read_card(models / name))] == [("onnx", "ok"), ("litert", "ok")]


def test_the_linear_transform_keeps_what_its_latents_hold(scenes: str) -> None:  # noqa: F811
    loaded = [s for s in load([scenes]) if not s.name.startswith("enmap")]
    cube = loaded[0].cube[:, :16, :24]
    psnr = []
    for count in (16, 512):
        made = linear_transform.Linear(loaded, count)
        decoded = made.decode(np.rint(made.encode(cube) * 255) / np.float32(255))
        psnr.append(-10 * np.log10(np.mean(np.square(decoded - cube))))
    assert psnr[1] > psnr[0] + 3


def test_widths_of_the_published_network_are_the_default() -> None:
    args = train_from_linear.parser().parse_args([])
    assert SSCNet(latent=args.latent, widths=args.widths, span=SPAN).shape["widths"] == SSCNet().shape["widths"]
    assert len(WIDTHS) == len(args.widths)
