"""The camera thread's states, back-off and counts, with a scripted camera instead of a device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest

from edgefuse.cameras.base import Camera
from edgefuse.cameras.camera_thread import CameraThread, Patience
from edgefuse.errors import CameraError, FrameError
from edgefuse.frames import Frame, Radiometry
from tests.support.waiting import SECONDS, until

QUICK = Patience(late=0.1, silent=0.3, frozen=0.8, first_retry=0.02, last_retry=0.1, steady=0.3, wrong=5)


# limits far above how long a thread may be suspended on a busy machine
STEADY = replace(QUICK, late=60.0, frozen=60.0)


class Stop(threading.Event):
    """An event that records the timeouts passed to `wait`."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


class Scripted(Camera):
    """Each opening takes the next script: results of `read` in order, one per `every` seconds; then frames without end."""

    label = "scripted"

    def __init__(self, *scripts: list[Any], every: float = 0.01, modality: Any = "infrared") -> None:
        self.modality = modality
        self.opened_at: list[float] = []
        self.closed = 0
        self._scripts, self._every, self._now, self._k = list(scripts), every, [], 0

    @classmethod
    def from_uri(cls, uri: Any, modality: Any) -> Self:
        raise NotImplementedError

    def identity(self) -> str:
        return "scripted"

    def open(self) -> None:
        self.opened_at.append(time.monotonic())
        self._now = list(self._scripts.pop(0)) if self._scripts else []
        if self._now and self._now[0] == "refuse":
            raise CameraError("busy", "scripted: another program uses it")

    def read(self, timeout_s: float) -> Frame | None:
        time.sleep(self._every)
        self._k += 1
        what = self._now.pop(0) if self._now else frame(self._k)
        if what == "repeat":
            # endless
            self._now.insert(0, what)
            what = frame(0)
        if what is None:
            # endless
            self._now.insert(0, None)
            time.sleep(timeout_s)
            return None
        if isinstance(what, Exception):
            raise what
        return what  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed += 1


def frame(k: int, size: tuple[int, int] = (8, 6), state: Any = None) -> Frame:
    data = np.random.default_rng(k).integers(0, 65536, (size[1], size[0])).astype(np.uint16)
    return Frame(data, "infrared", time.monotonic_ns(), "", Radiometry("lepton", state=state) if state else None)


class Running:
    def __init__(self, camera: Camera, **how: Any) -> None:
        self.came, self.stop = threading.Event(), Stop()
        self.feed = CameraThread(camera, self.came.set, how.pop("patience", QUICK), **how)
        self.feed._stop = self.stop
        self.names: list[str] = []
        self.times: list[int] = []
        self.feed.start()

    def until(self, true: Callable[[CameraThread], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not true(self.feed):
            assert time.monotonic() < deadline, f"waited {SECONDS:g} s for {what}: {self.feed.report()}"
            self.came.wait(0.01)
            self.came.clear()
            self.feed.watch()
            for ticket in self.feed.take():
                self.names.append(ticket.frame.name)
                self.times.append(ticket.frame.time_ns)
                ticket.settle(None)

    @property
    def states(self) -> list[str]:
        return [c["state"] for c in self.feed.report()["last_state_changes"]]


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(*args: Any, **how: Any) -> Running:
        made.append(Running(*args, **how))
        return made[-1]

    yield start
    for one in made:
        one.feed.close()
        report = one.feed.report()
        assert report["received"] == report["fused"] + sum(report["dropped"].values())


def test_frames_are_numbered_and_the_delay_is_subtracted(run: Callable[..., Running]) -> None:
    one = run(Scripted(), delay_ns=10**12, patience=STEADY)
    one.until(lambda f: len(one.names) >= 5, "five frames")
    assert one.names[:2] == ["infrared_000000", "infrared_000001"]
    assert time.monotonic_ns() - one.times[0] > 10**12
    assert one.states == ["live"]


def test_frames_that_are_not_taken_are_dropped_and_counted() -> None:
    feed = CameraThread(Scripted(every=0.001), lambda: None, QUICK)
    feed.start()
    until(lambda: feed.ledger.received >= 50, "fifty frames")
    feed.close()
    assert feed.ledger.dropped["overrun"] >= 40
    assert feed.ledger.dropped["stopped"] <= 4
    assert feed.ledger.received == sum(feed.ledger.dropped.values())


def test_back_off_doubles_up_to_a_limit_and_resets_after_steady_frames(run: Callable[..., Running]) -> None:
    camera = Scripted(*[["refuse"]] * 6, [frame(k) for k in range(60)] + [CameraError("gone", "out")], ["refuse"])
    one = run(camera, patience=STEADY)
    one.until(lambda f: len(camera.opened_at) >= 9 and f.state == "live", "nine attempts, the last of them live")
    assert one.stop.waits == [0.02, 0.04, 0.08, 0.1, 0.1, 0.1, 0.02, 0.04]
    assert all(np.diff(camera.opened_at) >= one.stop.waits)
    # the same failure again is not reported again
    assert one.states == ["lost", "retrying", "live", "lost", "retrying", "retrying", "live"]
    assert one.feed.faults == {"busy": 7, "gone": 1}
    assert camera.closed >= 8


def test_an_unexpected_error_ends_an_attempt_not_the_thread(run: Callable[..., Running]) -> None:
    one = run(Scripted([frame(1), RuntimeError("driver said no")]))
    one.until(lambda f: f.faults.get("broken", 0) == 1 and f.state == "live", "the state live after a fault")
    assert any("RuntimeError: driver said no" in c["note"] for c in one.feed.report()["last_state_changes"])


def test_late_is_held_silent_is_lost(run: Callable[..., Running]) -> None:
    one = run(Scripted([frame(k) for k in range(20)] + [None]))
    one.until(lambda f: f.faults.get("silent", 0) == 1 and f.state == "live", "the state live after silence")
    assert one.states[0] == "live"
    assert one.states[one.states.index("lost") - 1] == "held"


def test_a_bad_frame_is_counted_and_many_in_a_row_are_a_fault(run: Callable[..., Running]) -> None:
    bad = FrameError("infrared", "garbage", "no picture")
    one = run(Scripted([frame(1), bad, bad, frame(2), *[bad] * 5]))
    one.until(lambda f: f.state == "live" and f.faults.get("broken", 0) == 1, "the state live after a fault")
    assert one.feed.ledger.dropped["garbage"] == 7


def test_frames_of_another_size_or_depth_are_dropped_then_a_fault(run: Callable[..., Running]) -> None:
    one = run(Scripted([frame(1), frame(2, (4, 4)), frame(3), *[frame(k, (4, 4)) for k in range(5)]]))
    one.until(lambda f: f.state == "live" and f.faults.get("format", 0) == 1, "the state live after a fault")
    assert one.feed.ledger.dropped["size"] == 6


def test_a_closed_shutter_is_a_state_reported_or_detected(run: Callable[..., Running]) -> None:
    told = run(Scripted([frame(k, state="calibrating" if 5 < k < 10 else "normal") for k in range(20)]), patience=STEADY)
    told.until(lambda f: "calibrating" in told.states and f.state == "live", "the shutter's end")
    assert told.states == ["live", "calibrating", "live"]
    seen = run(Scripted([frame(1)] * 60), patience=STEADY)
    seen.until(lambda f: "calibrating" in seen.states and f.state == "live", "the shutter's end")
    assert seen.states == ["live", "calibrating", "live"]
    assert not seen.feed.faults
    # a visible camera has no shutter
    visible = run(Scripted([replace(frame(1), modality="visible")] * 60, modality="visible"), patience=STEADY)
    visible.until(lambda f: len(visible.names) > 70, "seventy frames")
    assert visible.states == ["live"]


def test_a_frozen_camera_must_show_another_picture_first(run: Callable[..., Running]) -> None:
    camera = Scripted(["repeat"], ["repeat"])
    one = run(camera)
    one.until(lambda f: f.state == "frozen", "the state frozen")
    taken = len(one.names)
    one.until(
        lambda f: len(camera.opened_at) == 2 and f.ledger.dropped["frozen"] > 3, "four frozen frames after the camera was opened again"
    )
    assert len(one.names) == taken
    one.until(lambda f: f.state == "live", "the state live")
    assert one.feed.faults["frozen"] == 2


def test_a_blank_picture_is_not_frozen(run: Callable[..., Running]) -> None:
    dark = Frame(np.zeros((6, 8), np.uint8), "visible", 1, "")
    one = run(Scripted([dark] * 130, modality="visible"), patience=replace(QUICK, late=60.0))
    one.until(lambda f: len(one.names) >= 125, "125 frames")
    assert one.states == ["live"]
