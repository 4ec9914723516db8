"""Tests of radiometric JPEG files, made here to the format's description (ExifTool's pages on FLIR): no file of a camera."""

from __future__ import annotations

import logging
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgefuse
from edgefuse.errors import FrameError, MissingDependencyError
from edgefuse.sources import radiometric_jpeg

R1, B, F, OFFSET, R2 = 5000.0, 1430.0, 1.0, -500, 0.0125


def raw(celsius: np.ndarray) -> np.ndarray:
    """Return the counts of a black body by FLIR's formula: raw = R1 / (R2 (exp(B / T) - F)) - O."""
    return np.rint(R1 / (R2 * (np.exp(B / (celsius + 273.15)) - F)) - OFFSET).astype(np.uint16)


def fff(counts: np.ndarray, emissivity: float = 0.95) -> bytes:
    """Return FLIR's file in a file: a header, a directory, the raw counts and the camera's constants."""
    height, width = counts.shape
    body = struct.pack("<HHH", 2, width, height).ljust(32, b"\0") + counts.astype("<u2").tobytes()
    camera = bytearray(900)
    struct.pack_into("<6f", camera, 32, emissivity, 1.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<f", camera, 60, 0.5)
    struct.pack_into("<3f", camera, 88, R1, B, F)
    struct.pack_into("<7f", camera, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9, 400.0, 250.0)
    struct.pack_into("<if", camera, 776, OFFSET, R2)
    begin = 64 + 4 * 32
    entries = [(1, 2, begin, len(body)), (32, 1, begin + len(body), len(camera))]
    directory = b"".join(struct.pack(">HHIIIIIII", kind, sub, 100, 1, at, size, 0, 0, 0) for kind, sub, at, size in entries)
    header = b"FFF\0" + b"TEST".ljust(16, b"\0") + struct.pack(">III", 100, 64, 4)
    return header.ljust(64, b"\0") + directory.ljust(4 * 32, b"\0") + body + bytes(camera)


def segment(kind: int, content: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    """Return a picture with a white logo, and segments before it."""
    picture = np.full((96, 128, 3), 90, np.uint8)
    picture[4:20, 4:60] = 255
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    return data[:2] + b"".join(segments) + data[2:]


def flir_segments(content: bytes, size: int = 4000) -> list[bytes]:
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return [segment(0xE1, b"FLIR\0\1" + bytes((k, len(parts) - 1)) + part) for k, part in enumerate(parts)]


def scene() -> np.ndarray:
    """Return degrees Celsius, 48 x 64: a room with a hot thing."""
    celsius = np.full((48, 64), 21.0)
    celsius[20:30, 30:40] = 85.0
    return celsius


def folder(root: Path, data: bytes) -> str:
    for name in ("visible", "infrared"):
        (root / name).mkdir()
    cv2.imwrite(str(root / "visible" / "a.png"), np.full((48, 64, 3), 100, np.uint8))
    (root / "infrared" / "a.jpg").write_bytes(data)
    return f"folder:{root}"


def test_a_flir_file_gives_apparent_temperatures_instead_of_its_logo(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    with edgefuse.open_source(folder(tmp_path, jpeg(*flir_segments(fff(raw(scene())))))) as source:
        pair = source.read()
    assert pair is not None
    frame = pair.infrared
    assert (frame.data.shape, frame.data.dtype) == ((48, 64), np.dtype(np.uint16))
    assert frame.radiometry is not None
    assert frame.radiometry.celsius(float(frame.data[25, 35])) == pytest.approx(85.0, abs=0.05)
    assert frame.radiometry.celsius(float(frame.data[2, 2])) == pytest.approx(21.0, abs=0.05)


def test_above_655_kelvin_a_count_is_a_tenth(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    celsius = np.full((48, 64), 50.0)
    celsius[0, 0] = 420.0
    counts, law = radiometric_jpeg.flir(jpeg(*flir_segments(fff(raw(celsius)))))
    assert law.scale == 0.1
    assert law.celsius(float(counts[0, 0])) == pytest.approx(420.0, abs=0.2)
    assert law.celsius(float(counts[5, 5])) == pytest.approx(50.0, abs=0.1)


def test_without_the_library_the_file_is_refused_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flyr", None)
    with (
        edgefuse.open_source(folder(tmp_path, jpeg(*flir_segments(fff(raw(scene())))))) as source,
        pytest.raises(MissingDependencyError, match=r"edgefuse\[flir\]"),
    ):
        source.read()


def test_a_damaged_flir_file_is_a_lost_frame(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    with (
        edgefuse.open_source(folder(tmp_path, jpeg(*flir_segments(fff(raw(scene()))[:700])))) as source,
        pytest.raises(FrameError, match="holds a FLIR camera's counts, which cannot be read"),
    ):
        source.read()


def test_a_dji_file_is_named_and_its_picture_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exif = segment(0xE1, b"Exif\0\0MM\0*" + b"DJI\0M3T\0".rjust(100, b"\0"))
    data = jpeg(exif, *[segment(0xE3, bytes(60000)) for _ in range(2)])
    assert radiometric_jpeg.maker(data) == "DJI"
    with caplog.at_level(logging.WARNING), edgefuse.open_source(folder(tmp_path, data)) as source:
        pair = source.read()
    assert pair is not None
    assert pair.infrared.data.shape == (96, 128, 3)
    assert "a.jpg holds a DJI camera's counts, which only DJI's own software reads" in caplog.text


def test_ordinary_pictures_are_not_radiometric() -> None:
    assert radiometric_jpeg.maker(jpeg()) is None
    assert radiometric_jpeg.maker(jpeg(segment(0xE1, b"Exif\0\0MM\0*FLIR\0"))) is None
    assert radiometric_jpeg.maker(jpeg(segment(0xE3, bytes(60000)), segment(0xE3, bytes(60000)))) is None
    assert radiometric_jpeg.maker(b"\x89PNG") is None
    assert radiometric_jpeg.maker(b"\xff\xd8\xff\xe1\0") is None
