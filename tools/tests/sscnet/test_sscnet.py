"""SSCNet: scenes, network, and the commands from training to pruning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgefuse import zoo
from edgefuse.runtimes.golden import verify
from tools.data.cubes import BANDS, DROPPED, batch, enmap, load, resampled, scaled
from tools.sscnet import export, prune, rate_distortion, train
from tools.sscnet.network import SSCNet, begin_with_spectra, macs_per_pixel, parameters, read

WIDTHS = (16, 16, 16, 24, 24, 16, 16, 16)


@pytest.fixture
def scenes(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    folder = tmp_path / "scenes"
    folder.mkdir()
    spectra = np.cumsum(rng.normal(0, 1, (3, 60)), 1)
    for name in ("one", "sandiego"):
        fields = np.cumsum(np.cumsum(rng.normal(0, 1, (20, 27, 3)), 0), 1)
        cube = fields @ spectra
        np.savez(folder / f"{name}.npz", cube=(9000 * (cube - cube.min()) / np.ptp(cube)).astype(np.uint16))
    np.savez(folder / "enmap_tiles.npz", cube=rng.integers(0, 4000, (2, 16, 16, 218)).astype(np.int16))
    return f"scenes:{folder}"


def test_scenes_have_202_bands_and_a_held_out_part(scenes: str) -> None:
    loaded = {s.name: s for s in load([scenes])}
    assert {n: s.part for n, s in loaded.items()} == {"one": "train", "sandiego": "test", "enmap_00": "train", "enmap_01": "train"}
    assert all(s.cube.shape[0] == BANDS and s.cube.dtype == np.float32 for s in loaded.values())
    with pytest.raises(ValueError, match="expected scenes:DIR or hyspecnet:DIR"):
        load(["cubes:x"])


def test_enmap_loses_its_water_vapour_bands_with_and_without_the_missing_ones() -> None:
    numbered = np.broadcast_to(np.arange(224), (1, 1, 224))
    kept = [b for b in range(224) if b not in DROPPED]
    assert enmap(numbered)[0, 0].tolist() == kept
    assert len(kept) == BANDS
    assert enmap(np.delete(numbered, range(129, 135), axis=2))[0, 0].tolist() == kept


def test_scaling_is_fixed_and_resampling_keeps_the_ends() -> None:
    assert scaled(np.array([[[-5, 5000, 20000]]], np.int16)).tolist() == [[[0.0, 0.5, 1.0]]]
    assert scaled(np.array([[[0.25, 1.5]]], np.float32)).tolist() == [[[0.25, 1.0]]]
    ramp = resampled(np.linspace(0, 1, 60, dtype=np.float32)[None, None])
    np.testing.assert_allclose(ramp[0, 0], np.linspace(0, 1, BANDS), atol=1e-6)


def test_hyspecnet_s_splits(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        (tmp_path / "splits/easy").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"splits/easy/{part}.csv").write_text(f"tile/{part}-DATA.npy\n")
        (tmp_path / "patches/tile").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"patches/tile/{part}-DATA.npy", np.full((BANDS, 8, 8), 0.5, np.float32))
    assert [s.part for s in load([f"hyspecnet:{tmp_path}"])] == ["train", "validation", "test"]


def test_batches_repeat_by_seed(scenes: str) -> None:
    loaded = load([scenes])
    one, two = (batch(loaded, 3, 32, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (3, BANDS, 32, 32)
    assert one.min() >= 0
    assert one.max() <= 1


def test_the_published_network_has_the_published_size_and_rate() -> None:
    network = SSCNet()
    latent = network.encoder(torch.zeros(1, BANDS, 16, 24))
    assert latent.shape == (1, 1024, 2, 3)
    # the paper's 2.53 bpppc, latents as float32
    assert 32 * latent.numel() / (BANDS * 16 * 24) == pytest.approx(2.535, abs=0.001)
    assert parameters(network) == 13_783_242
    assert macs_per_pixel(network) == 1_979_392


def test_it_begins_near_the_mean_spectrum() -> None:
    rng = np.random.default_rng(0)
    spectra = np.clip(0.4 + 0.05 * rng.normal(size=(500, 3)) @ rng.normal(size=(3, BANDS)), 0.01, 0.99).astype(np.float32)
    torch.manual_seed(0)
    network = SSCNet(latent=8, widths=WIDTHS)
    begin_with_spectra(network, spectra)
    with torch.no_grad():
        made = network(torch.from_numpy(spectra[:64].T.reshape(1, BANDS, 8, 8).copy()))
    assert abs(float(made.mean()) - float(spectra.mean())) < 0.1


def test_pruning_takes_size_and_work_and_leaves_rate_and_bands() -> None:
    network = SSCNet(latent=8, widths=WIDTHS)
    size, work = parameters(network), macs_per_pixel(network)
    pruned = prune.prune(network, 0.5)
    assert pruned.shape == {
        "bands": BANDS,
        "latent": 8,
        "widths": (8, 8, 8, 12, 12, 8, 8, 8),
        "span": (0.0, 1.0),
        "places": False,
    }
    assert parameters(pruned) < 0.6 * size
    assert macs_per_pixel(pruned) < 0.6 * work


def test_train_prune_export_and_go_on_where_it_was(scenes: str, tmp_path: Path) -> None:
    common = ["--data", scenes, "--runs", str(tmp_path / "runs"), "--every", "1", "--batch", "1", "--size", "16"]
    first = train.train(train.parser().parse_args([*common, "--latent", "8", "--steps", "2", "--stop-after", "1"]))
    assert first == {"stopped_at": 1}
    result = train.train(train.parser().parse_args([*common, "--latent", "8", "--steps", "2"]))
    assert result["steps"] == 2
    assert set(result["test"]) == {"mean_db", "sandiego"}
    compared = prune.run(prune.parser().parse_args([*common, "--from", "sscnet-8", "--rounds", "2", "--steps", "3"]))
    assert compared["size_share"] <= 0.55
    assert compared["macs_share"] <= 0.5
    assert (tmp_path / "runs/sscnet-8-pruned-compared/result.json").is_file()
    models = tmp_path / "models"
    arguments = ["--data", scenes, "--runs", str(tmp_path / "runs")]
    folders = export.export(export.parser().parse_args([*arguments, "--run", "sscnet-8-pruned", "--models", str(models), "--crops", "2"]))
    assert [f.name for f in folders] == ["sscnet-encoder", "sscnet-decoder"]
    for folder in folders:
        card = zoo.read_card(folder)
        results = verify(card)
        assert [(r.runtime, r.status) for r in results] == [("onnx", "ok"), ("litert", "ok")]
        assert [o.domain for o in onnx.load(folder / f"{card.name}.int8.onnx").opset_import] == [""]
        assert card.quality["golden_int8_onnx_psnr_db"] > 15
        assert card.training["pruning"]["size_share"] == compared["size_share"]
    report = rate_distortion.measure(
        rate_distortion.parser().parse_args([*arguments, "--unpruned", "sscnet-8", "--pruned", "sscnet-8-pruned"])
    )
    assert set(report) == {"scenes", "unpruned", "pruned", "pruned int8"}
    for name in ("unpruned", "pruned", "pruned int8"):
        rates = [p["bpppc"] for p in report[name]["points"]]
        assert rates == sorted(rates, reverse=True)


def test_the_exported_decoder_draws_what_the_network_draws() -> None:
    torch.manual_seed(0)
    network = SSCNet(latent=8, widths=WIDTHS).eval()
    limits = torch.full((8,), -1.0), torch.linspace(0.5, 2, 8)
    latent = torch.rand(1, 8, 3, 2)
    whole = network.decoder(latent * (limits[1] - limits[0])[:, None, None] + limits[0][:, None, None])
    for blocks_first in (False, True):
        torch.testing.assert_close(export.Decoder(network, *limits, blocks_first=blocks_first)(latent), whole)


def test_a_run_is_read_as_it_ended(tmp_path: Path) -> None:
    network = SSCNet(latent=8, widths=WIDTHS)
    torch.save({"network": network.state_dict(), "shape": network.shape}, tmp_path / "final.pt")
    x = torch.rand(1, BANDS, 8, 8)
    torch.testing.assert_close(read(tmp_path)(x), network(x))
