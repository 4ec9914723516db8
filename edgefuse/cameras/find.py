"""Detection of cameras for `--camera` without a value: the only visible and the only known thermal camera attached."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgefuse.cameras import picamera2
from edgefuse.cameras.v4l2 import sensor_of
from edgefuse.cameras.v4l2_devices import devices
from edgefuse.errors import CameraError, SourceError
from edgefuse.frames import Modality

_HINT = "choose with --camera visible=CAMERA --camera infrared=CAMERA (docs/how-to/cameras.md)"


@dataclass(frozen=True, slots=True)
class AttachedCamera:
    """An attached camera. uri: for --camera after visible= or infrared=. name: for people."""

    uri: str
    name: str
    modality: Modality


def attached() -> list[AttachedCamera]:
    """Return all cameras that libcamera and the kernel list, USB cameras by id, including those that cannot be opened now."""
    there = [d for d in devices() if d.usb and (d.captures or d.error is not None)]
    times = Counter(d.usb for d in there)
    cameras = _raspberry_cameras()
    for device in there:
        uri = f"v4l2:{device.path}" if times[device.usb] > 1 else f"v4l2:{device.usb}"
        sensor = sensor_of(device)
        cameras.append(AttachedCamera(uri, sensor.title if sensor else device.name, "infrared" if sensor else "visible"))
    return cameras


def pair(cameras: list[AttachedCamera]) -> tuple[str, str]:
    """Return the specs of the visible and the infrared camera. Raises SourceError where there is not exactly one of each."""
    visible = [f for f in cameras if f.modality == "visible"]
    infrared = [f for f in cameras if f.modality == "infrared"]
    if len(visible) == len(infrared) == 1:
        return f"visible={visible[0].uri}", f"infrared={infrared[0].uri}"
    there = ", ".join(f"{f.uri} ({f.name})" for f in cameras) or "none"
    one = "no" if not infrared else f"{len(infrared)}" if len(infrared) > 1 else "a"
    other = "no" if not visible else f"{len(visible)}" if len(visible) > 1 else "a"
    plural = ("s" if len(visible) > 1 else "", "s" if len(infrared) > 1 else "")
    raise SourceError(f"found {other} visible camera{plural[0]} and {one} known thermal camera{plural[1]} (attached: {there}); {_HINT}")


def _raspberry_cameras() -> list[AttachedCamera]:
    try:
        cameras = picamera2.module().global_camera_info()
    except CameraError:
        return []
    # libcamera lists USB cameras too, but the kernel gives more details
    return [
        AttachedCamera(f"picamera2:{c['Num']}", str(c["Model"]), "visible") for c in cameras if "usb" not in str(c.get("Id", "")).lower()
    ]
