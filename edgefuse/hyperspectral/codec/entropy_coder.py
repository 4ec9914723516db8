"""Entropy coder for planes of integers: an adaptive range coder in integer arithmetic, so that every machine decodes the same.

Planes are coded one after another, each subband by subband (subbands.py), each subband sample by sample. A magnitude is one of 16 symbols:
0 to 9, or an exponent of 2, whose mantissa bits follow; a sign is a raw bit. The symbol's probability is a weighted mean (1/4, 1/4, 1/2) of
three adaptive context models. Their contexts are:

- the expected magnitude and the type of subband. The expected magnitude is a weighted sum over neighbours in the subband, the same place in
  the two previous planes, the coarser subband and the sibling subband of the level;
- the expected magnitude and the subband's running mean;
- the neighbours in the subband and those in the two previous planes.

After each symbol each model is updated towards it. Two models are 0.05 dB worse, four hardly better.

With a quantiser (`lam`), the encoder rounds a magnitude to the one of 0, 1 and 2 with the lowest rate-distortion cost: distortion plus
lambda times the bits that the models currently predict. `exact` planes are coded losslessly.

The compiled coder (entropy_coder.c) and the Python one (entropy_coder_python.py) write the same bytes. Version 1 of the format is decoded
by entropy_coder_v1.c and entropy_coder_v1_python.py.
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
    """`Tables` of entropy_coder.h, field by field."""

    _fields_ = [(name, ctypes.c_void_p) for name in Tables._fields]


class _Band(ctypes.Structure):
    """`Band` of entropy_coder.h, field by field."""

    _fields_ = [(name, ctypes.c_int32) for name in Band._fields]


class _Job(ctypes.Structure):
    """`Job` of entropy_coder.h, field by field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tables", "bands", "into", "out", "bytes")),
        *((name, ctypes.c_int64) for name in ("size", "room")),
        *((name, ctypes.c_int32) for name in ("height", "width", "planes", "band_count", "scale", "lam", "bias", "exact")),
    ]


def encode(planes: Int32Array, levels: int, scale: float = 1) -> bytes:
    """Quantise and encode wavelet coefficients `planes` (height, width, count); `scale` converts samples to 256ths of a step."""
    return _encode(planes, levels, round(scale * 65536), exact=False)


def encode_exact(planes: Int32Array) -> bytes:
    """Encode `planes` (height, width, count), |sample| < 2^28, losslessly."""
    return _encode(planes, 0, 65536, exact=True)


def decode(data: bytes, shape: tuple[int, int, int], levels: int, version: int = VERSION) -> Int32Array:
    """Decode to wavelet coefficients (height, width, count) in 256ths of a step. Damaged data gives wrong planes, no error."""
    return _decode(data, shape, levels, version, exact=False)


def decode_exact(data: bytes, shape: tuple[int, int, int], version: int = VERSION) -> Int32Array:
    """Decode `encode_exact`'s output. Damaged data gives wrong planes, no error."""
    return _decode(data, shape, 0, version, exact=True)


def _encode(planes: Int32Array, levels: int, scale: int, exact: bool) -> bytes:
    planes = np.ascontiguousarray(planes, np.int32)
    lam = round(LAMBDA * ONE * ONE * 256 / 64)
    if not compiled.library():
        return entropy_coder_python.encode(planes, levels, scale, lam, exact)
    # a sample takes at most 60 bits, whatever the state of the models
    buffer = np.empty(planes.size * 8 + 1024, np.uint8)
    job, keep = _job(planes.shape, levels, exact)
    job.into, job.bytes, job.size, job.scale, job.lam = planes.ctypes.data, buffer.ctypes.data, buffer.size, scale, lam
    size = _run("edgefuse_entropy_encode", job)
    del keep
    return buffer[:size].tobytes()


def _decode(data: bytes, shape: tuple[int, int, int], levels: int, version: int, exact: bool) -> Int32Array:
    if not compiled.library():
        return (entropy_coder_v1_python if version == 1 else entropy_coder_python).decode(data, shape, levels, exact)
    out, source = np.zeros(shape, np.int32), np.frombuffer(data, np.uint8)
    job, keep = _job(shape, levels, exact)
    job.out, job.bytes, job.size = out.ctypes.data, source.ctypes.data, len(data)
    _run("edgefuse_entropy_v1_decode" if version == 1 else "edgefuse_entropy_decode", job)
    del keep
    return out


def _job(shape: tuple[int, ...], levels: int, exact: bool) -> tuple[_Job, object]:
    height, width, count = shape
    subbands, room = bands(height, width, levels)
    c_bands, c_tables = (_Band * len(subbands))(*(_Band(*b) for b in subbands)), _Tables(*(t.ctypes.data for t in tables()))
    job = _Job(room=room, height=height, width=width, planes=count, band_count=len(subbands), bias=0 if exact else BIAS, exact=exact)
    job.tables, job.bands = ctypes.addressof(c_tables), ctypes.addressof(c_bands)
    return job, (c_bands, c_tables)


def _run(name: str, job: _Job) -> int:
    function = getattr(compiled.library(), name)
    function.restype = ctypes.c_int64
    result = int(function(ctypes.byref(job)))
    if result < 0:
        raise MemoryError
    return result
