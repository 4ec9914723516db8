"""Leaves out bands without data, such as EnMAP's in the water absorption: otherwise every pixel would count as missing."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import PER_BAND, CubeInfo
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.sharpening.base import Output
from edgefuse.sharpening.pair import Mask, Samples

_logger = logging.getLogger(__name__)

_LOOKED = 64  # rows sampled
_MISSING = 0.5  # a band is left out if more than this share of its samples is missing where other bands have data
_NAMED = 6  # ranges of bands that a message names


def with_data(source: CubeSource) -> Mask:
    """Return which bands (B,) have data in at least half of the pixels in which any band has. Logs a warning that names the others.

    Raises CubeError where no band is left.
    """
    bands, nodata = source.shape[2], source.info.nodata
    if nodata is None and source.dtype.kind != "f":
        return np.ones(bands, bool)
    known, pixels = np.zeros(bands, np.int64), 0
    for row in np.unique(np.linspace(0, source.shape[0] - 1, _LOOKED).astype(int)).tolist():
        present = _present(source[row], nodata)
        known += present.sum(0)
        pixels += int(present.any(1).sum())
    kept = known >= (1 - _MISSING) * pixels
    if kept.all():
        return kept
    if not kept.any():
        raise CubeError(f"{source.path}: no band has data in half of the pixels; sharpen the parts that have data one by one")
    _logger.warning(
        "%s: %d of %d bands have no data in more than half of the pixels and are left out: %s (from 0)",
        source.path, int((~kept).sum()), bands, ranges(np.flatnonzero(~kept).tolist()),
    )  # fmt: skip
    return kept


def _present(samples: NDArray[Any], nodata: float | None) -> Mask:
    present = np.isfinite(samples) if samples.dtype.kind == "f" else np.ones(samples.shape, bool)
    if nodata is not None and not math.isnan(nodata):
        present &= samples != nodata
    return present


def ranges(numbers: Sequence[int]) -> str:
    """Return rising numbers as text: 1, 4-6, 9."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], n]
        else:
            runs.append([n])
    text = ["-".join(map(str, run)) for run in runs]
    return ", ".join(text[:_NAMED]) + (f" and {len(text) - _NAMED} more" if len(text) > _NAMED else "")


def chosen(info: CubeInfo, kept: Mask) -> CubeInfo:
    """Return the metadata of a cube's bands `kept` (B,)."""
    changes: dict[str, Any] = {"shape": (*info.shape[:2], int(kept.sum()))}
    for name in PER_BAND:
        if (values := getattr(info, name)) is not None:
            changes[name] = tuple(v for v, keep in zip(values, kept, strict=True) if keep)
    return info.like(**changes)


class Chosen:
    """The bands `kept` (B,) of a cube, read in windows of all bands."""

    def __init__(self, samples: Samples, kept: Mask) -> None:
        self._samples, self._at = samples, np.flatnonzero(kept)
        self.shape = (*samples.shape[:2], len(self._at))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self._samples[key][..., self._at]


class Scattered:
    """Destination that writes the bands `kept` (B,) of `out`, and NaN into the others."""

    def __init__(self, out: Output, kept: Mask) -> None:
        self._out, self._kept = out, kept

    def __setitem__(self, key: Any, samples: Any) -> None:
        whole = np.full((*samples.shape[:-1], len(self._kept)), np.nan, np.float32)
        whole[..., self._kept] = samples
        self._out[key] = whole
