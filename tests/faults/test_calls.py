"""Some of a run's calls fail, one at a time, and everything works again; `python benchmarks/failing_calls.py` fails them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("msgspec")

from tests.durability import shim
from tests.faults import calls

_WITHIN_S = 30.0  # allows for a busy machine; benchmarks/failing_calls.py requires five seconds
_EACH = 3  # calls of each kind, spread evenly
_KINDS = ("connect", "socket", "fork", "rename", "fsync")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[calls.CallsWorld]:
    made = calls.CallsWorld(tmp_path / "world", shim.compiled(tmp_path))
    try:
        assert made.around is not None
        if made.around.missing:
            pytest.skip("; ".join(made.around.missing.values()))
        yield made
    finally:
        made.close()


@pytest.mark.slow
def test_a_run_goes_on_after_a_call_that_fails(world: calls.CallsWorld) -> None:
    world.start()
    world.await_ready()
    fired = 0
    for kind in _KINDS:
        total = calls.count(world, "steady", kind)
        for nth in range(1, total + 1, max(1, total // _EACH)):
            fired += calls.fail(world, "steady", kind, nth, _WITHIN_S) is not None
    world.end(15, (0,))
    assert fired > len(_KINDS)  # else the silence above would say nothing
    assert world.tracebacks() == 0, world.log_tail(100)
