"""Cube files and pictures with one or several fields set to extremes: what benchmarks/fuzz makes in their millions."""

from __future__ import annotations

import functools
import io
import random
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from edgefuse.errors import EdgeFuseError
from edgefuse.hyperspectral import formats
from edgefuse.util import images
from tests.hyperspectral.mutate import mutations

_SUFFIXES = {"npy": ".npy", "npz": ".npz", "mat": ".mat", "tiff": ".tif", "hdf5": ".h5"}
_MOST_BYTES = 1 << 24  # of a cube that is read; a larger one costs time, and shows nothing new
_EXTREMES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFB, 0xFFFFFFFF)
_SHAPES = ((3, 4, 5), (0, 4, 5), (3, 4), (1,), (-3, 4, 5), (1 << 31, 1, 1), (1 << 40, 1 << 40, 1), (3, 4, 5, 6), (60, 1, 1), (1, 1, 60))


@functools.cache
def sound(form: str) -> bytes:
    """The bytes of a small sound file, from which the others are made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{_SUFFIXES[form]}"
        info = formats.CubeInfo((3, 4, 5), np.dtype("u2"), tuple(range(400, 405)), metadata={"a": "b"})
        with formats.create_cube(path, info) as sink:
            sink[:] = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
        return path.read_bytes()


def _poked(data: bytes, rng: random.Random, most: int) -> bytes:
    """`data` with some of its first `most` bytes replaced by extremes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        size = rng.choice((1, 2, 4, 8))
        at = rng.randrange(max(1, min(len(changed), most) - size))
        value = rng.choice((*_EXTREMES, rng.getrandbits(32))) & (1 << 8 * size) - 1
        changed[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
    if rng.random() < 0.1:
        del changed[rng.randrange(len(changed)) :]
    return bytes(changed)


def _npy(rng: random.Random) -> bytes:
    kinds = ("<u2", ">f4", "|u1", "<c16", "<f2", "|O", "<U99999999", "|V8", "|S0", "<M8[s]", "bad", 5, [("a", "<u2")])
    head = {"descr": rng.choice(kinds), "fortran_order": rng.choice((True, False, False, 1, None)), "shape": rng.choice(_SHAPES)}
    text = repr(head).encode().ljust(rng.choice((64, 118, 500))) + b"\n"
    if rng.random() < 0.3:
        text = next(mutations(text, 1, rng.getrandbits(32)))
    version = rng.choice((1, 1, 1, 2, 3, 9))
    size = struct.pack("<H" if version == 1 else "<I", len(text) & 0xFFFF if rng.random() < 0.9 else rng.choice(_EXTREMES) & 0xFFFF)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + bytes(rng.choice((0, 60, 120, 240)))


def _npz(rng: random.Random) -> bytes:
    stream = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name in rng.choice((("cube",), ("cube", "info"), ("a", "b"), ("info",), ())):
            archive.writestr(f"{name}.npy", _npy(rng) if rng.random() < 0.6 else sound("npy"))
    data = stream.getvalue()
    return _poked(data, rng, len(data)) if rng.random() < 0.5 else data


def _mat(rng: random.Random) -> bytes:
    """A MATLAB 5 file built from elements, any of whose numbers may be an extreme."""

    def number(value: int, chance: float = 0.06) -> int:
        return rng.choice(_EXTREMES) if rng.random() < chance else value

    shape = rng.choice(((3, 4, 5), (3, 4, 5), (1, 60), (0, 1, 1), (60, 1, 1)))
    sizes = struct.pack(f"<{len(shape)}I", *(number(n) for n in shape))
    code, kind = rng.choice(((11, 4), (6, 9), (7, 7), (8, 1), (6, 2), (4, 4), (2, 9), (17, 9)))
    samples = bytes(60 * {1: 1, 2: 1, 4: 2, 7: 4, 9: 8}[kind])
    name = rng.choice((b"cube", b"info", b"x" * 40, b""))
    parts = [(6, struct.pack("<II", number(code) | number(0, 0.03) << 8 & 0xFFFFFFFF, 0)), (5, sizes), (1, name), (kind, samples)]
    if rng.random() < 0.1:
        rng.shuffle(parts)
    body = b""
    for part, data in parts[: 4 if rng.random() < 0.9 else rng.randrange(4)]:
        if 0 < len(data) <= 4:
            body += struct.pack("<HH", number(part) & 0xFFFF, number(len(data)) & 0xFFFF) + data.ljust(4, b"\0")
        else:
            body += struct.pack("<II", number(part), number(len(data))) + data + bytes(-len(data) % 8)
    element = struct.pack("<II", number(14), number(len(body))) + body
    if rng.random() < 0.4:
        packed = zlib.compress(element)
        element = struct.pack("<II", 15, number(len(packed))) + packed
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + rng.choice((b"IM", b"IM", b"IM", b"MI", b"XX"))
    data = head + element * rng.choice((1, 1, 2))
    return _poked(data, rng, len(data)) if rng.random() < 0.1 else data


def cube_file(form: str, rng: random.Random) -> bytes:
    """A file of a format that begins like one and goes on as nobody should write it."""
    if form in ("npy", "npz", "mat") and rng.random() < 0.9:
        return {"npy": _npy, "npz": _npz, "mat": _mat}[form](rng)
    data = sound(form)
    return _poked(data, rng, len(data))


def check_cube(form: str, rng: random.Random, folder: Path) -> int:
    """Open a file and read it. Returns the samples that its memory may depend on. Raises EdgeFuseError."""
    path = folder / f"a{_SUFFIXES[form]}"
    path.write_bytes(cube_file(form, rng))
    with formats.open_cube(path) as cube:
        assert min(cube.shape) > 0
        if cube.nbytes <= _MOST_BYTES:
            samples = cube[:]
            assert samples.shape == cube.shape
            assert samples.dtype == cube.dtype
            return samples.size
        return 0


def check_picture(rng: random.Random, folder: Path) -> None:
    """Read a picture. Raises EdgeFuseError for one that is refused."""
    suffix, data = rng.choice(_pictures())
    path = folder / f"a{suffix}"
    poked = _poked(data, rng, 64 if rng.random() < 0.7 else len(data))
    if suffix == ".png":
        # with checksums that are right, so that its decoder is reached
        poked = _with_checksums(poked)
    path.write_bytes(poked)
    try:
        image = images.read(path)
    except ValueError as e:
        raise EdgeFuseError(str(e)) from None
    assert image.shape[0] * image.shape[1] <= images.MAX_PIXELS


@functools.cache
def _pictures() -> list[tuple[str, bytes]]:
    import cv2

    image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    return [(s, cv2.imencode(s, image)[1].tobytes()) for s in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm")]


def _with_checksums(data: bytes) -> bytes:
    changed, at = bytearray(data), 8
    while at + 12 <= len(changed):
        end = at + 12 + int.from_bytes(changed[at : at + 4], "big")
        if end > len(changed):
            break
        changed[end - 4 : end] = struct.pack(">I", zlib.crc32(changed[at + 4 : end - 4]))
        at = end
    return bytes(changed)
