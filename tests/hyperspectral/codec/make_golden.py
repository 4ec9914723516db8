"""Makes the golden files of format versions 3 and 4 from made-up data: `python -m tests.hyperspectral.codec.make_golden` from the root.

Existing ones are never made again: every later version must decode them to the same bits (test_spectral_edge.py).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec import spectral_edge
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


# name: (cube, target, value of missing samples)
FILES: dict[str, tuple[NDArray[Any], dict[str, Any], float | None]] = {
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
}


def main() -> None:
    folder = Path(__file__).parent / "golden"
    for name, (cube, target, nodata) in FILES.items():
        if (folder / f"{name}.efz").exists():
            continue
        stream = io.BytesIO()
        spectral_edge.encode_to(stream, cube, spectral_edge.Target(**target), nodata=nodata, about={}, side=SIDE)
        data = stream.getvalue()
        (folder / f"{name}.efz").write_bytes(data)
        np.save(folder / f"{name}.npy", spectral_edge.decode(data))
        print(name, f"version {data[4]}, {len(data)} bytes")


if __name__ == "__main__":
    main()
