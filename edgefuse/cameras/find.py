"""`--camera` alone: the one visible and the one known thermal camera that are attached."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgefuse.cameras import picamera2
from edgefuse.cameras.v4l2 import sensor_of
from edgefuse.cameras.v4l2_devices import devices
from edgefuse.errors import CameraError, SourceError
from edgefuse.frames import Modality

_HOW = "say which: --camera visible=CAMERA --camera infrared=CAMERA (docs/cameras.md)"


@dataclass(frozen=True, slots=True)
class Found:
    """uri: what to give to --camera after visible= or infrared=. name: for people."""

    uri: str
    name: str
    modality: Modality


def attached() -> list[Found]:
    """Every camera that libcamera and the kernel know, USB ones by their ids; what can't be opened now is named all the same."""
    there = [d for d in devices() if d.usb and (d.captures or d.error is not None)]
    times = Counter(d.usb for d in there)
    found = _raspberry()
    for device in there:
        uri = f"v4l2:{device.path}" if times[device.usb] > 1 else f"v4l2:{device.usb}"
        sensor = sensor_of(device)
        found.append(Found(uri, sensor.title if sensor else device.name, "infrared" if sensor else "visible"))
    return found


def pair(found: list[Found]) -> tuple[str, str]:
    """The specs of the visible and the infrared camera. Raises SourceError where there is not one of each."""
    visible = [f for f in found if f.modality == "visible"]
    infrared = [f for f in found if f.modality == "infrared"]
    if len(visible) == len(infrared) == 1:
        return f"visible={visible[0].uri}", f"infrared={infrared[0].uri}"
    there = ", ".join(f"{f.uri} ({f.name})" for f in found) or "none"
    one = "no" if not infrared else f"{len(infrared)}" if len(infrared) > 1 else "a"
    other = "no" if not visible else f"{len(visible)}" if len(visible) > 1 else "a"
    plural = ("s" if len(visible) > 1 else "", "s" if len(infrared) > 1 else "")
    raise SourceError(f"found {other} visible camera{plural[0]} and {one} known thermal camera{plural[1]} (attached: {there}); {_HOW}")


def _raspberry() -> list[Found]:
    try:
        cameras = picamera2.module().global_camera_info()
    except CameraError:
        return []
    # libcamera lists USB cameras too, which the kernel tells more of
    return [Found(f"picamera2:{c['Num']}", str(c["Model"]), "visible") for c in cameras if "usb" not in str(c.get("Id", "")).lower()]
