"""The committed table of instruction counts, and the comparison of new counts with it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from edgefuse import zoo

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "benchmarks/instructions.json"
pytestmark = pytest.mark.skipif(not TABLE.is_file(), reason="benchmarks/ is not beside these tests; they run in a checkout")


def load(monkeypatch: pytest.MonkeyPatch, path: Path) -> ModuleType:
    """Import a script by its path, with its folder on the search path."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, ROOT / "deploy/emulate/check.py")


def test_it_has_ifcnn_the_closed_form_and_the_networks_but_the_ablations() -> None:
    rows = json.loads(TABLE.read_text())
    measured = {(r["model"], r["runtime"], r["precision"], r["size"], r["path"]) for r in rows}
    assert len(measured) == len(rows)
    # the ablations are mobilefuse's network with other weights
    # the network's LiteRT and NumPy files may be missing, because counting them takes hours
    # NestFuse and its small form don't fit a Pi's memory at 640 x 480
    left_out = ("nestfuse", "nestfuse-small")
    fusing = [c for c in zoo.cards() if c.task == "fusion" and not c.name.endswith("-only") and c.name not in left_out]
    for size in ("256x256", "640x480"):
        wanted = {("blend-classic", "closed form", "8 bit", size, "end to end")}
        for path in ("network", "end to end"):
            wanted.add(("ifcnn", "onnx", "fp32", size, path))
            files = [(c, f) for c in fusing for f in c.files if f.runtime == "onnx" or c.name == zoo.DEFAULT_MODEL]
            wanted |= {(c.name, f.runtime, f.precision, size, path) for c, f in files}
        assert wanted <= measured
    for row in rows:
        assert isinstance(row["instructions"], int)
        assert row["instructions"] > 0
        assert row["repetitions"] >= 1
        assert row["version"]


def test_a_count_above_the_table_is_told(check: ModuleType) -> None:
    key, row = ("m", "onnx", "int8", "640x480", "network"), {"model": "m", "instructions": 1000, "version": "1"}
    assert check.worse({key: row | {"instructions": 1020}}, {key: row}) == []
    (line,) = check.worse({key: row | {"instructions": 1040, "version": "2"}}, {key: row})
    assert "m onnx int8 640x480 network takes 0.00 million, 4.0 % above the table (with 2; the table has 1)" in line
    (line,) = check.worse({key: row}, {})
    assert "not in the table; count it with --count m" in line


def test_what_other_processes_do_meanwhile_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = load(monkeypatch, TABLE.with_suffix(".py")).count(lambda: time.sleep(0.02), 3)
    assert counted["repetitions"] == 3
    assert counted["instructions"] < 10_000_000


def test_the_documentation_shows_it() -> None:
    shown = subprocess.run(
        [sys.executable, TABLE.with_suffix(".py"), "--show"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert shown in (ROOT / "docs/research/performance.md").read_text()
