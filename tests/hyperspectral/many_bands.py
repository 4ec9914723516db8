"""Encoding of a cube of many bands, whose memory tests/support/memory.py measures."""

from __future__ import annotations

import math

import numpy as np

# what the encoder loads when it is first used is no cube's doing
import edgefuse.hyperspectral.codec.spectral_edge
from edgefuse import compress
from tests.hyperspectral.cubes import scene


def encode(shape: str, dtype: str, target: str) -> int:
    """Encode a made-up cube, verify it, and return its bytes. shape: "4x4x100". target: "" or "psnr=45"."""
    height, width, bands = map(int, shape.split("x"))
    cube = scene((height, width, bands))
    samples = cube.astype(dtype) * np.float32(1e-4) if dtype == "float32" else cube.astype(dtype)
    name, _, value = target.partition("=")
    encoded = compress(samples, threads=1, **({name: float(value)} if name else {}))  # type: ignore[call-overload]
    assert edgefuse.hyperspectral.codec.spectral_edge.decode(encoded).size == math.prod((height, width, bands))
    return len(encoded)
