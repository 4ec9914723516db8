from __future__ import annotations

import errno
from pathlib import Path

from edgefuse.cameras.v4l2_devices import Device, Mode
from edgefuse.doctor import Host
from edgefuse.doctor.cameras import camera_findings, check_cameras
from tests.board.trees import PI, plant
from tests.doctor.trees import camera

LEPTON = Device("/dev/video0", "PureThermal", "1e4e:0100", "uvcvideo", "usb-1.2", True, (Mode("Y16", 160, 122, 9.0),))


def test_a_thermal_and_a_visible_camera(tmp_path: Path) -> None:
    modes = tuple(Mode(f, w, 480, 10.0) for f in ("YUYV", "MJPG") for w in (320, 640, 160, 352))
    webcam = Device("/dev/video2", "Web\x1b[31mcam", "046d:0825", "uvcvideo", "usb-1.3", True, modes)
    node = Device("/dev/video1", "PureThermal", "1e4e:0100", "uvcvideo", "usb-1.2")
    codec = Device("/dev/video10", "bcm2835-codec-decode", None, "bcm2835-codec", "platform:x", True, modes)
    findings = camera_findings(Host(tmp_path), [LEPTON, node, webcam, codec], ["1e4e:0100", "046d:0825"])
    assert [(f.name, f.state) for f in findings] == [("camera /dev/video0", "ok"), ("camera /dev/video2", "ok")]
    assert findings[0].what == "PureThermal, USB 1e4e:0100: thermal (PureThermal with a FLIR Lepton); Y16 160x122 9 FPS"
    assert findings[0].facts["thermal"]
    assert findings[1].what.endswith("; YUYV 640x480 10 FPS, MJPG 640x480 10 FPS and 6 more modes")
    assert len(findings[1].facts["modes"]) == 8


def test_no_permission_is_one_failure_that_names_the_group(tmp_path: Path) -> None:
    denied = [Device(f"/dev/video{n}", "PureThermal", "1e4e:0100", error=errno.EACCES) for n in (0, 1)]
    (findings,) = camera_findings(Host(tmp_path), denied, ["1e4e:0100"])
    assert findings.state == "fail"
    assert "/dev/video0 (PureThermal, USB 1e4e:0100), /dev/video1" in findings.what
    assert "newgrp video" in (findings.mend or "")


def test_a_container_without_the_device(tmp_path: Path) -> None:
    camera(tmp_path, 0, "1e4e:0100", "PureThermal")
    (finding,) = check_cameras(Host(tmp_path))
    assert (finding.state, finding.mend) == ("warn", "docker run --device /dev/video0 ...")


def test_a_thermal_camera_without_a_driver(tmp_path: Path) -> None:
    camera(tmp_path, 0, "1e4e:0100", "PureThermal")
    (tmp_path / "sys/class/video4linux/video0/name").unlink()
    (tmp_path / "sys/class/video4linux/video0/device").unlink()
    (tmp_path / "sys/class/video4linux/video0").rmdir()
    (finding,) = check_cameras(Host(tmp_path))
    assert finding.state == "warn"
    assert finding.mend in ("modprobe uvcvideo", "sudo modprobe uvcvideo")


def test_what_is_no_camera_says_so(tmp_path: Path) -> None:
    plant(tmp_path, {"dev/video0": ""})
    (finding,) = check_cameras(Host(tmp_path))
    assert (finding.state, finding.facts["error"]) == ("warn", "ENOTTY")


def test_none(tmp_path: Path) -> None:
    (findings,) = check_cameras(Host(tmp_path))
    assert findings.state == "ok"
    assert "USB is hidden" in findings.what
    plant(tmp_path, PI)
    assert check_cameras(Host(tmp_path))[0].state == "warn"
