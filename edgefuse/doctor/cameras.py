"""V4L2 cameras: USB ids, modes, permissions; which of them is thermal."""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Sequence

from edgefuse.board import read_board
from edgefuse.cameras.v4l2_devices import Device, Mode
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.doctor.power import is_pi
from edgefuse.doctor.probe import run_probe
from edgefuse.thermal import supported_cameras

# video nodes of a Pi's own codec, image processor and receivers; these belong to libcamera
_PLATFORM = ("bcm2835", "unicam", "rp1-cfe", "pispbe", "rpi-", "rpivid")
_MODES_SHOWN = 4


def check_cameras(host: Host) -> list[Finding]:
    answer = run_probe(host, "cameras", str(host.root))
    if answer.error:
        return [
            Finding(
                "cameras", "fail", f"querying the video devices {answer.error}; unplug the last one and look again", "dmesg | tail -n 30"
            )
        ]
    devices = [Device(**d | {"modes": tuple(Mode(**m) for m in d["modes"])}) for d in answer.values["devices"]]
    return camera_findings(host, devices, answer.values["usb"])


def camera_findings(host: Host, devices: Sequence[Device], usb: Sequence[str]) -> list[Finding]:
    """Return the findings about video devices. usb: ids of all connected USB devices."""
    cameras = [d for d in devices if d.captures and d.modes and not d.driver.startswith(_PLATFORM)]
    errors = [d for d in devices if d.error is not None]
    findings = [_camera(d) for d in cameras] + _errors(host, errors)
    seen = {d.usb for d in devices}
    for plugged in dict.fromkeys(usb):
        sensor = supported_cameras.identify(plugged, None, None, None)
        if sensor is not None and plugged not in seen:
            what = f"{sensor.title}, USB {plugged}, is plugged in, but no driver took it"
            findings.append(Finding("camera", "warn", what, host.sudo("modprobe uvcvideo")))
    if findings:
        return findings
    hidden = not (host.root / "sys/bus/usb/devices").is_dir()
    where = "USB is hidden here; a container needs --device /dev/video0" if hidden else "files and the demo source need none"
    return [Finding("cameras", "warn" if is_pi(read_board(host.root).model) else "ok", f"no USB camera found; {where}")]


def _camera(d: Device) -> Finding:
    thermal = next((s for m in d.modes if (s := supported_cameras.identify(d.usb, m.width, m.height, m.fourcc)) is not None), None)
    kind = f"thermal ({thermal.title})" if thermal else "visible, or not known to be thermal"
    shown = _modes_to_show(d.modes)
    more = f" and {len(d.modes) - len(shown)} more modes" if len(d.modes) > len(shown) else ""
    modes = ", ".join(map(str, shown)) + more
    usb = f"USB {d.usb}" if d.usb else d.bus or "unknown bus"
    facts = {
        "path": d.path, "name": d.name, "usb": d.usb, "driver": d.driver, "bus": d.bus, "thermal": thermal.title if thermal else None,
        "modes": [{"fourcc": m.fourcc, "width": m.width, "height": m.height, "fps": m.fps} for m in d.modes],
    }  # fmt: skip
    return Finding(f"camera {d.path}", "ok", f"{d.name}, {usb}: {kind}; {modes}", None, facts)


def _modes_to_show(modes: Sequence[Mode]) -> list[Mode]:
    """Return all modes where they are few, else the largest of each pixel format."""
    if len(modes) <= _MODES_SHOWN:
        return list(modes)
    largest: dict[str, Mode] = {}
    for mode in modes:
        held = largest.setdefault(mode.fourcc, mode)
        if (mode.width * mode.height, mode.fps or 0) > (held.width * held.height, held.fps or 0):
            largest[mode.fourcc] = mode
    return list(largest.values())[:_MODES_SHOWN]


def _errors(host: Host, devices: Sequence[Device]) -> list[Finding]:
    """Return one finding for each kind of error."""
    findings = []
    for code in sorted({d.error for d in devices if d.error is not None}):
        these = [d for d in devices if d.error == code]
        named = ", ".join(f"{d.path} ({d.name}{f', USB {d.usb}' if d.usb else ''})" for d in these)
        facts = {"devices": [d.path for d in these], "error": errno.errorcode.get(code)}
        if code in (errno.EACCES, errno.EPERM):
            findings.append(Finding("camera", "fail", f"no permission to use {named}", host.join_group(_group(host, these[0])), facts))
        elif code == errno.ENOENT:
            what = f"the kernel has {named}, but not in this container's /dev"
            findings.append(Finding("camera", "warn", what, f"docker run {' '.join(f'--device {d.path}' for d in these)} ...", facts))
        else:
            findings.append(Finding("camera", "warn", f"{named} can't be queried: {os.strerror(code)}", "dmesg | tail -n 30", facts))
    return findings


def _group(host: Host, d: Device) -> str:
    try:
        return grp.getgrgid((host.root / d.path.lstrip("/")).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "video"
