"""Cube files and pictures of a few kilobytes that claim or unpack to gigabytes, and what opens them in tests/support/memory.py."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# what the readers load when they are first used is no file's doing
import h5py  # isort: skip
import rasterio  # noqa: F401  # isort: skip

from edgefuse.hyperspectral import formats
from edgefuse.hyperspectral.formats import geotiff, hdf5, matlab, numpy  # noqa: F401
from edgefuse.util import images


def _zeros(size: int) -> Iterator[bytes]:
    for at in range(0, size, 1 << 24):
        yield bytes(min(1 << 24, size - at))


def deflated(start: bytes, zeros: int) -> bytes:
    """`start` and so many bytes of zero, deflated."""
    packer = zlib.compressobj(9)
    return b"".join([packer.compress(start), *map(packer.compress, _zeros(zeros)), packer.flush()])


def tiff(path: Path, side: int = 5000, bands: int = 30) -> None:
    """One strip of all rows and bands."""
    data = deflated(b"", 1 << 20)
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, bands)]
    tags += [(278, 4, 1, side), (279, 4, 1, len(data)), (284, 3, 1, 1)]
    at = 8 + len(data) + len(data) % 2
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path.write_bytes((struct.pack("<2sHI", b"II", 42, at) + data).ljust(at, b"\0") + struct.pack("<H", len(tags)) + entries + bytes(4))


def matrix(shape: tuple[int, ...], kind: int, claim: int, mx_class: int = 6) -> bytes:
    """The beginning of a MATLAB matrix called `cube` whose samples claim `claim` bytes of type `kind`."""
    body = struct.pack("<IIII", 6, 8, mx_class, 0) + struct.pack("<II", 5, 4 * len(shape)) + struct.pack(f"<{len(shape)}i", *shape)
    body += bytes(-len(body) % 8) + struct.pack("<HH4s", 1, 4, b"cube") + struct.pack("<II", kind, claim)
    return struct.pack("<II", 14, len(body) + claim) + body


def mat(path: Path, element: bytes) -> None:
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + element)


def mat_deflated(path: Path, shape: tuple[int, int, int], claim: int, zeros: int) -> None:
    data = deflated(matrix(shape, 9, claim), zeros)
    mat(path, struct.pack("<II", 15, len(data)) + data)


def png(path: Path, side: int = 30000) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", deflated(b"", side * (side + 1))) + chunk(b"IEND", b""))


def hdf5_chunk(path: Path, unpacked: int, fletcher: bool = False) -> None:
    """A chunk of 8 KB whose stream unpacks to `unpacked` bytes."""
    with h5py.File(path, "w") as f:
        cube = f.create_dataset("cube", (16, 16, 16), "u2", chunks=(16, 16, 16), compression="gzip", fletcher32=fletcher)
        cube[:] = 1
    with h5py.File(path, "r+") as f:
        f["cube"].id.write_direct_chunk((0, 0, 0), deflated(b"", unpacked) + (bytes(4) if fletcher else b""))


def hdf5_large_chunk(path: Path) -> None:
    with h5py.File(path, "w") as f:
        cube = f.create_dataset("cube", (2048, 2048, 256), "u2", chunks=(2048, 2048, 256), compression="gzip")
        cube.id.write_direct_chunk((0, 0, 0), deflated(b"", 1 << 20))


def npz_text(path: Path) -> None:
    """Metadata whose header claims a text of 4 GB."""
    text = io.BytesIO()
    np.lib.format.write_array_header_1_0(text, {"descr": "<U1000000000", "fortran_order": False, "shape": ()})
    cube = io.BytesIO()
    np.save(cube, np.zeros((2, 3, 4), np.uint8))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cube.npy", cube.getvalue())
        archive.writestr("info.npy", text.getvalue() + b"x" * 64)


def npz_head(path: Path) -> None:
    """An array whose .npy header claims 256 MB of text, which is there: NumPy reads it before it looks at it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("cube.npy", "w") as member:
        member.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 28))
        for piece in _zeros(1 << 28):
            member.write(piece)


def sidecar(path: Path) -> None:
    np.save(path, np.zeros((2, 3, 4), np.uint8))
    path.with_name(path.name + ".json").write_text('{"x":[' + ",".join(["{}"] * 5_000_000) + "]}")


def envi(path: Path, header: bytes = b"ENVI\n" + b"\n" * (1 << 24)) -> None:
    path.write_bytes(bytes(24))
    path.with_name(path.name + ".hdr").write_bytes(header)


_ENVI = b"ENVI\nsamples = 3\nlines = 4\nbands = 1\ndata type = 12\ninterleave = bsq\n"


BOMBS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "TIFF strip": ("a.tif", tiff),
    "MATLAB, more than its dimensions": ("a.mat", lambda path: mat_deflated(path, (2, 2, 2), 1_600_000_000, 1 << 28)),
    "MATLAB, dimensions without samples": ("a.mat", lambda path: mat_deflated(path, (1024, 1024, 190), 1024 * 1024 * 190 * 8, 1 << 20)),
    "MATLAB, a type that there is not": ("a.mat", lambda path: mat(path, matrix((2, 2, 2), 260, 64) + bytes(64))),
    "MATLAB, negative dimensions": ("a.mat", lambda path: mat(path, matrix((-2, -2, 2), 9, 64) + bytes(64))),
    "MATLAB, a name of gigabytes": ("a.mat", lambda path: mat(path, struct.pack("<II", 14, 64) + b"\x05\0\0\0\xff\xff\xff\x7f" * 8)),
    "PNG": ("a.png", png),
    "HDF5 chunk": ("a.h5", lambda path: hdf5_chunk(path, 1 << 30)),
    "HDF5 chunk with a checksum": ("a.h5", lambda path: hdf5_chunk(path, 1 << 30, True)),
    "HDF5 chunk of the whole cube": ("a.h5", hdf5_large_chunk),
    "NPZ text": ("a.npz", npz_text),
    "NPZ header": ("a.npz", npz_head),
    "NPY metadata": ("a.npy", sidecar),
    "ENVI header": ("a.img", envi),
    "ENVI header of lines": ("a.img", lambda path: envi(path, _ENVI + b"some\n" * 800_000)),
    "ENVI header of fields": ("a.img", lambda path: envi(path, _ENVI + b"".join(b"%d = 1\n" % k for k in range(300_000)))),
    "ENVI header of values": ("a.img", lambda path: envi(path, _ENVI + b"wavelength = {" + b"1," * 2_000_000 + b"}\n")),
}


def read(path: str) -> str:
    """Read a cube's first pixels, or a picture."""
    if path.endswith(".png"):
        try:
            return str(images.read(Path(path)).shape)
        except ValueError as e:
            return f"refused: {e}"
    with formats.open_cube(Path(path)) as cube:
        part: Any = cube[:1, :1]
        return f"read {part.shape}"
