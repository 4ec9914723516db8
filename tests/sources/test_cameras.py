"""Two network cameras on loopback through source and pipeline, with every kind of camera fault; real HTTP, real FFmpeg."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import cv2
import numpy as np
import pytest

from edgefuse.cameras import network_stream
from edgefuse.cameras.base import Camera
from edgefuse.cameras.camera_thread import Patience
from edgefuse.errors import CameraError, SettingsError
from edgefuse.frames import Frame, FramePair, FusedFrame, Modality
from edgefuse.fusion.fuser import load
from edgefuse.run.pipeline import Pipeline
from edgefuse.sinks.base import Sink
from edgefuse.sources import open_source
from edgefuse.sources.cameras import CamerasSource, PairingOptions
from edgefuse.telemetry.report import Telemetry
from tests.cameras.servers import MjpegServer, noise
from tests.support.waiting import joined, until

QUICK = Patience(late=0.3, silent=1.0, frozen=0.8, first_retry=0.1, last_retry=0.4, steady=1.0, wrong=8)
SIZE = (96, 80)


class Seen(Sink):
    """The last fused frame, and how many."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.last: FusedFrame | None = None
        self.count, self._wait_s = 0, wait_s

    @classmethod
    def from_uri(cls, uri: Any, fps: float) -> Self:
        return cls()

    def write(self, fused: FusedFrame) -> None:
        time.sleep(self._wait_s)
        self.last, self.count = fused, self.count + 1


class Live:
    """A run in a thread."""

    def __init__(self, source: CamerasSource, sink: Seen) -> None:
        self.source, self.sink, self.telemetry = source, sink, Telemetry()
        self.pairs: list[FramePair] = []
        read = source.read

        def noted() -> FramePair | None:
            if (pair := read()) is not None:
                self.pairs.append(pair)
            return pair

        source.read = noted  # type: ignore[method-assign]
        self._fuser = load("blend-classic")
        self._pipeline = Pipeline(source, self._fuser, [sink], self.telemetry)
        self._thread = threading.Thread(target=self._pipeline.run)
        self._thread.start()

    def until(self, true: Callable[[], bool], what: str) -> None:
        def found() -> bool:
            assert self._thread.is_alive()
            return true()

        until(found, lambda: f"{what}: {self.source.report()}")

    def more(self, frames: int = 5) -> None:
        """Wait until `frames` more frames were fused."""
        target = self.sink.count + frames
        self.until(lambda: self.sink.count >= target, "more fused frames")

    def states(self, modality: str) -> list[str]:
        return [c["state"] for c in self.source.report()["cameras"][modality]["last_state_changes"]]

    def end(self) -> dict[str, Any]:
        self._pipeline.stop()
        joined(self._thread, "the run")
        self.source.close()
        self._fuser.close()
        report = self.source.report()
        for camera in report["cameras"].values():
            assert camera["received"] == camera["fused"] + sum(camera["dropped"].values()), report
        return report


def halves(pairs: list[FramePair]) -> tuple[list[float], list[float]]:
    """Return the differences of capture times, in ms: for pairs of two new frames, and for pairs with a reused frame."""
    fresh, held = list[float](), list[float]()
    before: set[tuple[str, int]] = set()
    for pair in pairs:
        times = {("visible", pair.visible.time_ns), ("infrared", pair.infrared.time_ns)}
        (held if times & before else fresh).append(abs(pair.visible.time_ns - pair.infrared.time_ns) / 1e6)
        before |= times
    return fresh, held


def median(values: list[float]) -> float:
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def grey(bgr: Any) -> Any:
    return cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


@pytest.fixture
def visible() -> Iterator[MjpegServer]:
    with MjpegServer(30, noise(*SIZE)) as server:
        yield server


@pytest.fixture
def infrared() -> Iterator[MjpegServer]:
    with MjpegServer(9, noise(*SIZE, 1)) as server:
        yield server


@contextmanager
def running(visible: MjpegServer, infrared: MjpegServer, sink: Seen | None = None, **how: Any) -> Iterator[Live]:
    source = CamerasSource([f"visible={visible.url}", f"infrared={infrared.url}"], PairingOptions(**how), QUICK)
    live = Live(source, sink or Seen())
    try:
        yield live
    finally:
        live._pipeline.stop()
        live._thread.join(10)
        source.close()


class Timed(Camera):
    """A camera whose capture times are exactly 1 / `fps` apart, however late this machine is."""

    def __init__(self, modality: Modality, fps: float) -> None:
        self.modality, self.label, self._pace, self._begin, self._k = modality, f"timed {modality}", fps, time.monotonic_ns(), 0

    @classmethod
    def from_uri(cls, uri: Any, modality: Modality) -> Self:
        raise NotImplementedError

    def identity(self) -> str:
        return self.label

    def open(self) -> None:
        pass

    def read(self, timeout_s: float) -> Frame | None:
        time_ns = self._begin + round(self._k * 1e9 / self._pace)
        time.sleep(max(0, time_ns - time.monotonic_ns()) / 1e9)
        self._k += 1
        return Frame(noise(*SIZE)(self._k), self.modality, time_ns, "")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("fresh", [False, True])
def test_rates_are_those_of_the_captures_and_the_slower_one_paces_fresh_pairs(monkeypatch: pytest.MonkeyPatch, fresh: bool) -> None:
    timed = {"visible": Timed("visible", 30), "infrared": Timed("infrared", 9)}
    monkeypatch.setattr("edgefuse.sources.cameras._pair", lambda specs: timed)
    with CamerasSource(["visible=timed", "infrared=timed"], PairingOptions(fresh=fresh)) as source:
        assert source.info.fps == pytest.approx(9 if fresh else 30)
        assert source.read() is not None
        cameras = source.report()["cameras"]
        assert (cameras["visible"]["fps"], cameras["infrared"]["fps"]) == (30, 9)


def test_the_slower_cameras_frames_are_reused_and_their_age_reported(visible: MjpegServer, infrared: MjpegServer) -> None:
    with running(visible, infrared) as live:
        assert live.source.info.live
        live.more(60)
        report = live.end()
    pairing = report["pairing"]
    fresh, held = halves(live.pairs)
    assert (pairing["pairs"], pairing["held"]) == (len(live.pairs), len(held))
    assert held
    assert pairing["held_age_ms"]["p50"] == pytest.approx(median(held), rel=0.01, abs=0.001)
    assert max(fresh + held) <= pairing["max_skew_ms"]
    # on a busy machine its server is sometimes late
    assert {report["cameras"][m]["state"] for m in ("visible", "infrared")} <= {"live", "held"}
    frames = live.telemetry.report()["frames"]
    assert frames["in"] == frames["fused"] + frames["dropped"] == pairing["pairs"] - live.telemetry.dropped.get("stopped", 0)


def test_fresh_pairs_come_at_the_slower_rate(visible: MjpegServer, infrared: MjpegServer) -> None:
    with running(visible, infrared, fresh=True) as live:
        live.more(12)
        report = live.end()
    assert report["pairing"]["held"] == 0
    thermal = report["cameras"]["infrared"]
    # the last frame may have been in transit; a loaded machine overruns
    assert 0 <= report["pairing"]["pairs"] - thermal["fused"] <= 1 + sum(thermal["dropped"].get(c, 0) for c in ("overrun", "slow-sink"))
    assert report["cameras"]["visible"]["dropped"]["outrun"] > 0
    fresh, held = halves(live.pairs)
    assert (report["pairing"]["pairs"], held) == (len(fresh), [])
    assert report["pairing"]["fresh_skew_ms"]["p50"] == pytest.approx(median(fresh), rel=0.01, abs=0.001)


def test_a_slow_sink_blocks_nothing_and_the_oldest_frames_are_dropped(visible: MjpegServer, infrared: MjpegServer) -> None:
    with running(visible, infrared, Seen(wait_s=0.2)) as live:
        live.until(lambda: live.telemetry.dropped.get("slow-sink", 0) > 10, "frames to give way")
        report = live.end()
    # dropping a pair drops its frames, except those that another pair contains
    visible_dropped = report["cameras"]["visible"]["dropped"]
    assert 0 < visible_dropped["slow-sink"] <= live.telemetry.dropped["slow-sink"]


@pytest.mark.parametrize(
    ("mode", "state", "cause"),
    [("down", "retrying", "gone"), ("garbage", "retrying", None)],
)
def test_a_camera_fault_is_reported_and_recovers_without_a_restart(
    visible: MjpegServer, infrared: MjpegServer, mode: str, state: str, cause: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edgefuse")
    with running(visible, infrared) as live:
        live.more()
        infrared.mode = mode
        live.until(lambda: live.source.threads["infrared"].state == state, "the infrared camera's fault")
        stood, unmatched = live.sink.count, live.source.threads["visible"].ledger.dropped.get("unmatched", 0)
        more = unmatched + 10
        live.until(lambda: live.source.threads["visible"].ledger.dropped.get("unmatched", 0) > more, "visible frames without a partner")
        # no outdated picture is fused, except in pairs that were already in the pipeline
        assert live.sink.count <= stood + 5
        infrared.mode = "live"
        live.until(lambda: live.source.threads["infrared"].state == "live", "the infrared camera to be live")
        live.more()
        report = live.end()
    changes = live.states("infrared")
    assert changes[0] == "live"
    assert "live" in changes[changes.index(state) :]
    # on a loaded machine the server is sometimes late, which is not a fault
    assert set(live.states("visible")) <= {"live", "held"}
    faults = report["cameras"]["infrared"]["faults"]
    assert faults
    assert cause is None or cause in faults
    assert report["cameras"]["visible"]["dropped"]["unmatched"] > 3
    assert any(state in r.getMessage() and infrared.url in r.getMessage() for r in caplog.records)


def test_a_still_picture_of_a_network_camera_is_no_fault(visible: MjpegServer, infrared: MjpegServer) -> None:
    with running(visible, infrared) as live:
        live.more()
        infrared.mode = "freeze"
        time.sleep(0.3)  # the pictures on the way
        begin = time.monotonic()
        # twice as long as the same picture of a raw sensor is accepted
        live.until(lambda: time.monotonic() - begin > 2 * QUICK.frozen, "time to pass")
        still = live.pairs[-1].infrared.data
        count = len(live.pairs)
        live.more(10)
        later = live.pairs[count:]
        report = live.end()
    assert later
    assert all(np.array_equal(pair.infrared.data, still) for pair in later)
    camera = report["cameras"]["infrared"]
    assert not camera["faults"]
    assert "frozen" not in camera["dropped"]
    # on a loaded machine the server is sometimes late
    assert set(live.states("infrared")) <= {"live", "held"}


def test_a_silent_camera_is_held_then_reopened(visible: MjpegServer, infrared: MjpegServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_stream, "_SILENT_S", 1.5)
    monkeypatch.setattr(network_stream, "_low_latency", network_stream._FfmpegOptions(f"{network_stream._FFMPEG}|timeout;1500000"))
    with running(visible, infrared) as live:
        live.more()
        infrared.mode = "stall"
        live.until(lambda: live.source.threads["infrared"].faults.get("silent", 0) > 0, "the infrared camera to be silent")
        infrared.mode = "live"
        live.until(lambda: live.source.threads["infrared"].state == "live", "the infrared camera to be live")
        live.more()
        live.end()
    states = live.states("infrared")
    assert states[states.index("lost") - 1] == "held"
    assert states[0] == "live"
    assert "live" in states[states.index("lost") :]


def test_another_frame_size_is_a_fault_until_the_old_one_returns(visible: MjpegServer, infrared: MjpegServer) -> None:
    with running(visible, infrared) as live:
        live.more()
        infrared.picture = noise(64, 48)
        # FFmpeg scales to a stream's first size; a reconfigured camera starts a new stream
        infrared.mode = "down"
        live.until(lambda: live.source.threads["infrared"].state == "retrying", "the infrared camera to be gone")
        infrared.mode = "live"
        live.until(lambda: live.source.threads["infrared"].faults.get("format", 0) > 0, "the infrared camera's other size")
        assert "now gives 64x48xuint8, not 96x80xuint8" in str(live.source.threads["infrared"].error)
        infrared.picture = noise(*SIZE, 1)
        live.until(lambda: live.source.threads["infrared"].state == "live", "the infrared camera to be live")
        live.more()
        report = live.end()
    assert report["cameras"]["infrared"]["dropped"]["size"] >= 8


@pytest.mark.parametrize("lost", ["visible", "infrared"])
def test_pass_through_shows_the_other_camera(visible: MjpegServer, infrared: MjpegServer, lost: str) -> None:
    server = {"visible": visible, "infrared": infrared}[lost]
    with running(visible, infrared, pass_through=True) as live:
        live.more()
        server.mode = "down"
        live.until(lambda: live.sink.last is not None and live.sink.last.pair.missing == lost, "a frame of one camera")
        live.more(3)
        fused = live.sink.last
        assert fused is not None
        pair = fused.pair
        assert fused.data.shape == (80, 96, 3)
        kept = pair.visible.data if lost == "infrared" else grey(pair.infrared.data)
        np.testing.assert_array_equal(fused.data, kept)
        server.mode = "live"
        live.until(lambda: live.sink.last is not None and live.sink.last.pair.missing is None, "a frame of both cameras")
        live.more()
        report = live.end()
    assert report["pairing"]["alone"] >= 3


def test_a_camera_missing_at_the_start_is_an_error_unless_passing_through(visible: MjpegServer) -> None:
    with MjpegServer(9, noise(*SIZE)) as gone:
        url = gone.url
    with pytest.raises(CameraError, match="can't be opened; check that the camera is on"):
        CamerasSource([f"visible={visible.url}", f"infrared={url}"], patience=QUICK)
    with CamerasSource([f"visible={visible.url}", f"infrared={url}"], PairingOptions(pass_through=True), QUICK) as source:
        pair = source.read()
        assert pair is not None
        assert pair.missing == "infrared"
        assert pair.infrared.data.shape == pair.visible.data.shape


def test_the_same_camera_twice_or_no_pair_is_bad_input(visible: MjpegServer) -> None:
    for specs, words in (
        ([f"visible={visible.url}", f"infrared={visible.url}"], "are the same camera"),
        ([f"visible={visible.url}", "visible=picamera2:0"], "two visible cameras"),
        ([f"visible={visible.url}"], "no infrared camera; add --camera infrared=CAMERA"),
    ):
        with pytest.raises(SettingsError, match=words):
            CamerasSource(specs)


def test_as_a_uri(visible: MjpegServer, infrared: MjpegServer) -> None:
    with open_source(f"cameras:visible={visible.url},infrared={infrared.url}?fresh=yes&max-skew=100&delay=10") as source:
        pairs = [source.read() for _ in range(3)]
        assert [p.name for p in pairs if p] == ["camera_000000", "camera_000001", "camera_000002"]
        for pair in pairs:
            assert isinstance(pair, FramePair)
            assert abs(pair.visible.time_ns - pair.infrared.time_ns) < 100e6
        assert source.report()["pairing"]["delay_ms"] == 10
    with pytest.raises(SettingsError, match="option max-skew=x"):
        open_source("cameras?max-skew=x")
