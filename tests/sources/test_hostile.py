"""Malformed raw recordings; `python -m benchmarks.fuzz replay` tries many more."""

from __future__ import annotations

import random
from pathlib import Path

from edgefuse.errors import SourceError
from tests.sources import hostile


def test_malformed_recordings_lose_only_their_own_pairs(tmp_path: Path) -> None:
    path, played, refused = tmp_path / "a.efr", 0, 0
    for seed in range(300):
        rng = random.Random(seed)
        path.write_bytes(hostile.recording(rng))
        try:
            played += bool(hostile.check(path, rng.choice((0, 1, 3))))
        except SourceError:
            refused += 1
    assert min(played, refused) > 20
