"""A few faults of each kind, by seed; `python benchmarks/faults.py` injects thousands."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

pytest.importorskip("msgspec")

from tests.faults import around, faults
from tests.faults.world import World

_WITHIN_S = 30.0  # allows for a busy machine; benchmarks/faults.py requires five seconds


@pytest.mark.slow
def test_a_run_survives_one_fault_of_each_kind(tmp_path: Path) -> None:
    world = World(tmp_path / "world", random.Random(6))
    order = list(faults.FAULTS)
    world.rng.shuffle(order)
    try:
        world.start()
        world.await_ready()
        for fault in order:
            world.recovered(world.probed, *fault(world), within_s=_WITHIN_S)
        assert world.saved() > 0
        world.end(signal.SIGTERM, (0,))
        assert world.tracebacks() == 0, world.log_tail(200)
    finally:
        world.close()


@pytest.mark.slow
@pytest.mark.parametrize("table", sorted({table for _, table in around.FAULTS.values()}))
def test_a_run_survives_what_befalls_those_around_it(tmp_path: Path, table: str) -> None:
    world = World(tmp_path / "world", random.Random(6), around=True)
    try:
        assert world.around is not None
        if table in world.around.missing:
            pytest.skip(world.around.missing[table])
        world.start()
        world.await_ready()
        for fault in (f for f, (_, of) in around.FAULTS.items() if of == table):
            world.recovered(world.probed, *fault(world), within_s=_WITHIN_S)
        world.saved()
        world.end(signal.SIGTERM, (0,))
        assert world.around.torn() == ""
        assert world.tracebacks() == 0, world.log_tail(200)
    finally:
        world.close()
