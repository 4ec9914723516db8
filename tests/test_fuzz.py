"""The fuzz tests' own checks: that a wrong exception, a slow input, one of much memory and a crash are found. benchmarks/fuzz runs them."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from pathlib import Path

import pytest

from edgefuse.errors import EdgeFuseError

# the oldest libraries and the Debian package are tested without the benchmarks
runner = pytest.importorskip("benchmarks.fuzz.runner")
counts = pytest.importorskip("benchmarks.fuzz.counts")


def one_of_each(rng: random.Random, folder: Path) -> int:
    """Do what the input's first number says."""
    kind = rng.randrange(5)
    if kind == 0:
        raise EdgeFuseError("refused")
    if kind == 1:
        raise ValueError("not of the tree")
    if kind == 2:
        while True:
            rng.random()
    if kind == 3:
        assert len(bytearray(100 << 20)) > 0
    return 0


def test_a_warning_is_a_finding_even_where_all_exceptions_are_caught(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def feed(rng: random.Random, folder: Path) -> int:
        with contextlib.suppress(Exception):
            warnings.warn("shown to the user", stacklevel=1)
        return 0

    tally = runner.Tally.shared()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        runner.feed_all(runner.Target(feed), range(2), tally, tmp_path)
    assert "seed 1: UserWarning: shown to the user" in capsys.readouterr().out
    assert (tally.findings, tally.taken) == (2, 2)


def seed_of(kind: int) -> int:
    return next(seed for seed in range(100) if random.Random(seed).randrange(5) == kind)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (0, ""),
        (1, "ValueError: not of the tree"),
        (2, "takes more than 0.05 s"),
        (3, "MB of memory; 64 MB are allowed for 0 samples"),
        (4, ""),
    ],
)
def test_a_finding_is_told_with_its_seed(
    kind: int, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, tally = seed_of(kind), runner.Tally.shared()
    # the first input is also fed once before, for what it imports
    first = seed_of(4)
    monkeypatch.setattr(runner, "_IMPORT_S", 0.01)
    for seeds in (range(first, first + 1), range(seed, seed + 1)):
        runner.feed_all(runner.Target(one_of_each, limit=0.05 if kind == 2 else 5.0), seeds, tally, tmp_path)
    said = capsys.readouterr().out
    assert tally.findings == bool(found)
    assert found in said
    assert not found or f"seed {seed}:" in said
    assert (tally.refused, tally.taken) == (kind == 0, 1 + (kind in (3, 4)))


def test_samples_that_a_file_declares_may_take_memory(tmp_path: Path) -> None:
    def feed(rng: random.Random, folder: Path) -> int:
        return len(bytearray(100 << 20)) // 16

    tally = runner.Tally.shared()
    runner.feed_all(runner.Target(feed), range(3), tally, tmp_path)
    assert (tally.findings, tally.taken) == (0, 3)


def test_a_crash_costs_one_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def feed(rng: random.Random, folder: Path) -> int:
        if rng.random() == random.Random(3).random():
            os._exit(7)
        return 0

    tally = runner.Tally.shared()
    runner.feed_in_children(runner.Target(feed, isolated=True), range(6), tally, tmp_path)
    assert "seed 3: its process ended with status 7" in capsys.readouterr().out
    assert (tally.findings, tally.taken) == (1, 5)


def test_a_run_is_counted_once_and_the_next_goes_on_after_it(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    assert counts.next_seed("envi", path) == 0
    for inputs in (1000, 3000):
        counts.note(counts.Run("envi", 0, inputs, 1, "none", "abc", "2026-01-01"), path)
    counts.note(counts.Run("decoders", 0, 7, 0, "address+undefined", "abc", "2026-01-02"), path)
    assert counts.next_seed("envi", path) == 3000
    counts.note(counts.Run("envi", 3000, 500, 0, "none", "def", "2026-01-03"), path)
    assert counts.read(path)[0].target == "decoders"
    lines = list(counts.table({"envi": 10_000_000, "decoders": 5, "npy": 9}, path))
    assert lines[1].split() == ["envi", "3,500", "0", "10,000,000", "1", "2026-01-03"]
    assert lines[2].split() == ["decoders", "7", "7", "5", "0", "2026-01-02"]
    assert lines[3].split() == ["npy", "0", "0", "9", "0", "never"]
