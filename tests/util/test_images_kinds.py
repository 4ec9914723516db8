"""Kinds of image files that thermal software writes: read as they are, or refused with a word."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.util import images

COUNTS = (np.linspace(7000, 9000, 64)[None, :] + np.zeros((48, 1))).astype(np.uint16)


def tiff(path: Path, pages: Sequence[tuple[bytes, int, int, int]], order: str = "<") -> Path:
    """Write uncompressed 64 x 48 pages of (bytes, bits, samples, subfile type)."""
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8))
    for k, (data, bits, samples, subfile) in enumerate(pages):
        values = [(254, 4, subfile), (256, 3, 64), (257, 3, 48), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 0), (277, 3, samples),
                  (278, 3, 48), (279, 4, len(data))]  # fmt: skip
        start = len(out)
        behind = start + 2 + 12 * len(values) + 4
        bits_at = behind
        behind += 2 * samples if samples > 2 else 0
        entries = b""
        for tag, kind, value in values:
            count = samples if tag == 258 else 1
            value = behind if tag == 273 else value
            if tag == 258 and samples == 2:
                packed = struct.pack(order + "HH", bits, bits)
            elif tag == 258 and samples > 2:
                packed = struct.pack(order + "I", bits_at)
            else:
                packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
            entries += struct.pack(order + "HHI", tag, kind, count) + packed
        extra = struct.pack(order + "H", bits) * samples if samples > 2 else b""
        following = behind + len(data) + len(data) % 2 if k + 1 < len(pages) else 0
        out += (
            struct.pack(order + "H", len(values)) + entries + struct.pack(order + "I", following) + extra + data + b"\0" * (len(data) % 2)
        )
    path.write_bytes(out)
    return path


def packed(counts: NDArray[np.uint16], bits: int) -> bytes:
    spread = (counts[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16)) & 1
    return np.packbits(spread.reshape(len(counts), -1).astype(np.uint8), axis=1).tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_of_either_byte_order(tmp_path: Path, order: str) -> None:
    path = tiff(tmp_path / "a.tif", [(COUNTS.astype(order + "u2").tobytes(), 16, 1, 0)], order)
    np.testing.assert_array_equal(images.read(path), COUNTS)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_are_not_scaled(tmp_path: Path, bits: int) -> None:
    counts = COUNTS >> np.uint16(14 - bits)
    path = tiff(tmp_path / "a.tif", [(packed(counts, bits), bits, 1, 0)], ">")
    np.testing.assert_array_equal(images.read(path), counts)


def test_two_bands_and_several_pages_are_refused(tmp_path: Path) -> None:
    both = np.stack([COUNTS, np.full_like(COUNTS, 65535)], axis=2)
    with pytest.raises(ValueError, match="holds two bands"):
        images.read(tiff(tmp_path / "a.tif", [(both.astype("<u2").tobytes(), 16, 2, 0)]))
    page = (COUNTS.astype("<u2").tobytes(), 16, 1, 0)
    with pytest.raises(ValueError, match="holds 3 pages"):
        images.read(tiff(tmp_path / "a.tif", [page] * 3))
    # a thumbnail is no page
    np.testing.assert_array_equal(images.read(tiff(tmp_path / "a.tif", [page, (*page[:3], 1)])), COUNTS)


@pytest.mark.parametrize("extension", [".png", ".tif", ".pgm"])
def test_swapped_bytes_are_refused(tmp_path: Path, extension: str) -> None:
    rng = np.random.default_rng(0)
    small = rng.normal(0, 1, (12, 16)).astype(np.float32)
    counts = (14000 + 200 * cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC) + rng.normal(0, 3, (240, 320))).astype(np.uint16)
    path = tmp_path / f"a{extension}"
    cv2.imwrite(str(path), counts)
    np.testing.assert_array_equal(images.read(path), counts)
    cv2.imwrite(str(path), counts.byteswap())
    with pytest.raises(ValueError, match="bytes are swapped"):
        images.read(path)
    # noise, a ramp and a flat frame are as they are
    for other in (rng.integers(0, 65536, (48, 64)), np.arange(0, 48 * 64 * 20, 20).reshape(48, 64), np.full((48, 64), 300)):
        cv2.imwrite(str(path), other.astype(np.uint16))
        np.testing.assert_array_equal(images.read(path), other)
