"""Calibrating a run's cameras from its page: what it takes, what it refuses, and where it saves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse import settings
from edgefuse.calibration import registration
from edgefuse.errors import EdgeFuseError, SettingsError
from edgefuse.frames import FramePair, FusedFrame
from edgefuse.run import calibrating
from edgefuse.run.editing import Editor
from edgefuse.run.session import RunSession
from tests.support.waiting import until

pytest.importorskip("msgspec")
pytest.importorskip("tomlkit")
TEXT = '[run]\nsource = "demo?size=320x240&frames=0&scene=day"\nmodel = "blend-classic"\n# keep\n'


class Calibrated:
    """A run that is not started, whose frames are written by the test; time is the test's."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text(TEXT)
        self.path, self.now, self.reloads = path, 100.0, 0
        monkeypatch.setattr(calibrating.time, "monotonic", lambda: self.now)
        self.running = RunSession(self.reread())
        self.running.live.register_command("reload", self._reload)
        self.made = calibrating.Calibrator(self.running, Editor(self.running, path, self.reread))

    def reread(self) -> settings.Settings:
        return settings.load(self.path, os.environ)

    def _reload(self, _: Any) -> dict[str, Any]:
        self.reloads += 1
        return {}

    def do(self, what: str, **more: Any) -> dict[str, Any]:
        return dict(self.running.live.run_command("calibrate", {"do": what, "distance_m": None, **more}))

    def told(self) -> dict[str, Any]:
        return dict(self.running.live.run_command("calibration"))

    def write(self, change: Callable[[FramePair], FramePair] = lambda pair: pair) -> None:
        self.now += 0.3
        pair = self.running.source.read()
        assert pair is not None
        self.running.live.write(FusedFrame(np.zeros((240, 320), np.uint8), change(pair)))

    def end(self) -> dict[str, Any]:
        return dict(until(lambda: (t := self.told())["state"] not in ("collecting", "estimating") and t, "the calibration's end"))


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calibrated]:
    made = Calibrated(tmp_path / "edgefuse.toml", monkeypatch)
    yield made
    made.running.close()


def test_pairs_are_taken_apart_and_only_new_ones_of_both_cameras(one: Calibrated) -> None:
    one.write()
    assert one.told() == {"state": "none", "why": "", "pairs": 0, "wanted": 8}
    assert one.do("start")["state"] == "collecting"
    one.write()
    assert one.told()["pairs"] == 1
    one.now -= 0.2  # too soon
    one.write()
    assert one.told()["pairs"] == 1
    one.write(lambda pair: replace(pair, missing="infrared"))
    last = one.made._pairs[-1]
    one.write(lambda pair: replace(pair, infrared=last.infrared))
    one.write(lambda pair: replace(pair, visible=last.visible))
    assert one.told()["pairs"] == 1
    with pytest.raises(EdgeFuseError, match="already"):
        one.do("start")
    one.now += 60
    assert one.told()["why"] == "only 1 of 8 pairs with new frames of both cameras came in 60 s"
    assert one.do("start")["pairs"] == 0
    assert one.do("discard")["state"] == "none"


@pytest.mark.slow
def test_a_calibration_is_made_shown_and_saved_where_none_is(one: Calibrated) -> None:
    one.do("start", distance_m=12)
    for _ in range(8):
        one.write()
    told = one.end()
    assert told["state"] == "done", told["why"]
    assert told["error_px"] < 2
    assert not told["replaces"]
    png = one.running.live.run_command("calibration", {"picture": True})["png"]
    assert png.startswith(b"\x89PNG")
    saved = Path(one.do("save")["saved"])
    assert saved == one.path.with_name("calibration.toml") == Path(told["file"])
    calibration = registration.load(saved)
    assert (calibration.distance_m, calibration.method, len(calibration.images)) == (12, "automatic", 16)
    # the demo's cameras see the same
    corners = registration.corners((320, 240))
    assert registration.project(calibration.homography, corners) == pytest.approx(corners, abs=4)
    assert one.path.read_text() == TEXT.replace("[run]\n", f'[run]\ncalibration = "{saved}"\n')
    assert one.reloads == 1
    assert one.told()["state"] == "none"
    with pytest.raises(EdgeFuseError, match="no calibration to save"):
        one.do("save")


def test_an_unreliable_one_is_refused_and_nothing_written(one: Calibrated) -> None:
    one.do("start")
    blank = np.full((240, 320), 7, np.uint8)
    for _ in range(8):
        one.write(lambda pair: replace(pair, infrared=replace(pair.infrared, data=blank)))
    told = one.end()
    assert told["state"] == "failed"
    assert "shows one brightness all over" in told["why"]
    assert [p.name for p in one.path.parent.iterdir()] == ["edgefuse.toml"]


def test_other_arguments_are_refused(one: Calibrated) -> None:
    wrong: list[dict[str, Any]] = [{}, {"do": "x"}, {"do": "start", "distance_m": "2"}, {"do": "start", "distance_m": -1}]
    for given in wrong:
        with pytest.raises(SettingsError, match="expected"):
            one.running.live.run_command("calibrate", given)
    assert one.told()["state"] == "none"
