"""Reflectance from a camera's counts by the dark and white references of its capture folder: Specim (Lumo, IQ) and Headwall.

Specim: NAME.raw with DARKREF_NAME.raw and WHITEREF_NAME.raw beside it, perhaps WHITEDARKREF_NAME.raw. Headwall: darkReference and
whiteReference. All are ENVI files. Both are averaged over their rows, as each column of a line camera has its own detector:
reflectance = (counts - dark) / (white - dark of white) * white's integration time / the cube's (`tint`, equal if not said).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats.base import CubeSource, WrappedSource
from edgefuse.hyperspectral.formats.envi import SAMPLES, EnviSource
from edgefuse.util.arrays import Float64Array
from edgefuse.util.files import is_file

_DARK, _WHITE, _DARK_OF_WHITE = ("DARKREF_{}", "darkReference"), ("WHITEREF_{}", "whiteReference"), ("WHITEDARKREF_{}",)
_STRIP_BYTES = 1 << 24


class ReflectanceSource(WrappedSource):
    """The cube `source` as reflectance, float32, NaN where it or the white reference has no signal. Closing it closes the file."""

    def __init__(self, source: CubeSource) -> None:
        """Raises CubeError if the references are not beside it, or do not fit."""
        super().__init__(source)
        dark, white = _found(source.path, _DARK), _found(source.path, _WHITE)
        if dark is None or white is None:
            raise CubeError(
                f"{source.path} has no {'dark' if dark is None else 'white'} reference beside it: DARKREF_{source.path.name} and "
                f"WHITEREF_{source.path.name} (Specim), or darkReference and whiteReference (Headwall)"
            )
        self._references = [p for p in (dark, white, _found(source.path, _DARK_OF_WHITE)) if p is not None]
        means, times = zip(*(_mean(path, source) for path in self._references), strict=True)
        self._dark, own_time = means[0], _time(source)
        signal = means[1] - means[-1 if len(means) > 2 else 0]
        share = times[1] / own_time if own_time and times[1] else 1.0
        self._factor = np.divide(share, signal, out=np.full(signal.shape, math.nan), where=signal > 0)
        if not (signal > 0).any():
            raise CubeError(f"{white} is nowhere brighter than the dark reference; exchange them, or take them again")
        metadata = {k: v for k, v in source.info.metadata.items() if k not in ("data type", "reflectance scale factor")}
        self.info = source.info.like(dtype=np.dtype(np.float32), nodata=math.nan, gain=None, offset=None, metadata=metadata)

    @property
    def form(self) -> str:
        return f"{self._source.form}, reflectance by its references"

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self._source.files, *self._references)

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        counts = self._source.read(rows, columns, bands)
        result = ((counts - self._dark[columns, bands]) * self._factor[columns, bands]).astype(np.float32)
        nodata = self._source.info.nodata
        if nodata is not None:
            result[counts == nodata] = math.nan
        return result

    def close(self) -> None:
        self._source.close()


def _found(path: Path, names: tuple[str, ...]) -> Path | None:
    """Return the reference of a name beside the cube's samples, or None."""
    for name in names:
        for suffix in dict.fromkeys((path.suffix, *SAMPLES)):
            if is_file(beside := path.with_name(name.format(path.stem) + suffix)) and beside != path:
                return beside
    return None


def _time(source: CubeSource) -> float:
    """Return the integration time that the header states, in its unit; 0 if it states none."""
    try:
        return max(0.0, float(source.info.metadata.get("tint", "0")))
    except ValueError:
        return 0.0


def _mean(path: Path, cube: CubeSource) -> tuple[Float64Array, float]:
    """Return the mean (columns, bands) of a reference over its rows, and its integration time. Raises CubeError if it does not fit."""
    with EnviSource(path) as reference:
        height, *size = reference.shape
        if tuple(size) != cube.shape[1:]:
            raise CubeError(f"{path} has {size[0]} columns and {size[1]} bands, and {cube.path.name} {cube.shape[1]} and {cube.shape[2]}")
        total = np.zeros(size)
        step = max(1, _STRIP_BYTES // (math.prod(size) * 8))
        for top in range(0, height, step):
            total += reference[top : top + step].sum(0, dtype=np.float64)
        return total / height, _time(reference)
