"""Predictive coder of a tile's samples as words of 4 or 8 bytes, exactly: floats by their bits, and integers.

The pixels are coded one after another, line by line along the tile's longer side, the bands of a pixel one after another. A sample is
predicted by a weighted sum (weights of each band: prediction.py) of samples that are known by then: previous bands of its pixel, and the
same and previous bands of its neighbours to the left, above, above left and above right. The sum is one of fixed-point numbers, in integer
arithmetic, so that every machine predicts the same.

The prediction becomes a word again, and what is coded is how many possible values lie between it and the sample: for floats, all floats
in ascending order are numbered, so noise in the last bits of a mantissa is a small number, and NaN, infinities and both zeros are values as
others are.

The size of that error is coded as its length in bits, with a binary adaptive range coder: each of the 6 bits of the length has the mean
(1/4, 1/4, 1/2) of the probabilities of three models, by the errors of the neighbours and of the two bands before, by the proportion of
these two, and by the band's usual error. The two bits after the leading one and the sign have models, too; lower bits are raw.

Samples that are stored elsewhere (separate_words.py) are skipped: a decoder knows them before. The compiled coder (predictive_coder.c) and
the Python one (predictive_coder_python.py) write the same bytes.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec import predictive_coder_python
from edgefuse.hyperspectral.codec.entropy_tables import tables
from edgefuse.hyperspectral.codec.prediction_plan import Plan, Skipped, Words
from edgefuse.util import compiled


class _Job(ctypes.Structure):
    """`Predicted` of predictive_coder.c, field by field."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("words", "bytes", "weights", "bias", "kinds", "shifts", "skipped", "rate")),
        *((name, ctypes.c_int64) for name in ("size", "line_step", "pixel_step")),
        *((name, ctypes.c_int32) for name in ("lines", "length", "bands", "item", "dropped")),
        ("taps", ctypes.c_int32 * 5),
    ]


def encode(words: Words, height: int, width: int, plan: Plan, skipped: Skipped | None) -> bytes:
    """Encode contiguous words (height * width, B) of 4 or 8 bytes. skipped: mask (height * width, B) of samples to leave out."""
    if not compiled.library():
        return predictive_coder_python.encode(words, height, width, plan, skipped)
    buffer = np.empty(words.nbytes * 2 + 1024, np.uint8)  # a word of 8 bytes takes at most 16, whatever the state of the models
    size = _run("edgefuse_predictive_encode", words, buffer, height, width, plan, skipped)
    return buffer[:size].tobytes()


def decode(data: bytes | memoryview, out: Words, height: int, width: int, plan: Plan, skipped: Skipped | None) -> None:
    """Decode `encode`'s output into `out`, except for skipped samples. Damaged data gives wrong words, no error."""
    if not compiled.library():
        predictive_coder_python.decode(bytes(data), out, height, width, plan, skipped)
        return
    _run("edgefuse_predictive_decode", out, np.frombuffer(data, np.uint8), height, width, plan, skipped)


def _run(name: str, words: Words, data: NDArray[np.uint8], height: int, width: int, plan: Plan, skipped: Skipped | None) -> int:
    bands, upright = words.shape[1], height >= width
    rate = tables().rate
    job = _Job(
        size=data.size, line_step=(width if upright else 1) * bands, pixel_step=(1 if upright else width) * bands,
        lines=max(height, width), length=min(height, width), bands=bands, item=words.dtype.itemsize, dropped=plan.dropped,
        taps=(ctypes.c_int32 * 5)(*plan.taps),
    )  # fmt: skip
    job.words, job.bytes, job.rate = words.ctypes.data, data.ctypes.data, rate.ctypes.data
    job.weights, job.bias, job.kinds, job.shifts = (a.ctypes.data for a in (plan.weights, plan.bias, plan.kinds, plan.shifts))
    job.skipped = None if skipped is None else skipped.ctypes.data
    function = getattr(compiled.library(), name)
    function.restype = ctypes.c_int64
    result = int(function(ctypes.byref(job)))
    if result < 0:
        raise MemoryError
    return result
