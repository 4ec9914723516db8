"""Intermediate values of the golden files: `python -m tests.hyperspectral.plain_decoder.vectors` prints them for efz-coding.md."""

import json
import zlib
from pathlib import Path

import numpy as np

from tests.hyperspectral.plain_decoder import decode, predicted, range_coder, read_tiles
from tests.hyperspectral.plain_decoder.fields import Fields
from tests.hyperspectral.plain_decoder.planes import decode_planes, inverse_wavelet
from tests.hyperspectral.plain_decoder.predicted import cells
from tests.hyperspectral.plain_decoder.transformed import decode_basis, decode_lossy

GOLDEN = Path(__file__).parents[1] / "codec/golden"


def payload(name, number):
    return read_tiles((GOLDEN / f"{name}.efz").read_bytes())[2][number]


def checksums():
    """CRC-32 of the tables as i32."""
    names = "level", "rate", "first", "stretch", "squash"
    tables = (getattr(range_coder, name.upper()) for name in names)
    return {name: zlib.crc32(np.array(table, "<i4").tobytes()) for name, table in zip(names, tables, strict=True)}


def lossy(name, number, shape, dtype, version):
    """Values on the way from a tile's bytes to its samples."""
    data = payload(name, number)
    f = Fields(data[5 + int.from_bytes(data[1:5], "little") :])
    levels, scale, size = f.take("BII")
    step, bits, mean, mean_step, vectors = decode_basis(f.bytes(size), shape[2], version)
    coefficients = decode_planes(f.bytes(), (len(vectors), *shape[:2]), version, levels)
    components = coefficients.copy()
    for plane in components:
        inverse_wavelet(plane, levels)
    f.at = 0
    return {
        "levels": levels, "scale": scale, "step": step, "bits": bits, "mean": mean.tolist(), "meanstep": mean_step,
        "vector[0]": vectors[0].tolist(), "coefficients[0][0]": coefficients[0, 0, :8].tolist(), "c[0][0]": components[0, 0, :8].tolist(),
        "samples of the first pixel": decode_lossy(f, shape, np.dtype(dtype), version)[0].tolist(),
    }  # fmt: skip


def errors(name, number, shape, dtype):
    """Sizes and signs of the first errors of a predicted tile, and its first samples."""
    captured, original = [], predicted.decode_error
    predicted.decode_error = lambda *args: captured.append(original(*args)) or captured[-1]
    try:
        out = predicted.decode_predicted(Fields(payload(name, number)[5:]), shape, np.dtype(dtype))
    finally:
        predicted.decode_error = original
    return {"errors": [list(e) for e in captured[:8]], "words": out.view(f"u{out.itemsize}").ravel()[:8].tolist()}


def vectors():
    whole = (GOLDEN / "v2-tiny.efz").read_bytes()
    numbers = bytes.fromhex("2700c28f1d6a43d5")
    k = np.array([0, 1, 2, 399, 4000, -70000])
    return {
        "CRC-32 of the tables": checksums(),
        "v2-tiny.efz": {"bytes": whole.hex(), "samples": decode(whole).tolist()},
        "the bytes 2700c28f1d6a43d5, exact, as one plane of 2 x 8": decode_planes(numbers, (1, 2, 8), 2)[0].tolist(),
        "the same bytes in version 1": decode_planes(numbers, (1, 2, 8), 1)[0].tolist(),
        "v2-lossy.efz, tile 1": lossy("v2-lossy", 1, (20, 22, 8), "i2", 2),
        "v1-lossy.efz, tile 1": lossy("v1-lossy", 1, (20, 22, 8), "i2", 1),
        "v4-floats.efz, tile 0": errors("v4-floats", 0, (10, 11, 6), "f4"),
        "v4-integers.efz, tile 3": errors("v4-integers", 3, (10, 9, 6), "i4"),
        "cells 0, 1, 2, 399, 4000, -70000 of float32 for 0.001": cells(k, 0.001, np.dtype("f4")).tolist(),
        "cells 0, 1, 2, 399, 800, -2000 of int32 for 0.01": cells(np.array([0, 1, 2, 399, 800, -2000]), 0.01, np.dtype("i4")).tolist(),
    }


if __name__ == "__main__":
    print("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in vectors().items()) + "\n}")
