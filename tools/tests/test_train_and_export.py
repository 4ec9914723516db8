"""The committed commands, from photographs to a verified model, on made-up data."""

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
from tools.networks.mobilefuse import KINDS

ROOT = Path(__file__).resolve().parents[2]


def _tool(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tools.{name}", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def _train(coco: Path, runs: Path, model: str = "mobilefuse", steps: int = 4) -> dict:
    done = _tool(
        "train", "--data", f"coco128:{coco}", "--runs", runs, "--model", model, "--steps", steps, "--every", 2, "--batch", 4, "--size", 64
    )
    assert done.returncode == 0, done.stderr
    return json.loads((runs / model / "result.json").read_text())


@pytest.mark.parametrize("model", KINDS)
def test_train_export_verify(coco: Path, tmp_path: Path, model: str) -> None:
    result = _train(coco, tmp_path / "runs", model)
    assert result["photographs"]["train_with_mask"] > 20
    assert {"focus_psnr_db", "lighting_psnr_db"} == result["test"].keys()
    done = _tool("export", "--data", f"coco128:{coco}", "--runs", tmp_path / "runs", "--models", tmp_path / "models", "--model", model)
    assert done.returncode == 0, done.stderr
    card = zoo.read_card(tmp_path / "models" / model)
    assert card.cost["parameters"] == 33_665
    assert [t.name for t in card.outputs] == (["fused"] if "generative" in model else ["fused", "map"])
    results = verify(card)
    assert [(r.runtime, r.precision) for r in results] == [("onnx", "int8"), ("onnx", "fp32"), ("litert", "int8"), ("numpy", "fp32")]
    assert all(r.status == "ok" for r in results), results


def test_a_resumed_run_ends_where_an_unbroken_one_does(coco: Path, tmp_path: Path) -> None:
    _train(coco, tmp_path / "whole")
    args = ("--data", f"coco128:{coco}", "--runs", tmp_path / "broken", "--steps", 4, "--every", 2, "--batch", 4, "--size", 64)
    assert _tool("train", *args, "--stop-after", 2).returncode == 0
    done = _tool("train", *args)
    assert "resumed" in done.stdout
    whole, broken = (torch.load(tmp_path / d / "mobilefuse" / "last.pt", weights_only=True)["network"] for d in ("whole", "broken"))
    assert all(np.allclose(whole[k], broken[k], atol=1e-6) for k in whole)


def test_bad_data_is_one_line(tmp_path: Path) -> None:
    done = _tool("train", "--data", "coco128:/nowhere", "--runs", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("tools.train: coco128:/nowhere: expected KIND:FOLDER")
    assert "Traceback" not in done.stderr
