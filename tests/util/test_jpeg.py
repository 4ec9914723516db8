"""Whole JPEG pictures: holes and cut ends are found, what lies behind the end does no harm."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgefuse.cameras.buffers import picture
from edgefuse.util import jpeg
from edgefuse.util.native_stderr import native_stderr

RNG = np.random.default_rng(0)
SIZE = (320, 240)
IMAGE = cv2.resize(RNG.integers(0, 255, (15, 20, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)


def encoded(*options: int) -> bytes:
    return cv2.imencode(".jpg", IMAGE, [cv2.IMWRITE_JPEG_QUALITY, 85, *options])[1].tobytes()


KINDS = {
    "baseline": encoded(),
    "progressive": encoded(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
}
TAILS = {
    "zeros": bytes(500), "FF": b"\xff" * 64, "stale bytes": b"\x12\x34\x56" * 50, "a scan": b"\xff\xda" + bytes(range(200)),
    "a film": b"\0\0\0\x18ftypmp42" + RNG.integers(0, 256, 60_000, dtype=np.uint8).tobytes(),
    "counts": RNG.integers(18000, 21000, 5000).astype("<u2").tobytes(), "another picture": KINDS["baseline"],
}  # fmt: skip


def taken(data: bytes) -> np.ndarray:
    return picture(np.frombuffer(data, np.uint8), SIZE, "MJPG", 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", TAILS)
def test_bytes_behind_the_end_do_no_harm(kind: str, tail: str) -> None:
    np.testing.assert_array_equal(taken(KINDS[kind] + TAILS[tail]), taken(KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_thumbnail_in_the_header_is_not_the_end(kind: str) -> None:
    small = cv2.imencode(".jpg", IMAGE[:32, :32])[1].tobytes()
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    data = KINDS[kind][:2] + segment + KINDS[kind][2:]
    assert jpeg.end(data) == len(data)
    cut = data[: len(data) * 2 // 3]
    with pytest.raises(ValueError, match="truncated"):
        taken(cut)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_picture_is_refused(kind: str, share: float) -> None:
    data = KINDS[kind]
    for tail in (b"", bytes(300), KINDS["baseline"]):
        with pytest.raises(ValueError, match="truncated"):
            taken(data[: int(len(data) * share)] + tail)
    with pytest.raises(ValueError, match="truncated"):
        taken(data[:-2])


@pytest.mark.parametrize("missing", [512, 2048])
def test_a_hole_in_the_middle_is_refused(missing: int, capfd: pytest.CaptureFixture[str]) -> None:
    data = KINDS["baseline"]
    middle = len(data) // 2
    for damaged in (data[:middle] + data[middle + missing :], data[:middle] + bytes(missing) + data[middle + missing :]):
        with pytest.raises(ValueError, match="damaged"):
            taken(damaged)
    assert "Corrupt" not in capfd.readouterr().err


def test_garbage_is_no_jpeg() -> None:
    for data in (b"", b"\xff", b"\xff\xd8", b"garbage" * 100):
        with pytest.raises(ValueError, match="JPEG"):
            taken(data)


def test_another_threads_lines_reach_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with native_stderr(jpeg.complains) as lines:
        os.write(2, b"a log line\nCorrupt JPEG data: 3 bytes\n")
    assert lines == [b"Corrupt JPEG data: 3 bytes"]
    assert capfd.readouterr().err == "a log line\n"
