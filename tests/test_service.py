from __future__ import annotations

import os
import signal

import pytest

from edgefuse.service import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_and_the_handlers_come_back(number: signal.Signals) -> None:
    before, stops = signal.getsignal(number), []
    with stop_on_signals(lambda: stops.append(1)) as received:
        os.kill(os.getpid(), number)
        assert received == [number.name]
    assert stops == [1]
    assert signal.getsignal(number) is before


def test_a_second_interrupt_is_an_interrupt() -> None:
    with stop_on_signals(lambda: None):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
