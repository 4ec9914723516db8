"""CSAKD: scenes, losses, network, and the commands from training to export."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgefuse import zoo
from edgefuse.runtimes import choose
from edgefuse.runtimes.golden import verify
from edgefuse.sharpening import csakd as runtime
from tools.csakd import export, losses, network, train
from tools.csakd.network import BANDS, CSAKD, REACH, SLOTS, begin
from tools.data.wald import HELD_OUT, RATIO, Scene, batch, degraded, interpolated, load, wide_bands


def _cube(rows: int, columns: int, bands: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectra = np.abs(np.cumsum(rng.normal(0, 1, (3, bands)), 1))
    fields = np.abs(np.cumsum(np.cumsum(rng.normal(0, 1, (rows, columns, 3)), 0), 1))
    cube = fields @ spectra
    return (9000 * cube / cube.max()).astype(np.uint16)


@pytest.fixture
def scenes(tmp_path: Path) -> str:
    folder = tmp_path / "scenes"
    folder.mkdir()
    for k, (name, bands) in enumerate({"one": 60, "two": 205, "sandiego": 70, "paris_hs": 40}.items()):
        np.savez(folder / f"{name}.npz", cube=_cube(26, 33, bands, k))
    return f"scenes:{folder}"


def _examples(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = _cube(40, 40, BANDS, seed).astype(np.float32) / 10000
    start = interpolated(degraded(truth))
    cube, image = runtime.network_inputs(start, wide_bands(truth), BANDS)
    return cube[None], image[None], truth.transpose(2, 0, 1)[None]


def test_scenes_are_degraded_by_four_and_a_part_is_held_out(scenes: str) -> None:
    loaded = {s.name: s for s in load([scenes])}
    assert {n: s.part for n, s in loaded.items()} == {"one": "train", "two": "train", "sandiego": "test"}
    assert all(s.truth.shape == s.start.shape == (24, 32, s.truth.shape[2]) for s in loaded.values())
    assert all(s.truth.dtype == s.start.dtype == np.float32 for s in loaded.values())
    assert all(s.truth.max() <= 1 for s in loaded.values())
    assert "sandiego" in HELD_OUT
    with pytest.raises(ValueError, match="expected scenes:DIR or aviris:DIR"):
        load(["cubes:x"])


def test_interpolation_lies_where_the_degraded_pixels_were_taken() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[:, None, None], (64, 64, 2)).copy()
    low = degraded(ramp + np.random.default_rng(0).normal(0, 0.1, ramp.shape).astype(np.float32))
    again = interpolated(low)
    np.testing.assert_allclose(again[RATIO // 2 :: RATIO, RATIO // 2 :: RATIO], low, atol=1e-6)
    y, x = ((np.mgrid[:64, :64] - RATIO // 2) / RATIO).astype(np.float32)
    np.testing.assert_allclose(again, cv2.remap(low, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), atol=1e-5)


def test_aviris_as_published(tmp_path: Path) -> None:
    for part, file in (("train", "train"), ("val", "val"), ("test", "test")):
        (tmp_path / part).mkdir()
        (tmp_path / f"{file}.txt").write_text(f"{part}/Hama_1\n")
        with (tmp_path / f"{part}/Hama_1GT.npz.npy").open("wb") as f:
            np.save(f, _cube(16, 16, BANDS))
    assert [s.part for s in load([f"aviris:{tmp_path}"])] == ["train", "validation", "test"]
    np.savez(tmp_path / "test/Hama_1GT.npz", _cube(16, 16, 100))
    (tmp_path / "test/Hama_1GT.npz.npy").unlink()
    with pytest.raises(ValueError, match="expected 172 bands"):
        load([f"aviris:{tmp_path}"])
    (tmp_path / "test/Hama_1GT.npz").unlink()
    with pytest.raises(ValueError, match="Hama_1"):
        load([f"aviris:{tmp_path}"])


def test_batches_repeat_by_seed_and_have_images_of_four_and_six_bands(scenes: str) -> None:
    loaded = load([scenes])
    one, two = (batch(loaded, 3, 24, np.random.default_rng(5)) for _ in range(2))
    for a, b, channels in zip(one, two, (BANDS, SLOTS, BANDS), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.shape == (3, channels, 24, 24)
        assert a.min() >= 0
        assert a.max() <= 1
    lacking = set()
    for seed in range(8):
        cube, image, _ = batch(loaded, 1, 24, np.random.default_rng(seed))
        shown = np.einsum("nbhw,kb->nkhw", cube, runtime.response(BANDS))
        lacking.add(bool(np.allclose(image[:, 4:], shown[:, 4:], atol=1e-6)))
    assert lacking == {True, False}


def test_the_student_is_as_much_smaller_as_published() -> None:
    teacher, student = (network.network_of(kind) for kind in ("teacher", "student"))
    assert 1 - network.parameters(student) / network.parameters(teacher) > 0.72
    assert 1 - network.macs_per_pixel(student) / network.macs_per_pixel(teacher) > 0.85


def test_it_sees_no_further_than_it_says() -> None:
    torch.manual_seed(0)
    network = CSAKD(8, 4).double().eval()
    cube, image = torch.rand(1, BANDS, 40, 40).double(), torch.rand(1, SLOTS, 40, 40).double()
    with torch.no_grad():
        before = network(cube, image)
        cube[..., 20, 20] += 1
        image[..., 20, 20] += 1
        changed = (network(cube, image) - before).abs().amax((0, 1)).numpy() > 1e-12
    rows, columns = np.nonzero(changed)
    assert np.abs(rows - 20).max() == np.abs(columns - 20).max() == REACH == runtime.REACH


def test_it_begins_near_the_regression_and_above_cubic() -> None:
    torch.manual_seed(0)
    network = CSAKD(16, 8).eval()
    begin(network, *_examples())
    cube, image, truth = _examples()
    with torch.no_grad():
        made = network(torch.from_numpy(cube), torch.from_numpy(image)).numpy()
    assert np.square(made - truth).mean() < 0.5 * np.square(cube - truth).mean()


def test_attention_weighs_and_nothing_else() -> None:
    """The attention's weights have sum 1, so equal streams give the output of one of them."""
    attention = network.CSA(8).eval()
    for value in attention.values[1:]:
        value.load_state_dict(attention.values[0].state_dict())
    x, others = torch.rand(1, 8, 6, 5), torch.rand(1, 8, 6, 5)
    with torch.no_grad():
        torch.testing.assert_close(attention(x, x, x), attention.values[0](x))
        assert not torch.allclose(attention(x, others, x), attention.values[0](x))


def test_losses_are_naught_at_the_truth_and_balance_bands() -> None:
    truth = torch.rand(2, 5, 8, 8) * 0.2 + 0.4
    start = truth + 0.05
    assert losses.beba(truth, truth, start).item() == 0
    assert losses.beba(start, truth, start).item() == pytest.approx(1)
    assert losses.sam(2 * truth, truth).item() < 2e-3
    right = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])[None]
    assert losses.sam(right.flip(1), right).item() == pytest.approx(np.pi / 2, abs=1e-4)
    # an error in a dark band counts more by the ratio of the brightnesses
    dark = truth.clone()
    dark[:, 0] *= 0.1
    off_dark, off_bright = dark.clone(), dark.clone()
    off_dark[:, 0] += 0.01
    off_bright[:, 1] += 0.01
    ratio = losses.beba(off_dark, dark, dark + 0.05) / losses.beba(off_bright, dark, dark + 0.05)
    assert 8 < ratio.item() < 12


def test_the_teacher_does_not_learn_from_the_student() -> None:
    teacher, student = (torch.rand(1, 5, 6, 6, requires_grad=True) for _ in range(2))
    losses.response(student, teacher, torch.zeros(1, 5, 6, 6)).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_train_export_and_go_on_where_it_was(scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "WIDTHS", {"teacher": (16, 8), "student": (16, 4)})
    monkeypatch.setattr(train, "WIDTHS", network.WIDTHS)
    common = ["--data", scenes, "--runs", str(tmp_path / "runs"), "--every", "1", "--batch", "1", "--size", "16", "--steps", "2"]
    assert train.train(train.parser().parse_args([*common, "--stop-after", "1"])) == {"stopped_at": 1}
    result = train.train(train.parser().parse_args(common))
    assert result["steps"] == 2
    assert result["test"]["student_4_least_gain_db"] > -3
    networks = {kind: network.read(tmp_path / "runs/csakd", kind) for kind in ("teacher", "student")}
    assert {k: n.shape["growth"] for k, n in networks.items()} == {"teacher": 8, "student": 4}
    alone = train.train(train.parser().parse_args([*common, "--from", "csakd", "--name", "csakd-alone"]))
    assert alone["from"] == "csakd"
    for kind, other in ((kind, network.read(tmp_path / "runs/csakd-alone", kind)) for kind in networks):
        same = [torch.equal(a, b) for a, b in zip(other.parameters(), networks[kind].parameters(), strict=True)]
        assert all(same) == (kind == "teacher")
    folder = export.export(export.parser().parse_args(
        ["--data", scenes, "--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), "--crops", "3", "--run", "csakd-alone"]
    ))  # fmt: skip
    card = zoo.read_card(folder)
    assert [(r.runtime, r.status) for r in verify(card)] == [("onnx", "ok"), ("litert", "ok")]
    assert card.training["held_out"] == ["sandiego"]
    assert card.training["from"]["run"] == "csakd"
    for bands in (4, 6):
        for kind in ("onnx", "litert"):
            assert card.quality[f"student_{bands}_int8_{kind}_db"] > card.quality[f"student_{bands}_db"] - 0.5
    # at other sizes, both files give the network's output
    cube, image, _ = _examples(3)
    student = export.Sharp(network.read(tmp_path / "runs/csakd-alone", "student"))
    with torch.no_grad():
        whole = student(torch.from_numpy(cube), torch.from_numpy(image))[0].numpy()
    for kind in ("onnx", "litert"):
        choice = choose(card, kind, "int8", 1)
        made = choice.runtime.run({k: np.ascontiguousarray(choice.tensor(x[0])) for k, x in (("cube", cube), ("image", image))})
        assert np.sqrt(np.square(choice.planes(made["sharp"]) - whole).mean()) < 0.3 * np.sqrt(np.square(whole - cube[0]).mean())


def test_whole_scenes_keep_their_bands() -> None:
    truth = _cube(24, 32, 60).astype(np.float32) / 10000
    scene = Scene("x", truth, interpolated(degraded(truth)), "test")
    network = CSAKD(8, 4).eval()
    torch.nn.init.zeros_(network.draw.weight)
    torch.nn.init.zeros_(network.draw.bias)
    np.testing.assert_array_equal(train.sharpened(network, scene, 4), scene.start)
