"""Components of a run replaced while it runs: unchanged ones stay, a failed change keeps the previous state, every pair is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgefuse.errors import EdgeFuseError, InputError
from edgefuse.events import Event
from edgefuse.run.session import RunSession
from edgefuse.settings import RunSettings, Settings
from edgefuse.sources.demo import DemoSource
from edgefuse.sources.rawfile import RawReader
from tests.cameras.servers import MjpegServer, noise
from tests.support.waiting import joined, until


def told(**run: Any) -> Settings:
    return Settings(RunSettings(**({"source": "demo?frames=0&size=64x64", "model": "blend-classic"} | run)))


@contextmanager
def going(given: Settings) -> Iterator[RunSession]:
    running = RunSession(given)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            running.run(lambda: None)
        except BaseException as e:
            failures.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: running.telemetry.frames_fused > 0, "a fused frame")
        yield running
    finally:
        running.stop()
        joined(thread, "the run")
        closing = running.close()
    assert failures == closing == []
    frames = running.report()["frames"]
    assert frames["in"] == frames["fused"] + frames["dropped"]


def more(running: RunSession) -> None:
    """Wait for a few more frames."""
    before = running.telemetry.frames_fused
    until(lambda: running.telemetry.frames_fused >= before + 5, "five more fused frames")


def pictures(folder: Path) -> int:
    return len(list(folder.glob("*.png")))


def test_model_and_sinks_change_and_the_source_stays(tmp_path: Path) -> None:
    with going(told(save=str(tmp_path / "a"))) as running:
        source, fuser = running.source, running.fuser
        assert running.exchange(told(save=str(tmp_path / "b"), sharpness=2.0, colour="keep")) == ["run.colour", "run.sharpness", "run.save"]
        assert running.source is source
        assert running.fuser is not fuser
        left = pictures(tmp_path / "a")
        more(running)
        assert pictures(tmp_path / "a") == left
        assert running.exchange(told(save=str(tmp_path / "b"), sharpness=2.0, colour="keep")) == []
    written = pictures(tmp_path / "a") + pictures(tmp_path / "b")
    assert written == running.telemetry.frames_fused
    assert running.telemetry.dropped == {}


def test_a_kept_sink_stays_open_and_a_removed_video_is_playable(tmp_path: Path) -> None:
    with going(told(record=str(tmp_path / "a.mp4"), sink=(f"folder:{tmp_path}/out",))) as running:
        before = pictures(tmp_path / "out")
        running.exchange(told(sink=(f"folder:{tmp_path}/out",)))
        assert cv2.VideoCapture(str(tmp_path / "a.mp4")).isOpened()
        more(running)
        assert pictures(tmp_path / "out") > before
    assert pictures(tmp_path / "out") == running.telemetry.frames_fused


def test_the_view_changes_while_fuser_and_outputs_stay(tmp_path: Path) -> None:
    with going(told(save=str(tmp_path / "out"), record=str(tmp_path / "a.mp4"))) as running:
        fuser, shapes = running.fuser, []
        running.live.watch(lambda _, fused: shapes.append((fused.data.shape, fused.fused.shape)))
        given = {"save": str(tmp_path / "out"), "record": str(tmp_path / "a.mp4")}
        assert running.exchange(told(**given, view="side-by-side", overlay=("time", "name"))) == ["run.view", "run.overlay"]
        assert running.fuser is fuser
        until(lambda: ((64, 128, 3), (64, 64, 3)) in shapes, "a picture of both cameras")
        assert running.report()["view"] == "side-by-side"
        assert "view" in running.report()["latency_ms"]
        # a new fuser shows the same view
        running.exchange(told(**given, view="side-by-side", sharpness=2.0))
        shapes.clear()
        more(running)
        assert set(shapes) <= {((64, 128, 3), (64, 64, 3))}
        assert shapes
        with pytest.raises(EdgeFuseError, match="unknown view 'sideways'"):
            running.exchange(told(view="sideways"))
        # by a command, as from the page, until the next reload
        with pytest.raises(EdgeFuseError, match="unknown view"):
            running.live.run_command("view", {"view": "sideways"})
        assert running.live.run_command("view", {"view": "fused"}) == {"view": "fused"}
        assert running.settings.run.view == "fused"
        running.exchange(told(**given, view="side-by-side"))
        running.exchange(told(**given))
        until(lambda: shapes[-1] == ((64, 64, 3), (64, 64, 3)), "the fused picture again")
    sizes = {cv2.imread(str(path)).shape for path in (tmp_path / "out").glob("*.png")}
    assert sizes == {(64, 64, 3), (64, 128, 3)}
    # the video keeps its size
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (64, 64)


def test_switching_the_source_and_back_loses_no_pair() -> None:
    with going(told()) as running:
        for k in range(3):
            running.exchange(told(source=f"demo?frames=0&size=80x64&seed={k}"))
            more(running)
            running.exchange(told())
        more(running)
    assert running.telemetry.dropped == {}


def test_raw_recording_stops_and_starts_while_the_source_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.efr"
    with going(told()) as running:
        source = running.source
        for _ in range(2):
            running.exchange(told(record_raw=str(path)))
            more(running)
            running.exchange(told())
        assert running.source is source
    for name in ("a.efr", "a-1.efr"):
        reader = RawReader(tmp_path / name)
        assert reader.pairs
        reader.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "gpt"},
        {"calibration": "/nowhere.toml"},
        {"source": "folder:/nowhere"},
        {"source": "demo?frames=1", "record": "/dev/null/x.mp4"},
        {"save": "/dev/null/x"},
        {"record_raw": "x.gif"},
        {"source": "demo?frames=0", "record_raw": "x.gif"},
        {"report": "/dev/null/x.json"},
    ],
)
def test_a_failed_change_keeps_the_previous_state(wrong: dict[str, Any], tmp_path: Path) -> None:
    before = told(save=str(tmp_path / "a"))
    with going(before) as running:
        source, fuser = running.source, running.fuser
        with pytest.raises(InputError):
            running.exchange(told(**({"save": str(tmp_path / "b")} | wrong)))
        assert (running.settings, running.source, running.fuser) == (before, source, fuser)
        more(running)
    assert pictures(tmp_path / "a") == running.telemetry.frames_fused


def test_a_live_source_is_closed_before_the_new_one_opens_and_reopened_on_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DemoSource, "close", lambda self: closed.append(self))
    closed: list[DemoSource] = []
    with going(told()) as running:
        first = running.source
        object.__setattr__(first.info, "live", True)
        with pytest.raises(InputError, match="no such folder"):
            running.exchange(told(source="folder:/nowhere"))
        assert closed == [first]
        assert running.source is not first
        more(running)
        running.exchange(told(source="demo?frames=0&size=80x64"))
        more(running)


def test_the_limit_changes_while_it_runs() -> None:
    running = RunSession(told())
    thread = threading.Thread(target=running.run, args=(lambda: None,))
    thread.start()
    until(lambda: running.telemetry.frames_fused > 0, "a fused frame")
    running.exchange(told(frames=1))
    joined(thread, "the run that is at its limit")
    with pytest.raises(EdgeFuseError, match="is ending"):
        running.exchange(told(source="demo?frames=0"))
    assert running.close() == []


def test_a_failed_start_leaves_nothing_open() -> None:
    threads = threading.active_count()
    with pytest.raises(InputError):
        RunSession(told(save="/dev/null/x", record_raw="/tmp/x.efr"))
    assert threading.active_count() == threads


def test_cameras_stay_open_unless_they_change() -> None:
    with MjpegServer(30, noise(64, 64)) as visible, MjpegServer(30, noise(64, 64, 1)) as infrared:
        cameras: dict[str, Any] = {"source": "", "camera": (f"visible={visible.url}", f"infrared={infrared.url}")}
        with going(told(**cameras)) as running:
            source = running.source
            assert running.exchange(told(**cameras, sharpness=2.0)) == ["run.sharpness"]
            assert running.source is source
            more(running)
            assert running.exchange(told(**cameras, sharpness=2.0, delay=1.0)) == ["run.delay"]
            assert running.source is not source
            more(running)
            with pytest.raises(InputError):
                running.exchange(told(source="", camera=(f"visible={visible.url}", "infrared=v4l2:/dev/nowhere"), sharpness=2.0))
            assert running.settings.run.delay == 1.0
            more(running)


def test_camera_events_are_emitted_also_after_a_source_change() -> None:
    with MjpegServer(30, noise(64, 64)) as visible, MjpegServer(30, noise(64, 64, 1)) as infrared:
        cameras: dict[str, Any] = {
            "source": "", "camera": (f"visible={visible.url}", f"infrared={infrared.url}"), "pass_through": True,
        }  # fmt: skip
        with going(told(**cameras)) as running:
            heard: list[Event] = []
            running.live.listen(heard.append)
            running.exchange(told(**cameras, delay=1.0))
            infrared.mode = "down"
            until(
                lambda: any((e.kind, e.name, e.facts["state"]) == ("camera", "infrared", "lost") for e in heard),
                "the event that the camera is lost",
            )
            infrared.mode = "live"
            until(lambda: heard[-1].facts["state"] == "live", "the event that the camera is live")
            assert {e.name for e in heard if e.kind == "camera"} == {"infrared"}
            assert "held" not in {e.facts["state"] for e in heard}
