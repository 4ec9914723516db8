"""Real V4L2 devices from the kernel's test driver vivid; scripts/test-cameras runs these in a virtual machine."""

from __future__ import annotations

import subprocess
import time
from itertools import pairwise

import numpy as np
import pytest

from edgefuse.cameras import Camera, camera
from edgefuse.cameras.camera_thread import Patience
from edgefuse.cameras.v4l2_devices import devices
from edgefuse.errors import CameraError, FrameError
from edgefuse.frames import Frame
from edgefuse.sources.cameras import CamerasSource, PairingOptions

PATHS = [d.path for d in devices() if d.driver == "vivid" and d.captures]
pytestmark = pytest.mark.skipif(len(PATHS) < 2, reason="this kernel has no vivid devices; run scripts/test-cameras")


@pytest.fixture(autouse=True)
def _whole() -> None:
    """Reset the devices to work without faults."""
    for path in PATHS:
        subprocess.run(["v4l2-ctl", "-d", path, "-c", "percentage_of_dropped_buffers=0"], check=True, capture_output=True, timeout=120)


def control(path: str, text: str) -> None:
    subprocess.run(["v4l2-ctl", "-d", path, "-c", text], check=True, capture_output=True, timeout=120)


def opened(spec: str) -> Camera:
    made = camera(spec)
    made.open()
    return made


def frames(one: Camera, count: int) -> list[Frame]:
    got = []
    while len(got) < count:
        frame = one.read(5)
        assert frame is not None
        got.append(frame)
    return got


@pytest.mark.parametrize(("fourcc", "channels"), [("YUYV", (3,)), ("BGR3", (3,)), ("NV12", (3,)), ("GREY", ())])
def test_all_formats_show_the_same_picture(fourcc: str, channels: tuple[int, ...]) -> None:
    """vivid's colour bars: eight columns, the first white, the second yellow, the last black."""
    one = opened(f"visible=v4l2:{PATHS[0]}?size=320x180&format={fourcc}&fps=10")
    try:
        data = frames(one, 2)[-1].data
    finally:
        one.close()
    assert data.shape == (180, 320, *channels)
    assert data.dtype == np.uint8
    # the text over the bars covers few rows
    row = np.median(data, axis=0)
    white, yellow, black = row[10], row[60], row[310]
    assert np.min(white) > 160
    assert np.max(black) < 60
    if data.ndim == 3:
        assert yellow[0] + 60 < min(yellow[1], yellow[2])


def test_16_bit_formats_give_counts() -> None:
    one = opened(f"infrared=v4l2:{PATHS[1]}?size=320x180&format=Y16&fps=10")
    try:
        frame = frames(one, 2)[-1]
    finally:
        one.close()
    assert frame.data.dtype == np.uint16
    assert frame.data.shape == (180, 320)
    assert frame.radiometry is not None
    assert frame.radiometry.sensor == "generic-16"
    assert frame.data[120, 10] > 20000 > frame.data[120, 310]


def test_kernel_timestamps_are_monotonic_at_the_cameras_rate() -> None:
    one = opened(f"visible=v4l2:{PATHS[0]}?size=320x180&fps=5")
    try:
        assert one.fps == pytest.approx(5)
        begin = time.monotonic_ns()
        times = [f.time_ns for f in frames(one, 12)]
        end = time.monotonic_ns()
    finally:
        one.close()
    assert begin - 1e9 < times[0] < times[-1] <= end
    assert np.median([b - a for a, b in pairwise(times)]) == pytest.approx(200e6, rel=0.1)


def test_frames_lost_by_the_driver_are_counted() -> None:
    control(PATHS[0], "percentage_of_dropped_buffers=50")
    one = opened(f"visible=v4l2:{PATHS[0]}?size=320x180&fps=10")
    try:
        frames(one, 12)
        assert one.missed > 2
    finally:
        one.close()


def test_a_damaged_frame_is_counted() -> None:
    one = opened(f"visible=v4l2:{PATHS[0]}?size=320x180&fps=10")
    try:
        frames(one, 1)
        control(PATHS[0], "inject_v4l2_buf_flag_error=1")
        with pytest.raises(FrameError, match="damaged"):
            frames(one, 8)
        frames(one, 3)
    finally:
        one.close()


def test_busy_wrong_and_missing() -> None:
    one = opened(f"visible=v4l2:{PATHS[0]}?size=320x180")
    try:
        with pytest.raises(CameraError, match="another program uses it") as caught:
            camera(f"visible=v4l2:{PATHS[0]}?size=640x360").open()
        assert caught.value.cause == "busy"
    finally:
        one.close()
    with pytest.raises(CameraError, match="gives 320x180 YUYV, not 333x222 YUYV; it offers 320x180 YUYV") as caught:
        camera(f"visible=v4l2:{PATHS[0]}?size=333x222&format=YUYV").open()
    assert caught.value.cause == "format"
    with pytest.raises(CameraError, match=r"no such video device \(attached: /dev/video") as caught:
        camera("visible=v4l2:/dev/video77").open()
    assert caught.value.cause == "missing"


def test_a_pair_recovers_after_a_camera_was_unplugged() -> None:
    specs = [f"visible=v4l2:{PATHS[0]}?size=320x180&fps=10", f"infrared=v4l2:{PATHS[1]}?size=320x180&format=Y16&fps=5"]
    patience = Patience(silent=3, first_retry=0.5, last_retry=1)
    with CamerasSource(specs, PairingOptions(pass_through=True, max_skew_ms=400), patience) as source:
        pair = source.read()
        assert pair is not None
        assert (pair.visible.data.shape, pair.infrared.data.dtype, pair.missing) == ((180, 320, 3), np.uint16, None)
        control(PATHS[1], "disconnect=1")
        deadline = time.monotonic() + 60
        states = set()
        while pair.missing is None:
            assert time.monotonic() < deadline
            states.add(source.threads["infrared"].state)
            source.settle(pair, None)
            pair = source.read()
            assert pair is not None
        assert pair.missing == "infrared"
        assert source.threads["infrared"].faults
    for ledger in (f.ledger for f in source.threads.values()):
        assert ledger.received == ledger.fused + sum(ledger.dropped.values())
