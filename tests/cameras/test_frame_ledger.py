"""received = fused + dropped, with any number of threads and holders."""

from __future__ import annotations

import threading

import numpy as np

from edgefuse.cameras.frame_ledger import FrameLedger, TrackedFrame
from edgefuse.frames import Frame
from tests.support.waiting import joined

FRAME = Frame(np.zeros((2, 2), np.uint8), "visible", 0, "")


def test_a_frame_in_any_fused_pair_counts_as_fused_at_its_last_holder() -> None:
    ledger = FrameLedger()
    ticket = TrackedFrame(FRAME, ledger)
    ticket.hold()
    ticket.hold()
    ticket.settle("")
    ticket.settle("overrun")
    assert (ledger.received, ledger.fused, ledger.dropped) == (1, 0, {})
    ticket.settle(None)
    assert (ledger.received, ledger.fused, ledger.dropped) == (1, 1, {})


def test_the_first_cause_counts() -> None:
    ledger = FrameLedger()
    ticket = TrackedFrame(FRAME, ledger)
    ticket.hold()
    ticket.settle("size")
    ticket.settle("stopped")
    ledger.lost("garbage")
    assert (ledger.received, ledger.fused, ledger.dropped) == (2, 0, {"size": 1, "garbage": 1})


def test_counts_are_thread_safe() -> None:
    ledger = FrameLedger()

    def work() -> None:
        for k in range(2000):
            ticket = TrackedFrame(FRAME, ledger)
            ticket.hold()
            ticket.settle(None if k % 2 else "overrun")
            ticket.settle("")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        joined(t, "a thread that counts")
    assert (ledger.received, ledger.fused, ledger.dropped) == (8000, 4000, {"overrun": 4000})
