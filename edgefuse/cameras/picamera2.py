"""`picamera2:N?size=1280x720&fps=30`: a Raspberry Pi camera through libcamera. picamera2 is installed by apt, not pip."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from edgefuse.cameras import picamera2_controls
from edgefuse.cameras.base import Camera
from edgefuse.cameras.clock import from_boottime
from edgefuse.cameras.picamera2_controls import PiControls
from edgefuse.errors import CameraError, SettingsError
from edgefuse.frames import Frame, Modality
from edgefuse.util.uri import Uri, real, size, whole

_MISSING = (
    "picamera2 cameras need picamera2, which apt installs and only a venv with system site packages can import; run: "
    "sudo apt install -y python3-picamera2 && python3 -m venv --system-site-packages .venv"
)


def module() -> Any:
    """Return picamera2's class. Raises CameraError ("missing") with the install command."""
    try:
        from picamera2 import Picamera2
    except ImportError as e:
        # picamera2 from pip may lack libcamera's part
        why = "" if e.name == "picamera2" else f" ({e})"
        raise CameraError("missing", _MISSING + why) from None
    return Picamera2


class PiCamera(Camera):
    """Frames as BGR uint8 (H, W, 3), timed by the sensor's start of exposure."""

    OPTIONS = ("size", "fps", *picamera2_controls.OPTIONS)

    def __init__(
        self, number: int, label: str, modality: Modality, size: tuple[int, int] = (640, 480), fps: float = 30.0,
        controls: PiControls | None = None,
    ) -> None:  # fmt: skip
        self.modality, self.label, self.fps = modality, label, fps
        self._number, self._size, self._controls = number, size, controls or PiControls()
        self._camera: Any = None

    @classmethod
    def from_uri(cls, uri: Uri, modality: Modality) -> Self:
        targets = uri.targets or ("0",)
        try:
            number = whole(0, 63)(targets[0]) if len(targets) == 1 else -1
        except ValueError:
            number = -1
        if number < 0:
            raise SettingsError(f"{uri.text}: expected a camera's number, such as picamera2:0 (rpicam-hello --list-cameras shows them)")
        fps = uri.option("fps", 30.0, real(0.1, 1000))
        return cls(number, uri.text, modality, uri.option("size", (640, 480), size), fps, picamera2_controls.from_uri(uri, fps))

    def identity(self) -> str:
        """Return libcamera's id of the camera."""
        cameras = module().global_camera_info()
        if self._number >= len(cameras):
            there = ", ".join(f"picamera2:{c['Num']} ({c['Model']})" for c in cameras) or "none"
            raise CameraError("missing", f"{self.label}: libcamera has no such camera (attached: {there}); check the cable and its latch")
        return str(cameras[self._number].get("Id", self._number))

    def open(self) -> None:
        self.close()
        self.identity()
        kind = module()
        try:
            tuning = self._controls.tuning
            camera = kind(self._number) if tuning is None else kind(self._number, tuning=kind.load_tuning_file(str(tuning)))
        except (RuntimeError, IndexError, OSError) as e:
            raise CameraError("busy", f"{self.label} can't be opened ({_line(e)}); close the program that uses it") from None
        try:
            # RGB888 is libcamera's name for OpenCV's BGR
            wanted = {"format": "RGB888", "size": self._size}
            if fault := self._controls.fault(camera.camera_controls):
                raise CameraError("format", f"{self.label} {fault}")
            controls = {"FrameRate": self.fps, **self._controls.values}
            camera.configure(camera.create_video_configuration(main=wanted, controls=controls, buffer_count=4))
            _check_given(self.label, camera.camera_configuration()["main"], wanted)
            camera.start()
        except (RuntimeError, ValueError, OSError) as e:
            _close(camera)
            raise CameraError("format", f"{self.label} can't be started ({_line(e)}); try another size= or fps=") from None
        except CameraError:
            _close(camera)
            raise
        self._camera = camera

    def read(self, timeout_s: float) -> Frame | None:
        try:
            request = self._camera.capture_request(wait=timeout_s)
        except TimeoutError:
            # cancel the request, so that it does not complete later
            with contextlib.suppress(Exception):
                self._camera.cancel_all_and_flush()
            return None
        except Exception as e:
            raise CameraError("gone", f"{self.label} gives no frames ({_line(e)})") from None
        try:
            data: Any = np.ascontiguousarray(request.make_array("main"))
            sensor_ns = request.get_metadata()["SensorTimestamp"]
        finally:
            request.release()
        return Frame(data, self.modality, from_boottime(sensor_ns), "")

    def close(self) -> None:
        if self._camera is not None:
            _close(self._camera)
            self._camera = None


def _check_given(label: str, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise CameraError where libcamera has changed size or format, as it does for what a camera doesn't have."""
    width, height = given["size"]
    if (width, height) != wanted["size"]:
        raise CameraError("format", f"{label} gives {width}x{height}, not {wanted['size'][0]}x{wanted['size'][1]}; set size=")
    if given["format"] != wanted["format"]:
        # a webcam gives YUYV or MJPEG, which would be taken for BGR
        raise CameraError("format", f"{label} gives {given['format']}, not {wanted['format']}; read a USB camera with v4l2:")


def _close(camera: Any) -> None:
    # closing an unplugged camera may fail too
    with contextlib.suppress(Exception):
        camera.stop()
    with contextlib.suppress(Exception):
        camera.close()


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
