"""The supervisor of the outputs: the page, systemd and MQTT hear of an output that has not worked for 30 s."""

from __future__ import annotations

import pytest

from edgefuse.events import Event, OutputState
from edgefuse.run.output_supervisor import Supervisor
from edgefuse.telemetry import outputs as outputs_module
from edgefuse.telemetry.live import Live
from tests.support.waiting import until


def test_an_output_that_fails_is_told_and_its_recovery_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs_module, "FAILING_S", 0.0)
    live, heard = Live(dict), list[Event]()
    live.listen(heard.append)
    state, revived = [OutputState(True, False, why="no space")], [0]

    def revive() -> None:
        revived[0] += 1
        if revived[0] == 1:
            raise MemoryError

    supervisor = Supervisor(lambda: {"recording": state[0]}, revive, live)
    supervisor.start()
    until(lambda: live.failing, "the output to fail")
    assert live.failing["recording"] == "recording has not worked for 0 s: no space"
    assert supervisor.report()["recording"]["failing"]
    supervisor.close()
    assert [(e.kind, e.name, e.facts["state"]) for e in heard] == [("output", "recording", "failing")]
    assert revived[0] > 1
