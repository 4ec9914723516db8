"""Malformed calibration and point files; `python -m benchmarks.fuzz calibration` tries many more."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from edgefuse.errors import CalibrationError
from tests.calibration import hostile


@pytest.mark.parametrize("kind", ["calibration", "points"])
def test_malformed_files_are_refused_with_a_message_or_load(tmp_path: Path, kind: str) -> None:
    path, outcomes = tmp_path / "made.toml", Counter[str]()
    for seed in range(300):
        rng = random.Random(seed)
        path.write_bytes(hostile.calibration_file(rng) if kind == "calibration" else hostile.points_file(rng))
        try:
            hostile.check_calibration(path) if kind == "calibration" else hostile.check_points(path)
            outcomes["taken"] += 1
        except CalibrationError:
            outcomes["refused"] += 1
    assert min(outcomes["taken"], outcomes["refused"]) > 30
