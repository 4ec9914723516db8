"""Makes golden files of format versions 2 to 4 from made-up data: `python -m tests.hyperspectral.codec.make_golden` from the root.

Existing ones are never made again: every later version must decode them to the same bits (test_spectral_edge.py).
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import entropy_coder, spectral_edge, tile
from edgefuse.hyperspectral.codec.lossy import Analysis
from tests.hyperspectral.cubes import mixed

ROOT = Path(__file__).resolve().parents[3]

SHAPE, SIDE = (21, 19, 12), 12  # four tiles


def _masked(dtype: str) -> NDArray[Any]:
    """Missing corners in all bands, a band without data, a dead column in one band, a hot sample and an undeclared fill value."""
    cube = mixed(SHAPE, dtype, 5)
    cube[:4, :5] = cube[-3:, -6:] = cube[:, :, 4] = -9999
    cube[:, 7, 9] = -9999
    cube[6:9, 10:14, 2] = -32768
    cube[14, 3, 6] = 31000
    return cube


def _floats(dtype: str) -> NDArray[Any]:
    """NaN, infinities, a fill value that nobody declared and a hot sample."""
    cube = mixed(SHAPE, dtype, 6)
    cube[2:5, 3:9] = np.nan
    cube[10, 10, 3], cube[11, 2, 7], cube[15:18, 1:9, 5] = np.inf, -np.inf, np.inf
    cube[19:, :, 8] = np.float32(-3.4e38)
    cube[13, 13, 0] = 1e6
    return cube


def _counts(dtype: str) -> NDArray[Any]:
    """Reflectance that is counts times 0.0001, or counts, with a fill value and samples that no grid has."""
    cube: NDArray[Any] = mixed((21, 19, 6), "int16", 9).astype(np.float64)
    cube = (cube * (1e-4 if dtype.startswith("float") else 1000)).astype(dtype)
    cube[:5, 4:] = -9999
    if dtype.startswith("float"):
        cube[9, 9, :3], cube[20, 0, 5], cube[11:14, 2:9, 1] = (np.nan, -0.0, np.inf), np.finfo(dtype).smallest_subnormal, np.nan
    return cube


def _rounded_twice() -> NDArray[Any]:
    """Float32 that were rounded after each operation, so that they are near a grid but not on it."""
    counts = mixed((21, 19, 6), "int16", 9).astype(np.float32)
    scaled: NDArray[Any] = counts * np.float32(1e-4) + np.float32(0.1)
    return scaled


def _band_masks() -> bytes:
    """A file of version 2 whose section has a mask for each band, as only earlier releases wrote them."""
    cube = mixed((12, 14, 3), "int16", 15)
    mask = np.random.default_rng(0).random(cube.shape) < 0.1
    section = b"\0" + entropy_coder.encode_exact(mask.astype(np.int32))
    rest = tile.lossy_payload(tile.prepared(cube, None), Analysis(cube.reshape(-1, 3), 12, 14).at(4.0)).data[5:]
    stream = io.BytesIO()
    writer = efz.Writer(stream, efz.Header((12, 14, 3), "int16", (12, 14), spectral_edge.MODEL, {"nodata": -1}))
    writer.tile(0, struct.pack("<BI", 1, len(section)) + section + rest)
    writer.close()
    return stream.getvalue()


# name: (cube, target, value of missing samples)
FILES: dict[str, tuple[NDArray[Any], dict[str, Any], float | None]] = {
    "v2-tiny": (np.arange(24, dtype=np.uint16).reshape(3, 4, 2) ** np.uint16(2), {"max_error": 0}, None),
    "v3-masks": (_masked("int16"), {"bpppc": 4.0}, -9999.0),
    "v3-near": (_masked("int16"), {"max_error": 2}, -9999.0),
    "v3-lossless": (mixed(SHAPE, "uint8", 7), {"psnr": 70.0}, None),
    "v3-float": (_floats("float32"), {"psnr": 30.0}, None),
    "v3-exact": (mixed(SHAPE, "float32", 8), {"bpppc": 32.0}, None),
    "v4-floats": (mixed((19, 21, 6), "float32", 10), {"max_error": 0}, None),
    "v4-counts": (_counts("float32"), {"max_error": 0}, -9999.0),
    "v4-doubles": (_counts("float64"), {"max_error": 0}, None),
    "v4-integers": (_counts("int32"), {"max_error": 0}, -9999.0),
    "v4-error": (_counts("float32"), {"max_error": 1e-3}, -9999.0),
    "v4-relative": (_counts("float64"), {"relative_error": 1e-3}, -9999.0),
    "v4-corrected": (_rounded_twice(), {"max_error": 0}, None),
    "v4-unsigned": (mixed((15, 23, 6), "uint32", 12) * np.uint32(1_000_000), {"max_error": 0}, None),
    "v4-integers-error": (mixed((21, 19, 6), "int32", 13), {"max_error": 40}, None),
    "v4-integers-relative": (mixed((21, 19, 6), "uint32", 14) ** np.uint32(2), {"relative_error": 0.02}, None),
}


def _encoded(cube: NDArray[Any], target: dict[str, Any], nodata: float | None) -> bytes:
    stream = io.BytesIO()
    spectral_edge.encode_to(stream, cube, spectral_edge.Target(**target), nodata=nodata, about={}, side=SIDE)
    return stream.getvalue()


def main() -> None:
    folder = Path(__file__).parent / "golden"
    for name in (*FILES, "v2-bands"):
        if (folder / f"{name}.efz").exists():
            continue
        data = _band_masks() if name == "v2-bands" else _encoded(*FILES[name])
        (folder / f"{name}.efz").write_bytes(data)
        np.save(folder / f"{name}.npy", spectral_edge.decode(data))
        print(name, f"version {data[4]}, {len(data)} bytes")


if __name__ == "__main__":
    main()
