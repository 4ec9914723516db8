"""A Raspberry Pi camera with a stand-in for picamera2, which is only available from apt on a Pi."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from edgefuse.cameras import camera
from edgefuse.cameras.base import Camera
from edgefuse.cameras.find import attached
from edgefuse.errors import CameraError, SettingsError


class Request:
    def __init__(self, owner: Picamera2, index: int) -> None:
        self._owner, self._index, self.released = owner, index, False

    def make_array(self, name: str) -> Any:
        assert name == "main"
        width, height = self._owner.main["size"]
        # padded rows, as from the hardware
        return np.full((height, width + 32, 3), self._index, np.uint8)[:, :width]

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 20_000_000}

    def release(self) -> None:
        self.released = True
        self._owner.held -= 1


class Picamera2:
    """The used part of picamera2, which refuses what the real one refuses."""

    cameras: ClassVar[list[dict[str, Any]]] = []
    busy = silent = gone = False
    given: tuple[int, int] | None = None
    webcam = ""

    # what a Camera Module 3 offers (picamera2's camera_controls): least, most, default
    camera_controls: ClassVar[dict[str, tuple[Any, Any, Any]]] = {
        "ExposureTime": (26, 112015096, 20000),
        "AnalogueGain": (1.1228, 16.0, 1.0),
        "AeEnable": (False, True, True),
        "AwbEnable": (False, True, None),
        "AwbMode": (0, 7, 0),
        "ColourGains": (0.0, 32.0, None),
        "AfMode": (0, 2, 0),
        "LensPosition": (0.0, 32.0, 1.0),
        "FrameDurationLimits": (33333, 120000, None),
    }
    made: ClassVar[list[Picamera2]] = []

    def __init__(self, number: int, tuning: Any = None) -> None:
        Picamera2.made.append(self)
        self.tuning, self.controls = tuning, dict[str, Any]()
        if Picamera2.busy:
            raise RuntimeError("Failed to acquire camera: Device or resource busy\nmore lines")
        self.number, self.started, self.held, self.index, self.flushed = number, False, 0, 0, 0
        self.main: dict[str, Any] = {}

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Picamera2.cameras

    @staticmethod
    def load_tuning_file(path: str) -> Any:
        return json.loads(Path(path).read_text())

    def create_video_configuration(self, main: dict[str, Any], controls: dict[str, Any], buffer_count: int) -> dict[str, Any]:
        assert main["format"] == "RGB888"
        assert buffer_count >= 2
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict[str, Any]) -> None:
        self.main, self.controls = dict(configuration["main"]), configuration["controls"]
        # libcamera ignores or refuses other names and types
        for name, value in self.controls.items():
            assert name == "FrameRate" or name in Picamera2.camera_controls, name
            if name.endswith("Mode") or name == "ExposureTime":
                assert type(value) is int
        if Picamera2.given:
            self.main["size"] = Picamera2.given
        if Picamera2.webcam:
            self.main["format"] = Picamera2.webcam

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": self.main}

    def start(self) -> None:
        self.started = True

    def capture_request(self, wait: float) -> Request:
        assert self.started
        if Picamera2.gone:
            raise RuntimeError("Camera frontend has timed out!")
        if Picamera2.silent:
            time.sleep(wait)
            raise TimeoutError
        self.held += 1
        self.index += 1
        assert self.held < 4, "requests are not released"
        return Request(self, self.index)

    def cancel_all_and_flush(self) -> None:
        self.flushed += 1

    def stop(self) -> None:
        self.started = False

    def close(self) -> None:
        assert not self.started


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    one = {"Num": 0, "Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}
    webcam = {"Num": 1, "Model": "C270", "Id": "/base/scb/pcie@7d500000/usb@1/1-1.2:1.0-046d:0825"}
    monkeypatch.setattr(Picamera2, "cameras", [one, webcam])


def opened(spec: str = "visible=picamera2:0?size=64x48&fps=20") -> Camera:
    made = camera(spec)
    made.open()
    return made


def test_frames_are_bgr_with_the_sensors_time_on_the_monotonic_clock() -> None:
    one = opened()
    for k in range(1, 8):
        now = time.monotonic_ns()
        frame = one.read(1)
        assert frame is not None
        assert frame.data.shape == (48, 64, 3)
        assert frame.data.flags.c_contiguous
        assert (frame.data == k).all()
        assert frame.time_ns - now == pytest.approx(-20e6, abs=15e6)
    assert one.fps == 20
    one.close()
    one.close()


def test_a_timeout_is_none_and_a_failing_camera_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened()
    monkeypatch.setattr(Picamera2, "silent", True)
    assert one.read(0.01) is None
    monkeypatch.setattr(Picamera2, "gone", True)
    with pytest.raises(CameraError, match="timed out") as caught:
        one.read(0.01)
    assert caught.value.cause == "gone"
    one.close()


@pytest.mark.parametrize(
    ("attribute", "value", "cause", "words"),
    [
        ("busy", True, "busy", r"can't be opened \(Failed to acquire camera: Device or resource busy\); close the program that uses it"),
        ("given", (64, 64), "format", "gives 64x64, not 64x48"),
        ("webcam", "YUYV", "format", "gives YUYV, not RGB888; read a USB camera with v4l2:"),
        ("cameras", [], "missing", r"libcamera has no such camera \(attached: none"),
        ("cameras", [{"Num": 0, "Model": "ov5647"}], None, ""),
    ],
)
def test_errors_at_the_start(monkeypatch: pytest.MonkeyPatch, attribute: str, value: Any, cause: str | None, words: str) -> None:
    monkeypatch.setattr(Picamera2, attribute, value)
    if cause is None:
        opened().close()
        return
    with pytest.raises(CameraError, match=words) as caught:
        opened()
    assert caught.value.cause == cause
    assert "\n" not in str(caught.value)


def test_a_too_high_number_lists_the_attached_cameras() -> None:
    with pytest.raises(CameraError, match=r"attached: picamera2:0 \(imx708\), picamera2:1 \(C270\)"):
        opened("visible=picamera2:2")


def test_usb_cameras_are_ignored() -> None:
    assert [f.uri for f in attached() if f.uri.startswith("picamera2")] == ["picamera2:0"]


@pytest.mark.parametrize(
    ("options", "controls"),
    [
        ("", {}),
        ("exposure=10000", {"ExposureTime": 10000}),
        ("gain=2.5", {"AnalogueGain": 2.5}),
        ("exposure=10000&gain=4", {"ExposureTime": 10000, "AnalogueGain": 4.0, "AeEnable": False}),
        ("white-balance=daylight", {"AwbEnable": True, "AwbMode": 5}),
        ("colour-gains=1.8,1.5", {"AwbEnable": False, "ColourGains": (1.8, 1.5)}),
        ("focus=auto", {"AfMode": 2}),
        ("focus=0.5", {"AfMode": 0, "LensPosition": 0.5}),
    ],
)
def test_settings_become_libcameras_controls(options: str, controls: dict[str, Any]) -> None:
    opened(f"visible=picamera2:0?size=64x48&fps=20&{options}".rstrip("&")).close()
    assert Picamera2.made[-1].controls == {"FrameRate": 20.0, **controls}
    assert Picamera2.made[-1].tuning is None


def test_a_tuning_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "imx708_noir.json"
    path.write_text('{"version": 2.0, "target": "bcm2835", "algorithms": []}')
    opened(f"visible=picamera2:0?size=64x48&tuning={path}").close()
    assert Picamera2.made[-1].tuning["target"] == "bcm2835"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("exposure=60000", "exposure=60000 microseconds is longer than a frame; give at most 33333"),
        ("exposure=0", "expected a whole number from 1"),
        ("gain=0.5", "expected a number from 1 to 64"),
        ("white-balance=sunny", "expected one of auto, incandescent"),
        ("colour-gains=1.8", "expected RED,BLUE"),
        ("white-balance=auto&colour-gains=1,1", "give only one of them"),
        ("focus=near", "expected auto, or dioptres"),
        ("tuning=/nowhere.json", "cannot read /nowhere.json"),
        ("tuning=/etc/hostname", "not valid JSON"),
        ("rotate=45", "expected one of 0, 90, 180, 270"),
        ("flip=left", "expected one of none, horizontal"),
    ],
)
def test_invalid_settings_are_refused_without_a_camera(options: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "picamera2")
    with pytest.raises(SettingsError, match=words):
        camera(f"visible=picamera2:0?{options}")


def test_a_json_file_that_is_no_tuning_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(SettingsError, match="no tuning file"):
        camera(f"visible=picamera2:0?tuning={tmp_path / 'a.json'}")


def test_what_the_camera_does_not_offer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = {k: v for k, v in Picamera2.camera_controls.items() if k not in ("AfMode", "LensPosition")}
    monkeypatch.setattr(Picamera2, "camera_controls", fixed)
    with pytest.raises(CameraError, match=r"has no AfMode; leave focus= out") as caught:
        opened("visible=picamera2:0?size=64x48&focus=auto")
    assert caught.value.cause == "format"
    with pytest.raises(CameraError, match=r"takes AnalogueGain from 1.1228 to 16; change gain="):
        opened("visible=picamera2:0?size=64x48&gain=40")
