"""Calibration files and files of points that nobody should write; python benchmarks/fuzz.py calibration reads a hundred thousand."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from edgefuse.errors import CalibrationError
from tests.calibration import hostile


@pytest.mark.parametrize("kind", ["calibration", "points"])
def test_garbage_is_refused_in_words_or_is_a_calibration(tmp_path: Path, kind: str) -> None:
    path, found = tmp_path / "made.toml", Counter[str]()
    for seed in range(300):
        rng = random.Random(seed)
        path.write_bytes(hostile.calibration_file(rng) if kind == "calibration" else hostile.points_file(rng))
        try:
            hostile.check_calibration(path) if kind == "calibration" else hostile.check_points(path)
            found["taken"] += 1
        except CalibrationError:
            found["refused"] += 1
    assert min(found["taken"], found["refused"]) > 30
