"""Planes of integers into few bytes and back: an adaptive range coder, all in integers, so that every machine reads the same.

A plane's bands (subbands.py) are gone through sample by sample, the planes one after another. A magnitude is one of 16 symbols: 0 to 9, or
an exponent of 2, whose bits follow; a sign is a bit. How likely each symbol is, three tables tell; their mean (a quarter, a quarter, a
half) counts. They are addressed by the magnitude that is expected (of the neighbours in the band, the same place in the two planes
before, in the coarser band and in the level's other band) and the sort of band; by that and the band's running mean; and by the neighbours
here and in the planes before. After each symbol each table moves towards it. Two tables are 0.05 dB worse, four hardly better.

With a quantiser (`lam`), the encoder rounds a magnitude to that of 0, 1 and 2 which costs least, distortion and lambda times the bits that
the tables would take for it just now. `exact` planes are sent as they are.

The compiled coder (entropy_coder.c) and the one in Python (entropy_coder_python.py) write the same bytes. What version 1 wrote is
read by entropy_coder_v1.c and entropy_coder_v1_python.py.
"""

from __future__ import annotations

import ctypes

import numpy as np

from edgefuse.hyperspectral.codec import entropy_coder_python, entropy_coder_v1_python
from edgefuse.hyperspectral.codec.entropy_tables import BIAS, LAMBDA, ONE, Tables, tables
from edgefuse.hyperspectral.codec.subbands import Band, bands
from edgefuse.hyperspectral.efz import VERSION
from edgefuse.util import compiled
from edgefuse.util.arrays import Int32Array


class _Tables(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in Tables._fields]


class _Band(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in Band._fields]


class _Job(ctypes.Structure):
    """`Job` of entropy_coder.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tables", "bands", "into", "out", "bytes")),
        *((name, ctypes.c_int64) for name in ("size", "room")),
        *((name, ctypes.c_int32) for name in ("height", "width", "planes", "band_count", "scale", "lam", "bias", "exact")),
    ]


def encode(planes: Int32Array, levels: int, scale: float = 1) -> bytes:
    """Quantise and encode `planes`, (height, width, count), transformed by `levels`; `scale` times a sample is in 256ths of a step."""
    return _encode(planes, levels, round(scale * 65536), exact=False)


def encode_exact(planes: Int32Array) -> bytes:
    """Encode `planes`, (height, width, count), |sample| < 2^28, as they are."""
    return _encode(planes, 0, 65536, exact=True)


def decode(data: bytes, shape: tuple[int, int, int], levels: int, version: int = VERSION) -> Int32Array:
    """What `encode` wrote: (height, width, count), in 256ths of a step, to be transformed back. Any bytes give some planes."""
    return _decode(data, shape, levels, version, exact=False)


def decode_exact(data: bytes, shape: tuple[int, int, int], version: int = VERSION) -> Int32Array:
    """What `encode_exact` wrote. Any bytes give some planes."""
    return _decode(data, shape, 0, version, exact=True)


def _encode(planes: Int32Array, levels: int, scale: int, exact: bool) -> bytes:
    planes = np.ascontiguousarray(planes, np.int32)
    lam = round(LAMBDA * ONE * ONE * 256 / 64)
    if not compiled.library():
        return entropy_coder_python.encode(planes, levels, scale, lam, exact)
    # no sample takes more than 60 bits, were the tables ever so wrong
    room = np.empty(planes.size * 8 + 1024, np.uint8)
    job, keep = _job(planes.shape, levels, exact)
    job.into, job.bytes, job.size, job.scale, job.lam = planes.ctypes.data, room.ctypes.data, room.size, scale, lam
    done = _run("edgefuse_planes_encode", job)
    del keep
    return room[:done].tobytes()


def _decode(data: bytes, shape: tuple[int, int, int], levels: int, version: int, exact: bool) -> Int32Array:
    if not compiled.library():
        return (entropy_coder_v1_python if version == 1 else entropy_coder_python).decode(data, shape, levels, exact)
    out, source = np.zeros(shape, np.int32), np.frombuffer(data, np.uint8)
    job, keep = _job(shape, levels, exact)
    job.out, job.bytes, job.size = out.ctypes.data, source.ctypes.data, len(data)
    _run("edgefuse_planes1_decode" if version == 1 else "edgefuse_planes_decode", job)
    del keep
    return out


def _job(shape: tuple[int, ...], levels: int, exact: bool) -> tuple[_Job, object]:
    height, width, count = shape
    found, room = bands(height, width, levels)
    plan, numbers = (_Band * len(found))(*(_Band(*b) for b in found)), _Tables(*(t.ctypes.data for t in tables()))
    job = _Job(room=room, height=height, width=width, planes=count, band_count=len(found), bias=0 if exact else BIAS, exact=exact)
    job.tables, job.bands = ctypes.addressof(numbers), ctypes.addressof(plan)
    return job, (plan, numbers)


def _run(name: str, job: _Job) -> int:
    function = getattr(compiled.library(), name)
    function.restype = ctypes.c_int64
    done = int(function(ctypes.byref(job)))
    if done < 0:
        raise MemoryError
    return done
