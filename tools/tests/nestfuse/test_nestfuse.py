"""NestFuse: the network, its halved version, measurements, and the commands from synthetic data to verified models."""

from __future__ import annotations

import copy
import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgefuse import zoo
from edgefuse.runtimes.golden import verify
from tools.data.photographs import Photograph, crops, load
from tools.nestfuse import distil, export, nestfuse_graph, plot_losses, sensitivity, train
from tools.nestfuse.edge_network import EDGE, NestFuseEdge
from tools.nestfuse.halve_channels import halved, without_half
from tools.nestfuse.network import NestFuse, firing, is_block
from tools.soft_metrics import detail_kept, ssim


@pytest.fixture(scope="module")
def small() -> NestFuse:
    """Return nestfuse-small with random weights that give a visible output."""
    torch.manual_seed(0)
    network = NestFuse(4).eval()
    nn.init.normal_(network.last.weight, std=0.5)
    return network


def test_parameters_and_macs_are_the_published_ones() -> None:
    graph = nestfuse_graph.trace(NestFuse())
    assert graph.parameters == 2_732_761
    assert graph.macs_per_pixel == 1_162_464
    small = nestfuse_graph.trace(NestFuse(4))
    assert small.parameters / graph.parameters < 0.794
    assert small.macs_per_pixel / graph.macs_per_pixel < 0.51
    assert nestfuse_graph.trace(NestFuseEdge()).macs_per_pixel * 12 < graph.macs_per_pixel


def test_attention_of_equal_features_changes_nothing(small: NestFuse) -> None:
    x = torch.rand(1, 5, 4, 6)
    for small.attention in ("max", "average"):
        torch.testing.assert_close(small.fuse(x, x), x)


def test_attention_sides_with_the_stronger_features(small: NestFuse) -> None:
    a, b = torch.full((1, 2, 2, 2), 0.9), torch.full((1, 2, 2, 2), 0.1)
    torch.testing.assert_close(small.fuse(a, b), torch.full_like(a, 0.9 * 0.95 + 0.1 * 0.05), atol=1e-4, rtol=0)


def test_halving_keeps_the_channels_that_are_needed_and_makes_them_do_the_work_of_the_others() -> None:
    torch.manual_seed(0)
    pairs = torch.rand(2, 2, 16, 24)
    network = NestFuse().settled(pairs[:, :1])
    with torch.no_grad():
        for part in network.modules():
            if is_block(part):
                half = len(part[0].weight) // 2
                part[0].weight[half:] = part[0].weight[:half]  # the second half of the intermediate channels is a copy
                part[0].bias[half:] = part[0].bias[:half]
        small = halved(network, pairs)
        torch.testing.assert_close(small(*pairs.split(1, 1)), network(*pairs.split(1, 1)), atol=2e-2, rtol=0)
    assert sum(p.numel() for p in small.parameters()) == 1_366_989


def test_halving_draws_closer_to_the_whole_than_half_of_the_channels_as_they_are() -> None:
    torch.manual_seed(1)
    channels = torch.rand(8, 500).double() + torch.rand(1, 500).double()
    drawn = torch.randn(3, 8).double() @ channels
    ones = torch.cat([channels, torch.ones(1, 500).double()])
    stay, weights = without_half(ones @ ones.T, drawn @ ones.T)
    error = (weights.double() @ ones - drawn).square().mean()
    assert len(stay) == 4
    assert not weights[:, [k for k in range(8) if k not in stay]].any()
    fits = (torch.linalg.lstsq(ones[[*c, 8]].T, drawn.T) for c in combinations(range(8), 4))
    best, *_, worst = sorted(
        float((ones[[*c, 8]].T @ f.solution - drawn.T).square().mean()) for c, f in zip(combinations(range(8), 4), fits, strict=True)
    )
    assert best * 0.99 < float(error) < (best + worst) / 2


def test_a_settled_network_has_no_dead_channel_and_draws_as_bright_as_its_frames() -> None:
    torch.manual_seed(3)
    x = torch.rand(4, 1, 32, 32)
    network = NestFuse(4).settled(x)
    with firing(network) as fired, torch.no_grad():
        drawn = network.decode(network.encode(x))
    assert all(channels.all() for channels in fired.values())
    assert sum(len(channels) for channels in fired.values()) == 524
    torch.testing.assert_close(torch.stack([drawn.mean(), drawn.std()]), torch.stack([x.mean(), x.std()]), atol=1e-3, rtol=0)


def test_a_channel_that_never_fires_is_found(small: NestFuse) -> None:
    network = copy.deepcopy(small)
    with torch.no_grad():
        network.encoder[1][0].bias[2] = -1e6
    with firing(network) as fired, torch.no_grad():
        network.encode(torch.rand(2, 1, 16, 16))
    assert not fired["encoder.1"][2]
    assert fired["encoder.0"].any()
    assert not fired["decoder.11"].any()  # the decoder did not run


def test_an_unknown_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown attention 'nuclear'; one of average, max"):
        NestFuse(attention="nuclear")


def test_ssim_of_equal_frames_is_one_and_of_noise_less() -> None:
    a, b = torch.rand(2, 1, 1, 32, 32)
    assert float(ssim(a, a)) == pytest.approx(1)
    assert float(ssim(a, b)) < 0.2


def test_detail_is_kept_by_its_gain_and_lost_in_noise() -> None:
    torch.manual_seed(0)
    source = 0.5 + 0.1 * torch.randn(1, 1, 36, 36)
    whole, half = (float(detail_kept(source, 0.5 + g * (source - 0.5), 9).mean()) for g in (1, 0.5))
    assert detail_kept(source, source, 9).shape == (1, 1, 4, 4)
    assert whole == pytest.approx(np.log(1 + (25.5**2) / 2), rel=0.05)
    assert half == pytest.approx(np.log(1 + (25.5**2) / 8), rel=0.05)
    assert float(detail_kept(source, torch.rand_like(source), 9).mean()) < 0.1


def test_crops_are_repeatable_and_in_range(photographs: list[Photograph]) -> None:
    first, again = (crops(photographs, 6, 48, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first.shape, first.dtype) == ((6, 1, 48, 48), np.float32)
    assert first.min() >= 0
    assert first.max() <= 1


def test_coco_is_read_as_it_is_unpacked(coco: Path) -> None:
    (coco / "images").rename(coco / "val2017")
    (coco / "masks").rename(coco / "annotations")
    assert len(load([f"coco:{coco}"])) == 40


def test_sensitivity_finds_what_goes_nowhere(small: NestFuse) -> None:
    torch.manual_seed(1)
    network = NestFuse().eval()
    nn.init.normal_(network.last.weight)
    with torch.no_grad():
        network.last.bias += 0.5
        network.decoder["13"][0].weight[:, 64:128] = 0  # block 13 ignores block 11's output
        network.decoder["12"][0].weight[:, 64:128] = 0  # and so does block 12
    pairs = np.random.default_rng(0).integers(0, 256, (2, 2, 32, 32), np.uint8)
    rows = {r["part"]: r for r in sensitivity.measure(network, pairs)}
    assert rows["11: its output"]["psnr_db"] == 100
    assert rows["13: what comes from below"]["psnr_db"] < 100
    assert rows["13: all but 1/2 of its channels"]["macs_per_pixel"] == round((304 * 152 * 9 + 152 * 64) / 2)
    assert len(rows) == 23


def _train(coco: Path, runs: Path, *more: object) -> dict:
    args = ("--data", f"coco128:{coco}", "--runs", runs, "--steps", 4, "--every", 2, "--batch", 1, "--size", 32, *more)
    return train.train(train.parser().parse_args([str(a) for a in args]))


def _distil(pairs: Path, runs: Path, *more: object) -> dict:
    args = ("--teacher", "nestfuse-100", "--pairs", pairs, "--runs", runs, "--crops", 8, "--size", 32, "--steps", 4, "--every", 2, *more)
    return distil.train(distil.parser().parse_args([str(a) for a in args]))


def _exported(models: Path, runs: Path, pairs: Path, *more: object) -> zoo.Card:
    args = ("--runs", runs, "--models", models, "--calibration", pairs, *more)
    card = zoo.read_card(export.export(export.parser().parse_args([str(a) for a in args])))
    results = verify(card)
    assert all(r.status == "ok" for r in results), results
    return card


def test_train_halve_distil_export_verify(coco: Path, pairs: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert _train(coco, runs, "--stop-after", 2) == {"stopped_at": 2}
    result = _train(coco, runs)
    assert {"pixel_loss", "ssim_loss", "psnr_db"} == result["test"].keys()
    assert result["alive"]["all"] > 1000
    lines = plot_losses.read(runs, ["nestfuse-100"])["nestfuse-100"]
    assert [line["step"] for line in lines] == [2, 4]
    _train(coco, runs, "--model", "nestfuse-small", "--from", "nestfuse-100")
    assert {"psnr_db", "lowest_psnr_db"} == _distil(pairs, runs)["test"].keys()
    _distil(pairs, runs, "--model", "nestfuse-small", "--from", "nestfuse-small-100", "--batch", 1)

    models = tmp_path / "models"
    card = _exported(models, runs, pairs, "--model", EDGE, "--run", EDGE, "--precisions", "fp32", "int8")
    assert {(f.runtime, f.precision) for f in card.files} == {
        ("onnx", "fp32"), ("onnx", "int8"), ("litert", "fp32"), ("litert", "int8"), ("numpy", "fp32"),
    }  # fmt: skip
    assert (card.default_precision, card.multiple) == ("fp32", 8)
    assert card.cost["convolutions"] == {"fp32": 4, "int8": 7}
    assert set(card.cost["peak_bytes_per_pixel"]) == {f"{f.runtime}_{f.precision}" for f in card.files}
    card = _exported(models, runs, pairs, "--model", "nestfuse-small", "--run", "nestfuse-small", "--precisions", "int8")
    assert {(f.runtime, f.precision) for f in card.files} == {("onnx", "int8"), ("litert", "int8")}
    assert card.cost["convolutions"] == {"fp32": 8, "int8": 23}


def test_losses_are_plotted(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "a").mkdir()
    lines = [{"step": k, "pixel_loss": 1 / k, "ssim_loss": 1 / k, "psnr_db": k} for k in (1, 2)]
    (tmp_path / "a/log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    plot_losses.plot(plot_losses.read(tmp_path, ["a"]), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_losses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["plot_losses", "nowhere", "--runs", str(tmp_path), "--out", str(tmp_path / "a.png")])
    with pytest.raises(SystemExit, match=r"tools\.nestfuse\.plot_losses: .*No such file"):
        plot_losses.main()
