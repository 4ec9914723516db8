"""Image files: a complete picture or ValueError, without messages of C libraries."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import edgefuse
from edgefuse.util import images

ROOT = Path(edgefuse.__file__).parents[1]
RNG = np.random.default_rng(20240501)
GREY = RNG.integers(0, 256, (13, 17), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (13, 17, 3), dtype=np.uint8)
GREY_16 = RNG.integers(0, 65536, (13, 17), dtype=np.uint16)
COLOUR_16 = RNG.integers(0, 65536, (13, 17, 3), dtype=np.uint16)
ALPHA = np.dstack([COLOUR, RNG.integers(0, 256, (13, 17), dtype=np.uint8)])
ALPHA_16 = np.dstack([COLOUR_16, RNG.integers(0, 65536, (13, 17), dtype=np.uint16)])

Picture = NDArray[Any]
fast = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoded(extension: str, image: Picture, *options: int) -> bytes:
    done, data = cv2.imencode(extension, image, options)
    assert done
    return data.tobytes()


def read(folder: Path, data: bytes) -> Picture:
    path = folder / "picture"
    path.write_bytes(data)
    return images.read(path)


def png(width: int, height: int, depth: int, kind: int, rows: bytes, palette: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, kind, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + (chunk(b"PLTE", palette) if palette else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def turned(jpeg: bytes, orientation: int) -> bytes:
    """Return `jpeg` with an EXIF orientation."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


FILES = {
    "png": encoded(".png", COLOUR),
    "png grey": encoded(".png", GREY),
    "png 16 bit": encoded(".png", GREY_16),
    "jpeg": encoded(".jpg", COLOUR),
    "jpeg progressive": encoded(".jpg", COLOUR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "jpeg restarts": encoded(".jpg", GREY, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "jpeg turned": turned(encoded(".jpg", COLOUR), 6),
    "bmp": encoded(".bmp", COLOUR),
    "bmp grey": encoded(".bmp", GREY),
    "webp": encoded(".webp", COLOUR, cv2.IMWRITE_WEBP_QUALITY, 80),
    "webp lossless": encoded(".webp", COLOUR, cv2.IMWRITE_WEBP_QUALITY, 101),
    "tiff": encoded(".tif", COLOUR, cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "tiff lzw": encoded(".tif", GREY, cv2.IMWRITE_TIFF_COMPRESSION, 5),
    "tiff 16 bit": encoded(".tif", GREY_16),
    "pgm": encoded(".pgm", GREY),
    "pgm 16 bit": encoded(".pgm", GREY_16),
    "ppm": encoded(".ppm", COLOUR),
}


@pytest.mark.parametrize(
    ("extension", "image"),
    [(e, i) for e in (".png", ".tif") for i in (GREY, COLOUR, GREY_16, COLOUR_16)]
    + [(".bmp", GREY), (".bmp", COLOUR), (".pgm", GREY), (".pgm", GREY_16), (".ppm", COLOUR), (".ppm", COLOUR_16)],
)
def test_lossless_pictures_come_as_they_were(tmp_path: Path, extension: str, image: Picture) -> None:
    decoded = read(tmp_path, encoded(extension, image))
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize(("extension", "image"), [(".png", ALPHA), (".png", ALPHA_16), (".tif", ALPHA), (".bmp", ALPHA)])
def test_alpha_is_dropped_and_colour_kept(tmp_path: Path, extension: str, image: Picture) -> None:
    decoded = read(tmp_path, encoded(extension, image))
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image[..., :3])


def test_grey_with_alpha(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + np.dstack([row, 255 - row]).tobytes() for row in GREY)
    decoded = read(tmp_path, png(17, 13, 8, 4, rows))
    np.testing.assert_array_equal(decoded if decoded.ndim == 2 else decoded[..., 0], GREY)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    palette = bytes([10, 20, 30, 200, 150, 100])
    decoded = read(tmp_path, png(2, 1, 8, 3, b"\0\0\1", palette))
    np.testing.assert_array_equal(decoded, [[[30, 20, 10], [100, 150, 200]]])


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, png(4, 1, 1, 0, b"\0\xa0")), [[255, 0, 255, 0]])


def test_lossy_pictures_are_close(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    for extension in (".jpg", ".webp"):
        decoded = read(tmp_path, encoded(extension, np.dstack([ramp] * 3)))
        assert decoded.shape == (48, 64, 3)
        assert np.abs(decoded.astype(int) - ramp[..., None]).max() <= 4


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_orientation_is_applied(tmp_path: Path, orientation: int, turn: int) -> None:
    jpeg = encoded(".jpg", COLOUR)
    np.testing.assert_array_equal(read(tmp_path, turned(jpeg, orientation)), np.rot90(read(tmp_path, jpeg), turn))


@pytest.mark.parametrize("name", FILES)
@fast
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_never_a_wrong_picture(tmp_path: Path, name: str, share: float) -> None:
    whole = FILES[name]
    try:
        decoded = read(tmp_path, whole[: int(share * len(whole))])
    except ValueError:
        return
    # the last bytes of a TIFF are the end of its directory, which no reader needs
    assert name.startswith("tiff")
    np.testing.assert_array_equal(decoded, read(tmp_path, whole))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("missing", [1, 2, 9])
def test_the_last_bytes_are_missed(tmp_path: Path, name: str, missing: int) -> None:
    try:
        decoded = read(tmp_path, FILES[name][:-missing])
    except ValueError:
        return
    assert name.startswith("tiff")
    np.testing.assert_array_equal(decoded, read(tmp_path, FILES[name]))


@pytest.mark.parametrize("name", ["png", "jpeg", "jpeg progressive", "jpeg turned", "bmp", "webp", "webp lossless"])
@pytest.mark.parametrize("missing", [1, 5, 200])
def test_what_the_container_tells_is_called_truncated(tmp_path: Path, name: str, missing: int) -> None:
    with pytest.raises(ValueError, match=r"^is truncated$"):
        read(tmp_path, FILES[name][:-missing])


@fast
@given(name=st.sampled_from(["png", "png grey", "png 16 bit"]), where=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_flipped_byte_in_a_png_is_an_error(tmp_path: Path, name: str, where: int, flip: int) -> None:
    data = bytearray(FILES[name])
    data[where % len(data)] ^= flip
    with pytest.raises(ValueError, match=r"^(is (truncated|damaged|not a readable image)|holds )"):
        read(tmp_path, bytes(data))


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    data = bytearray(FILES["png"])
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(ValueError, match=r"^is damaged \(checksum of its IDAT chunk\)$"):
        read(tmp_path, bytes(data))


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    for name in ("png", "jpeg", "bmp", "webp lossless", "ppm"):
        np.testing.assert_array_equal(read(tmp_path, FILES[name] + bytes(20)), read(tmp_path, FILES[name]))


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_with_a_hole_is_never_half_a_picture(tmp_path: Path, progressive: int) -> None:
    noise = RNG.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    data = encoded(".jpg", noise, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    with pytest.raises(ValueError, match="is damaged"):
        read(tmp_path, data[: len(data) // 2] + data[-2:])


def test_a_jpeg_that_ends_in_its_thumbnail_is_truncated(tmp_path: Path) -> None:
    thumbnail, main = encoded(".jpg", GREY[:8, :8]), FILES["jpeg"]
    data = main[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + main[2:]
    assert read(tmp_path, data).shape == COLOUR.shape
    for end in (len(thumbnail) + 6, len(thumbnail) + 60, len(data) - 100):
        with pytest.raises(ValueError, match=r"^is (truncated|not a readable image)$"):
            read(tmp_path, data[:end])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_pixels_are_refused(tmp_path: Path, dtype: type) -> None:
    with pytest.raises(ValueError, match=rf"^holds {np.dtype(dtype)} pixels; only 8-bit and 16-bit whole numbers can be fused$"):
        read(tmp_path, encoded(".tif", GREY.astype(dtype)))


@fast
@given(
    st.binary(max_size=300)
    | st.binary(max_size=60).map(lambda b: b"\x89PNG\r\n\x1a\n" + b)
    | st.binary(max_size=60).map(lambda b: b"\xff\xd8" + b)
)
def test_garbage_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is (empty|truncated|damaged|not a readable image)"):
        read(tmp_path, data)


def test_a_file_that_is_not_there_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot be opened \(No such file or directory\)$"):
        images.read(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"^cannot be opened \(Is a directory\)$"):
        images.read(tmp_path)


def chatter(folder: Path, damage: str) -> str:
    """Return what reading damaged files writes to standard error, with the command line's log levels."""
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    code = f"""
import sys
from pathlib import Path
from edgefuse.cli.main import main
try:
    main(["--version"])
except SystemExit:
    pass
from edgefuse.util import images
damaged = Path(sys.argv[1], "damaged")
for path in sorted(Path(sys.argv[1]).iterdir()):
    whole = path.read_bytes()
    for k in range(0, len(whole), 23):
        data = bytearray(whole)
        {damage}
        damaged.write_bytes(data)
        try:
            images.read(damaged)
        except ValueError:
            pass
print("done")
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENCV")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", timeout=100
    )
    assert done.returncode == 0
    assert done.stdout.endswith("done\n")
    return done.stderr


def test_truncated_files_are_read_in_silence(tmp_path: Path) -> None:
    assert chatter(tmp_path, "del data[k:]") == ""


def test_damaged_files_are_read_in_silence(tmp_path: Path) -> None:
    assert chatter(tmp_path, "data[k] ^= 0x81") == ""


@pytest.mark.parametrize("image", [GREY, COLOUR, GREY_16, COLOUR_16])
def test_png_encodes_without_loss(tmp_path: Path, image: Picture) -> None:
    decoded = read(tmp_path, bytes(images.encode(image, ".png")))
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)


def test_jpeg_quality_counts(tmp_path: Path) -> None:
    low, high = (bytes(images.encode(COLOUR, ".jpg", quality)) for quality in (10, 95))
    assert low.startswith(b"\xff\xd8")
    assert len(low) < len(high)
    error_low, error_high = (np.abs(read(tmp_path, d).astype(int) - COLOUR).mean() for d in (low, high))
    assert error_high < error_low


def test_what_has_no_pixels_is_no_png() -> None:
    with pytest.raises((ValueError, cv2.error)):
        images.encode(np.zeros((0, 5), np.uint8), ".png")
