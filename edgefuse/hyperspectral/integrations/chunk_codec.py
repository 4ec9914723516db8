"""Coding of an array's chunk as an .efz file, for Zarr: to the bit, or within a bound that is verified before the bytes are returned."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import EdgeFuseError, InputError, SettingsError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.codec.base import Target
from edgefuse.hyperspectral.cube import can_hold, peak_of
from edgefuse.hyperspectral.quality import LIMITS, TARGETS
from edgefuse.hyperspectral.verification import difference
from edgefuse.metrics.spectral import SpectralScore
from edgefuse.util.blas import one_blas_thread

Array = NDArray[Any]
_ROUNDING_DB = 0.01


@dataclass(frozen=True, kw_only=True)
class ChunkCodec:
    """Settings of spectral-edge for the chunks of an array. Lossless, to the bit, without `max_error`, `relative_error`, `psnr`, `bpppc`.

    Raises SettingsError for settings that exclude each other or are out of range.
    """

    bands_axis: int = -1
    """Axis of the bands (or of time, depth, ...); of the others, the last is the columns. Arrays of one or two dimensions have none."""
    max_error: float | None = None
    """Largest error of a sample, in its unit."""
    relative_error: float | None = None
    """Largest error of a sample as a share of its magnitude, for floats and 32-bit integers."""
    psnr: float | None = None
    """Least PSNR of a chunk in dB, relative to `peak`."""
    bpppc: float | None = None
    """Most bits a sample of a chunk."""
    peak: float | None = None
    """For `psnr`. Default: 10000 for integers of 16 bits and more, 255 or 127 for those of 8, 1 for floats."""
    nodata: float | None = None
    """Value of missing samples, which come back exactly. NaN always does."""

    def __post_init__(self) -> None:
        given = [name for name in TARGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise SettingsError(f"{' and '.join(given)} exclude each other; give only one, or none for lossless")
        for name in [*given, *(["peak"] if self.peak is not None else [])]:
            low, high = LIMITS[name]
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise SettingsError(f"{name} is {value!r}; give a number of {low:g} to {high:g}")
        if isinstance(self.bands_axis, bool) or not isinstance(self.bands_axis, int):
            raise SettingsError(f"bands_axis is {self.bands_axis!r}; give the number of the axis of the bands, such as 0 or -1")

    def settings(self) -> dict[str, Any]:
        """Return the settings that are not the defaults, for JSON."""
        default = {"bands_axis": -1}
        return {k: v for k, v in asdict(self).items() if v != default.get(k)}

    def check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise SettingsError if arrays of this shape and type can't be coded."""
        if dtype.name not in efz.DTYPES:
            raise SettingsError(f"{dtype} samples can't be coded by edgefuse; convert them to one of {', '.join(efz.DTYPES)}")
        if len(shape) > 2 and not -len(shape) <= self.bands_axis < len(shape):
            raise SettingsError(f"bands_axis is {self.bands_axis}, and the array has {len(shape)} axes")
        if self.nodata is not None and not can_hold(dtype, self.nodata):
            raise SettingsError(f"{dtype} samples can't be {self.nodata}, so none is missing; omit nodata")

    def encode(self, chunk: Array) -> bytes:
        """Return the chunk as an .efz file, decoded and compared before. Raises SettingsError, InputError, and EdgeFuseError for a bug."""
        self.check(chunk.shape, chunk.dtype)
        cube = np.ascontiguousarray(self._cube(chunk)).astype(chunk.dtype.newbyteorder("="), copy=False)
        lossless = not (self.relative_error or self.psnr or self.bpppc or self.max_error)
        # the codec takes whole counts only
        error = math.floor(self.max_error or 0) if cube.dtype.kind != "f" else self.max_error
        target = Target(
            max_error=0.0 if lossless else None if self.max_error is None else error, relative_error=self.relative_error,
            psnr=self.psnr, bpppc=self.bpppc, peak=self.peak,
        )  # fmt: skip
        stream = io.BytesIO()
        with one_blas_thread():
            spectral_edge.encode_to(stream, cube, target, nodata=self.nodata, about=self._about(chunk))
            data = stream.getvalue()
            wrong = self._wrong(cube, spectral_edge.decode(data), len(data), lossless)
        if wrong:
            asked = self.settings() or "lossless"
            raise EdgeFuseError(f"a chunk {cube.shape} does not decode to what was asked for ({asked}): {wrong}; please report it")
        return data

    def _about(self, chunk: Array) -> dict[str, Any]:
        """Return what the .efz file says of a chunk that is no array (rows, columns, bands) in C order."""
        order = "F" if chunk.ndim > 1 and chunk.flags.f_contiguous and not chunk.flags.c_contiguous else "C"
        axis = self.bands_axis % chunk.ndim if chunk.ndim > 2 else -1
        if (chunk.ndim, axis, order) == (3, 2, "C"):
            return {}
        return {"chunk": {"shape": list(chunk.shape), "bands_axis": axis, "order": order}}

    def _cube(self, chunk: Array) -> Array:
        """Return a chunk as rows, columns and bands."""
        if chunk.ndim < 3:
            return chunk.reshape(-1, chunk.shape[-1] if chunk.ndim else 1, 1)
        last = np.moveaxis(chunk, self.bands_axis, -1)
        return last.reshape(-1, *last.shape[-2:])

    def _wrong(self, cube: Array, again: Array, size: int, lossless: bool) -> str:
        """Return how a decoded cube differs from what was asked for; empty if it does not."""
        if again.shape != cube.shape or again.dtype != cube.dtype:
            return "the decoded cube has another shape or type"
        if wrong := difference(cube, again, self.nodata, 0 if lossless else self.max_error, self.relative_error):
            return wrong
        if self.bpppc is not None and 8 * size > self.bpppc * cube.size:
            return f"{8 * size / cube.size:.4g} bits a sample"
        if self.psnr is not None:
            score = SpectralScore(cube.shape[2], self.peak or peak_of(cube.dtype), self.nodata)
            score.add(cube, again)
            if (reached := score.result().psnr_db) < self.psnr - _ROUNDING_DB:
                return f"{reached:.2f} dB"
        return ""


def decode(data: bytes, limit: int = 1 << 32) -> Array:
    """Return a chunk that `ChunkCodec.encode` coded, with its shape, in the order in which it lay in memory.

    Raises InputError for damaged data, and for more than `limit` bytes.
    """
    about = efz.Reader(io.BytesIO(data)).header.about.get("chunk", {})
    with one_blas_thread():
        cube = spectral_edge.decode(data, limit=limit)
    try:
        shape, axis = tuple(about.get("shape", cube.shape)), about.get("bands_axis", -1)
        if len(shape) < 3:
            chunk = cube.reshape(shape)
        else:
            others = [n for i, n in enumerate(shape) if i != axis % len(shape)]
            chunk = np.moveaxis(cube.reshape(*others, shape[axis]), -1, axis)
    except (AttributeError, TypeError, ValueError, IndexError):
        raise InputError("the .efz header is invalid: chunk") from None
    # not ascontiguousarray, which gives a single sample an axis
    return np.asarray(chunk, order="F" if about.get("order") == "F" else "C")
