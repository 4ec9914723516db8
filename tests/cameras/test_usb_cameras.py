"""USB cameras with the ids and descriptors of real ones, driven by the kernel's uvcvideo; scripts/test-cameras runs these in a virtual
machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest

from edgefuse.cameras import Camera, camera
from edgefuse.cameras.camera_thread import Patience
from edgefuse.cameras.v4l2_devices import Device, devices
from edgefuse.errors import CameraError
from edgefuse.frames import Frame
from edgefuse.sources.cameras import CamerasSource, PairingOptions
from tests.cameras.usb_camera import PURETHERMAL, TC001, VHCI, Model, UsbCamera

pytestmark = pytest.mark.skipif(not os.access(VHCI / "attach", os.W_OK), reason="no vhci_hcd in this kernel; run scripts/test-cameras")
WAIT_S = 60.0


def thermal(model: Model) -> Callable[[int], bytes]:
    """Return what makes frames of 20 degrees with a hot square, 0.2 degrees warmer in each frame; a TC001's with its picture above."""
    width, height = (160, 120) if model is PURETHERMAL else (256, 192)
    per_kelvin = 100 if model is PURETHERMAL else 64

    def frame(n: int) -> bytes:
        kelvin = np.full((height, width), 293.15)
        kelvin[40:60, 50:80] = 313.15 + 0.2 * (n % 50)
        kelvin += np.random.default_rng(n).normal(0, 0.02, kelvin.shape)
        counts = np.round(kelvin * per_kelvin).astype("<u2").tobytes()
        picture = np.full((height, width, 2), 128, np.uint8)
        picture[..., 0] = np.arange(width) % 100 + 16
        return counts if model is PURETHERMAL else picture.tobytes() + counts

    return frame


def attached(model: Model) -> list[Device]:
    usb = "{:04x}:{:04x}".format(*model.usb)
    return [d for d in devices() if d.usb == usb and d.captures]


def wait(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, f"waited {WAIT_S:.0f} s for {what}"
        time.sleep(0.1)


def plugged(model: Model, port: int) -> UsbCamera:
    made = UsbCamera(model, thermal(model), port)
    made.plug_in()
    wait(lambda: attached(model), f"{model.name} to appear")
    return made


@pytest.fixture(params=[(PURETHERMAL, "lepton"), (TC001, "tc001")], ids=["PureThermal", "TC001"])
def one(request: pytest.FixtureRequest) -> Iterator[tuple[UsbCamera, str]]:
    model, sensor = request.param
    made = plugged(model, 0)
    yield made, sensor
    made.unplug()
    wait(lambda: not attached(model), f"{model.name} to go")


def opened(model: Model) -> Camera:
    made = camera("infrared=v4l2:{:04x}:{:04x}".format(*model.usb))
    made.open()
    return made


def frame(of: Camera) -> Frame:
    got = of.read(20)
    assert got is not None, "waited 20 s for a frame"
    return got


def drained(of: Camera) -> None:
    """Read the frames that the driver still has."""
    for _ in range(100):
        of.read(20)


def test_a_camera_is_known_by_its_usb_id_and_gives_degrees(one: tuple[UsbCamera, str]) -> None:
    plugged_in, sensor = one
    (device,) = attached(plugged_in.model)
    assert device.driver == "uvcvideo"
    assert [(m.fourcc, m.width, m.height, m.fps) for m in device.modes] == [
        (plugged_in.model.fourcc, *plugged_in.model.size, pytest.approx(plugged_in.model.fps, rel=0.001))
    ]
    made = opened(plugged_in.model)
    try:
        got = [frame(made) for _ in range(4)]
    finally:
        made.close()
    for n, seen in enumerate(got):
        law = seen.radiometry
        assert law is not None
        assert (law.sensor, seen.data.dtype, seen.size) == (sensor, np.uint16, (160, 120) if sensor == "lepton" else (256, 192))
        assert law.celsius(float(np.median(seen.data))) == pytest.approx(20, abs=0.05)
        assert law.celsius(float(np.median(seen.data[45:55, 55:75]))) == pytest.approx(40 + 0.2 * n, abs=0.05)
    assert all(b.time_ns > a.time_ns for a, b in pairwise(got))


def test_a_camera_that_is_unplugged_is_gone_and_comes_back(one: tuple[UsbCamera, str]) -> None:
    plugged_in, sensor = one
    made = opened(plugged_in.model)
    frame(made)
    plugged_in.unplug()
    with pytest.raises(CameraError) as caught:
        drained(made)
    assert caught.value.cause == "gone"
    made.close()
    wait(lambda: not attached(plugged_in.model), "the device to go")
    with pytest.raises(CameraError, match="no such USB camera"):
        opened(plugged_in.model)
    plugged_in.plug_in()
    wait(lambda: attached(plugged_in.model), "the device to come back")
    again = opened(plugged_in.model)
    try:
        law = frame(again).radiometry
        assert law is not None
        assert law.sensor == sensor
    finally:
        again.close()


def test_a_pair_of_usb_cameras_survives_unplugging_and_accounts_for_every_frame() -> None:
    visible, infrared = plugged(TC001, 0), plugged(PURETHERMAL, 1)
    specs = ["visible=v4l2:0bda:5830", "infrared=v4l2:1e4e:0100"]
    options, patience = PairingOptions(pass_through=True, max_skew_ms=1000), Patience(silent=5, first_retry=0.5, last_retry=1)
    try:
        with CamerasSource(specs, options, patience) as source:

            def until(missing: str | None, what: str) -> None:
                deadline = time.monotonic() + 2 * WAIT_S
                while True:
                    pair = source.read()
                    assert pair is not None
                    source.settle(pair, None)
                    if pair.missing == missing:
                        return
                    assert time.monotonic() < deadline, f"waited for {what}"

            until(None, "a pair")
            infrared.unplug()
            until("infrared", "the loss of the infrared camera")
            infrared.plug_in()
            until(None, "the infrared camera to come back")
            assert source.threads["infrared"].faults
        for thread in source.threads.values():
            assert thread.ledger.received == thread.ledger.fused + sum(thread.ledger.dropped.values())
    finally:
        visible.unplug()
        infrared.unplug()
