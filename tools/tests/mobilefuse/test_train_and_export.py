"""The committed commands, from made-up data to a verified model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgefuse import zoo
from edgefuse.runtimes.golden import verify
from tools.data.targets import part_of
from tools.mobilefuse import export, train, train_edge
from tools.mobilefuse.network import KINDS
from tools.mobilefuse.target_network import NAME

ROOT = Path(__file__).resolve().parents[3]
FILES = [("onnx", "int8"), ("onnx", "fp32"), ("litert", "int8"), ("numpy", "fp32")]


def _train(coco: Path, runs: Path, *more: object, model: str = "mobilefuse") -> dict:
    args = ("--data", f"coco128:{coco}", "--runs", runs, "--model", model, "--steps", 4, "--every", 2, "--batch", 4, "--size", 64, *more)
    return train.train(train.parser().parse_args([str(a) for a in args]))


def _train_edge(pairs: Path, runs: Path, *more: object) -> dict:
    args = ("--pairs", pairs, "--runs", runs, "--crops", 20, "--steps", 6, "--every", 3, "--batch", 6, *more)
    return train_edge.train(train_edge.parser().parse_args([str(a) for a in args]))


def _exported(*args: object) -> zoo.Card:
    """The card of what `tools.mobilefuse.export` wrote; every file has been verified."""
    card = zoo.read_card(export.export(export.parser().parse_args([str(a) for a in args])))
    results = verify(card)
    assert [(r.runtime, r.precision) for r in results if (r.runtime, r.precision) != ("litert", "fp32")] == FILES
    assert any((r.runtime, r.precision) == ("litert", "fp32") for r in results) == (card.name == NAME)
    assert all(r.status == "ok" for r in results), results
    return card


def _same_end(whole: Path, broken: Path) -> bool:
    a, b = (torch.load(folder / "last.pt", weights_only=True)["network"] for folder in (whole, broken))
    return all(np.allclose(a[k], b[k], atol=1e-6) for k in a)


@pytest.mark.parametrize("model", KINDS)
def test_train_export_verify(coco: Path, tmp_path: Path, model: str) -> None:
    result = _train(coco, tmp_path / "runs", model=model)
    assert result == json.loads((tmp_path / "runs" / model / "result.json").read_text())
    assert result["photographs"]["train_with_mask"] > 20
    assert {"focus_psnr_db", "lighting_psnr_db"} == result["test"].keys()
    card = _exported("--data", f"coco128:{coco}", "--runs", tmp_path / "runs", "--models", tmp_path / "models", "--model", model)
    assert card.cost["parameters"] == 33_665
    assert [t.name for t in card.outputs] == (["fused"] if "generative" in model else ["fused", "map"])


def test_train_export_verify_edge(pairs: Path, tmp_path: Path) -> None:
    result = _train_edge(pairs, tmp_path / "runs")
    assert result == json.loads((tmp_path / "runs" / NAME / "result.json").read_text())
    # a third is held back
    names = [f"{pairs.name}/{p.stem}" for p in (pairs / "visible").iterdir()]
    assert len(names) == 12
    assert sum(result["pairs"].values()) == sum(part_of(name) != "held back" for name in names)
    assert {"target_recall", "target_precision"} == result["test"].keys()
    card = _exported("--calibration", pairs, "--runs", tmp_path / "runs", "--models", tmp_path / "models", "--model", NAME)
    assert card.cost == {"parameters": 3205, "macs_per_pixel": 14.3}
    assert [t.name for t in card.outputs] == ["target"]


def test_a_resumed_run_ends_where_an_unbroken_one_does(coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _train(coco, tmp_path / "whole")
    assert _train(coco, tmp_path / "broken", "--stop-after", 2) == {"stopped_at": 2}
    assert "resumed" not in capsys.readouterr().out
    _train(coco, tmp_path / "broken")
    assert "resumed" in capsys.readouterr().out
    assert _same_end(tmp_path / "whole/mobilefuse", tmp_path / "broken/mobilefuse")


def test_so_does_a_resumed_run_of_edge(pairs: Path, tmp_path: Path) -> None:
    _train_edge(pairs, tmp_path / "whole")
    assert _train_edge(pairs, tmp_path / "broken", "--stop-after", 3) == {"stopped_at": 3}
    _train_edge(pairs, tmp_path / "broken")
    assert _same_end(tmp_path / "whole" / NAME, tmp_path / "broken" / NAME)


@pytest.mark.parametrize(
    ("tool", "option", "message"),
    [("train", "--data", "coco128:/nowhere: expected KIND:FOLDER"), ("train_edge", "--pairs", "/nowhere/visible: no such folder")],
)
def test_bad_data_is_one_line(tool: str, option: str, message: str, tmp_path: Path) -> None:
    data = message.split(": ")[0].removesuffix("/visible")
    command = [sys.executable, "-m", f"tools.mobilefuse.{tool}", option, data, "--runs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"tools.mobilefuse.{tool}: {message}")
    assert len(done.stderr.splitlines()) == 1
