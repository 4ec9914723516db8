"""MODALITY=CAMERA specs and one-line errors for invalid ones; no device is touched."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgefuse.cameras import camera
from edgefuse.errors import CameraError, SettingsError


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("visible=picamera2", "picamera2"),
        ("visible=picamera2:1?size=1280x720&fps=25", "picamera2:1?size=1280x720&fps=25"),
        ("infrared=v4l2:1E4E:0100?size=160x120&format=y16", "v4l2:1E4E:0100?size=160x120&format=y16"),
        ("infrared=v4l2:/dev/v4l/by-id/usb-x-video-index0?sensor=tc001", "v4l2:/dev/v4l/by-id/usb-x-video-index0?sensor=tc001"),
        ("visible=rtsp://me:se%23cret@door:554/1?channel=2", "rtsp://***@door:554/1?***"),
        ("infrared=HTTP://door/video#sensor=generic-16", "HTTP://door/video"),
    ],
)
def test_a_spec_names_a_camera(spec: str, label: str) -> None:
    made = camera(spec)
    assert made.modality == spec.partition("=")[0]
    assert made.label == label


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("picamera2:0", "camera 'picamera2:0' is not visible=CAMERA or infrared=CAMERA, such as --camera visible=picamera2:0"),
        ("thermal=picamera2:0", "is not visible=CAMERA or infrared=CAMERA"),
        ("visible=", "is not visible=CAMERA"),
        ("rtsp://me:secret@door/1", "camera 'rtsp://***@door/1' is not visible=CAMERA"),
        ("visible=webcam:0", "unknown camera 'webcam'; choose from picamera2, v4l2, rtsp, rtsps, http, https"),
        ("visible=ftp://me:secret@door/1", "unknown camera 'ftp'; choose from"),
        ("visible=picamera2:front", "expected a camera's number, such as picamera2:0"),
        ("visible=picamera2:0,1", "expected a camera's number"),
        ("visible=picamera2:0?colour=no", "'picamera2' has no option 'colour'; known options: size, fps"),
        ("visible=picamera2:0?size=big", "option size=big: expected WIDTHxHEIGHT"),
        ("infrared=v4l2", "expected a USB id VENDOR:PRODUCT"),
        ("infrared=v4l2:1e4e", "expected a USB id VENDOR:PRODUCT"),
        ("infrared=v4l2:1e4e:01000", "expected a USB id VENDOR:PRODUCT"),
        ("infrared=v4l2:1e4e:0100?format=h264", "option format=h264: expected one of Y16"),
        ("infrared=v4l2:1e4e:0100?sensor=boson", "unknown thermal sensor 'boson'; choose from lepton"),
        ("visible=v4l2:1e4e:0100?sensor=lepton", "a visible camera has no thermal sensor"),
        ("visible=http://", "is not a URL such as rtsp://host/stream"),
        ("visible=http://door:port/", "is not a URL"),
        ("visible=http://door/1#sensor", "expected KEY=VALUE&KEY=VALUE after #"),
        ("visible=http://door/1#size=1x1", "'http' has no option 'size'; known options: sensor"),
    ],
)
def test_invalid_specs_give_a_one_line_error(spec: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        camera(spec)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_picamera2_the_error_has_the_apt_command_and_the_venv_option() -> None:
    with pytest.raises(CameraError) as caught:
        camera("visible=picamera2:0").open()
    assert caught.value.cause == "missing"
    assert "sudo apt install -y python3-picamera2" in str(caught.value)
    assert "--system-site-packages" in str(caught.value)


def test_camera_modules_are_imported_on_first_use() -> None:
    code = (
        "import sys; from edgefuse.sources import cameras; from edgefuse.cameras import camera; camera('visible=picamera2:0');"
        "print(sorted(m for m in sys.modules if m.startswith('edgefuse.cameras.') or m in ('cv2', 'picamera2')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    needed = "base", "camera_thread", "clock", "frame_ledger", "pairing", "picamera2", "picamera2_controls"
    assert done.stdout.strip() == str([f"edgefuse.cameras.{m}" for m in needed])


def test_a_hash_in_a_password_is_named_and_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        camera("visible=rtsp://me:pa#SECRET@127.0.0.1/s")
    assert "write %23 for it" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("pa#", ":pa", "SECRET"))
