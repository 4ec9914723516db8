"""A Raspberry Pi camera with a stand-in for picamera2, which is only available from apt on a Pi."""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from edgefuse.cameras import camera
from edgefuse.cameras.base import Camera
from edgefuse.cameras.find import attached
from edgefuse.errors import CameraError


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

    def __init__(self, number: int) -> None:
        if Picamera2.busy:
            raise RuntimeError("Failed to acquire camera: Device or resource busy\nmore lines")
        self.number, self.started, self.held, self.index, self.flushed = number, False, 0, 0, 0
        self.main: dict[str, Any] = {}

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Picamera2.cameras

    def create_video_configuration(self, main: dict[str, Any], controls: dict[str, Any], buffer_count: int) -> dict[str, Any]:
        assert main["format"] == "RGB888"
        assert buffer_count >= 2
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict[str, Any]) -> None:
        self.main = dict(configuration["main"])
        if Picamera2.given:
            self.main["size"] = Picamera2.given

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
