"""Files that can't be used, of every format: truncated, mutated, hostile, and such that take for ever. Made-up data."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgefuse.hyperspectral.formats import FORMATS, create_cube
from tests.hyperspectral.cubes import described, samples

SHAPE = (12, 10, 6)
_CUTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9)


def good(path: Path, seed: int = 0) -> Path:
    with create_cube(path, described(SHAPE)) as sink:
        sink[:] = samples(SHAPE, seed=seed)
    return path


def truncated(folder: Path) -> Iterator[Path]:
    """Begin of a whole file, of each format."""
    for form, suffixes in FORMATS.items():
        suffix = ".img" if form == "envi" else suffixes[0]
        whole = good(folder / f"whole{suffix}")
        data = whole.read_bytes()
        for k, share in enumerate(_CUTS):
            path = folder / f"truncated{k}{suffix}"
            path.write_bytes(data[: int(share * len(data))])
            if form == "envi":
                path.with_name(path.name + ".hdr").write_bytes((folder / "whole.img.hdr").read_bytes())
            yield path
        whole.unlink()
        for beside in (whole.with_name(whole.name + ".hdr"), whole.with_name(whole.name + ".json")):
            beside.unlink(missing_ok=True)


def garbled(folder: Path, count: int) -> Iterator[Path]:
    """Files whose first kilobyte is noise behind the format's signature: each fails in its parser."""
    signatures = {
        ".npy": b"\x93NUMPY\x01\x00", ".npz": b"PK\x03\x04", ".tif": b"II*\0", ".h5": b"\x89HDF\r\n\x1a\n",
        ".mat": b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM",
    }  # fmt: skip
    rng = np.random.default_rng(1)
    for n in range(count):
        suffix = list(signatures)[n % len(signatures)]
        path = folder / f"garbled{n}{suffix}"
        path.write_bytes(signatures[suffix] + rng.integers(0, 256, 200 + 7 * n, np.uint8).tobytes())
        yield path


def wrong_headers(folder: Path) -> Iterator[Path]:
    """ENVI headers that promise what the samples can't hold, or nothing that can be read."""
    text = "ENVI\nsamples = 10\nlines = 12\nbands = 6\ndata type = 12\ninterleave = bsq\n"
    for n, (old, new) in enumerate(
        [("= 10", "= 4000000000"), ("= 12\nb", "= -1\nb"), ("ENVI", "NOPE"), ("= bsq", "= xyz"), ("type = 12", "type = 77"), ("= 6", "= 0"),
         ("= 6", "= 6\nfile compression = 1"), ("= 6", "= 6\nheader offset = 9" + "9" * 17), ("= 6", "= 6\ndescription = {open")]
    ):  # fmt: skip
        path = folder / f"header{n}.img"
        path.write_bytes(samples(SHAPE).tobytes())
        path.with_suffix(".hdr").write_text(text.replace(old, new))
        yield path


def bomb(path: Path, megabytes: int) -> Path:
    """A small TIFF with one strip that unpacks to many bytes."""
    width, height, bands = 1000, 1000, megabytes // 2
    packer, data, zeros = zlib.compressobj(1), [], bytes(1_000_000)
    for _ in range(2 * bands):
        data.append(packer.compress(zeros))
    strip = b"".join([*data, packer.flush()])
    directory = 8 + len(strip) + len(strip) % 2
    after = directory + 2 + 12 * 11 + 4
    arrays = [struct.pack(f"<{bands}H", *[value] * bands) for value in (16, 1, 0)]
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, bands, after), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, bands),
        (278, 4, 1, height), (279, 4, 1, len(strip)), (338, 3, bands - 1, after + 4 * bands), (339, 3, bands, after + 2 * bands),
    ]  # fmt: skip
    head = struct.pack("<2sHI", b"II", 42, directory)
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + b"\0\0\0\0"
    path.write_bytes(head + strip + b"\0" * (len(strip) % 2) + table + b"".join(arrays))
    return path


def endless(path: Path) -> Path:
    """A sparse ENVI file of a terabyte: whole, and nothing but zeros, so that its compression takes days."""
    with open(path, "wb") as f:
        f.truncate(10**12)
    text = "ENVI\nsamples = 100000\nlines = 100000\nbands = 50\ndata type = 12\ninterleave = bsq\n"
    path.with_name(path.name + ".hdr").write_text(text)
    return path


def hanging(path: Path) -> Path:
    """An HDF5 file whose attribute lies in a heap with free space of no size, which HDF5 steps over for ever. Needs h5py."""
    import h5py

    with h5py.File(path, "w", libver="earliest") as file:
        cube = file.create_dataset("cube", data=samples(SHAPE), chunks=SHAPE)
        cube.attrs.create("info", '{"a": 1}', dtype=h5py.string_dtype())
    data = bytearray(path.read_bytes())
    # behind the heap's header (16 bytes) and the text's (16 and 8): number, count of references, reserved, size
    struct.pack_into("<HHIQ", data, data.index(b"GCOL") + 40, 0, 0, 0, 0)
    path.write_bytes(data)
    return path
