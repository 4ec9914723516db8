"""Payload of a tile of floats or 32-bit integers that is predicted sample by sample (format version 4): to the bit, or within an error.

Bands are coded as the bits of their floats, as integers, or as numbers on a grid (number_grids.py). A tile within an absolute error is one
on a grid of twice that step; within a relative error, see relative.py. Samples that a grid does not give back, and areas of one value, such
as missing samples, are stored apart (separate_words.py).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import (
    entropy_coder,
    exact,
    number_grids,
    prediction,
    predictive_coder,
    relative,
    separate_words,
    single_samples,
)
from edgefuse.hyperspectral.codec.extremes import extremes
from edgefuse.hyperspectral.codec.number_grids import CORRECTED, MOST_CORRECTED, MULTIPLES, QUOTIENTS, Grid, Steps
from edgefuse.hyperspectral.codec.outliers import Fill, Suspicion, find, suspected
from edgefuse.hyperspectral.codec.prediction_plan import FLOATS, SIGNED, UNSIGNED, Skipped, Words
from edgefuse.hyperspectral.codec.separate_words import Area
from edgefuse.util.arrays import Float64Array, Int32Array

VERSION = 4  # of the format
TYPES = "uint32", "int32", "float32", "float64"
_HEAD = struct.Struct("<4I")  # bytes of the section of words apart, of the bands' kinds, of the grids, of their corrections
_STRIP = 1 << 16  # samples that are converted at a time
_MOST_SHARE = 0.875  # of the samples' bytes; longer payloads would take too much memory to decode
_FEW = 64  # samples of one value up to which no area is made of them
_MOST_AREAS = 6
_ROUNDING = 2.0**-40  # part of a step that is left for rounding

Array = NDArray[Any]
Held = Callable[[Float64Array, Float64Array], NDArray[np.bool_]]  # whether decoded samples are within the error: (original, decoded)


def encode(samples: Array, nodata: float | None) -> bytes | None:
    """Encode samples (h, w, B) to the bit; None if that would take too many bytes, as of random samples."""
    height, width, bands = samples.shape
    pixels = np.ascontiguousarray(samples).reshape(-1, bands)
    areas, skipped, _ = _apart(pixels, nodata)
    grids: list[Steps | None] = (
        [_grid(pixels[:, b], None if skipped is None else ~skipped[:, b]) for b in range(bands)] if pixels.dtype.kind == "f" else []
    )
    return _encoded(pixels, height, width, _Apart(areas, skipped, None), grids or [None] * bands)


def encode_within(samples: Array, nodata: float | None, error: float) -> bytes | None:
    """Encode samples (h, w, B) with an absolute error of at most `error`; None if nothing would be gained over exact coding.

    Missing samples, fill values and what is not finite stay exact.
    """
    bands = samples.shape[2]
    whole = samples.dtype.kind != "f"
    step = 2.0 * math.floor(error) + 1 if whole else 2.0 * error * (1 - _ROUNDING)
    grid: list[Steps | None] = [Grid(MULTIPLES, 0.0, step)]
    return _within(samples, nodata, grid * bands, lambda a, b: np.abs(a - b) <= error)


def encode_relative(samples: Array, nodata: float | None, error: float) -> bytes | None:
    """Encode samples (h, w, B) with errors of at most `error` times each sample's magnitude; otherwise as `encode_within`."""
    cells: list[Steps | None] = [relative.Cells(error, samples.dtype)]
    return _within(samples, nodata, cells * samples.shape[2], lambda a, b: np.abs(a - b) <= error * np.abs(a))


def may_be_shorter_exactly(samples: Array, nodata: float | None) -> bool:
    """Return whether samples (h, w, B) lie on a grid, so that exact coding may take fewer bytes than coding within an error."""
    pixels = np.ascontiguousarray(samples).reshape(-1, samples.shape[2])
    if pixels.dtype.kind != "f":
        return True
    skipped = _apart(pixels, nodata).skipped
    bands = range(0, pixels.shape[1], max(1, pixels.shape[1] // 8))
    return any(_grid(pixels[:, b], None if skipped is None else ~skipped[:, b]) for b in bands)


def _within(samples: Array, nodata: float | None, grids: list[Steps | None], held: Held) -> bytes | None:
    height, width, bands = samples.shape
    pixels = np.ascontiguousarray(samples).reshape(-1, bands)
    return _encoded(pixels, height, width, _apart(pixels, nodata), grids, held)


class _Apart(NamedTuple):
    """Samples of values that are not like the others: missing samples, fill values, NaN, infinities."""

    areas: list[Area]
    skipped: Skipped | None
    """(h * w, B), in an area."""
    few: Skipped | None
    """(h * w, B), of such values, but too few for an area; they are apart where coding is not exact."""


def _apart(pixels: Array, nodata: float | None) -> _Apart:
    words = pixels.view(f"u{pixels.dtype.itemsize}")
    found = [] if nodata is None or nodata != nodata else [int(np.array(nodata).astype(pixels.dtype).view(words.dtype))]
    odd = np.zeros(pixels.shape, bool) if nodata is None or nodata != nodata else pixels == nodata
    if pixels.dtype.kind == "f" and not (finite := np.isfinite(pixels)).all():
        values, counts = np.unique(words[~finite], return_counts=True)
        found += [int(v) for v in values[np.argsort(-counts)][:_MOST_AREAS]]
        odd |= ~finite
    for fill in _fills(pixels, odd):
        found.append(int(np.array(fill.value).astype(pixels.dtype).view(words.dtype)))
        odd |= fill.mask
    areas: list[Area] = []
    skipped = np.zeros(pixels.shape, bool)
    for word in dict.fromkeys(found):
        mask = words == word
        if len(areas) < _MOST_AREAS and int(mask.sum()) > _FEW:
            areas.append(Area(word, mask))
            skipped |= mask
    few = odd & ~skipped
    return _Apart(areas, skipped if areas else None, few if few.any() else None)


def _fills(pixels: Array, odd: Skipped) -> list[Fill]:
    """Return likely fill values among the samples that are not `odd`, as a verification finds them (fills.py)."""
    if odd.all():
        return []
    valid = np.where(odd, pixels[~odd][0], pixels) if odd.any() else pixels
    if not suspected(valid, *extremes(valid), singles=False).fills:
        return []
    try:
        found = find(pixels, odd if odd.any() else None, Suspicion(singles=False))
    except InputError:
        return []  # most samples are larger than other codecs take
    return [fill for fill in found.fills if math.isfinite(fill.value)] if found else []


def _grid(column: Array, valid: NDArray[np.bool_] | None) -> Grid | None:
    return None if valid is not None and not valid.any() else number_grids.find(np.ascontiguousarray(column), valid)


@np.errstate(over="ignore", invalid="ignore")
def _encoded(pixels: Array, height: int, width: int, odd: _Apart, grids: list[Steps | None], held: Held | None = None) -> bytes | None:
    """Encode pixels (h * w, B) on the grid of each band (None: as they are); samples that miss it, by `held` or a bit, are apart."""
    item = pixels.dtype.itemsize
    source, skipped = pixels.view(f"u{item}"), odd.skipped
    words, singles, tables = source.copy(), np.zeros(pixels.shape, bool), []
    plain = FLOATS if pixels.dtype.kind == "f" else SIGNED if pixels.dtype.kind == "i" else UNSIGNED
    kinds = np.array([plain if g is None else g.kind for g in grids], np.int32)
    for band, grid in enumerate(grids):
        if grid is None:
            continue
        column = np.ascontiguousarray(pixels[:, band])
        numbers = grid.numbers(column)
        made = grid.values(numbers, pixels.dtype)
        if grid.kind == CORRECTED:
            known = slice(None) if skipped is None else ~skipped[:, band]
            table = number_grids.corrections(numbers[known], made[known], column[known])
            made[known] = number_grids.corrected(numbers[known], made[known], table)
        kept = made.view(source.dtype) == source[:, band] if held is None else held(column.astype(np.float64), made.astype(np.float64))
        if grid.kind == CORRECTED:
            # a decoder knows the numbers of the samples that are not stored apart
            known = kept if skipped is None else kept & ~skipped[:, band]
            plain_values = grid.values(numbers[known], pixels.dtype)
            tables.append(number_grids.corrections(numbers[known], plain_values, column[known]))
        words[:, band] = numbers.astype(f"i{item}").view(source.dtype)
        singles[:, band] = ~kept
    if odd.few is not None:
        singles |= odd.few
    if skipped is not None:
        singles &= ~skipped
    apart = int(singles.sum())
    if apart > min(single_samples.MOST_SHARE, 0.03 if held is not None else 1) * pixels.size + _FEW:
        return None
    if apart or skipped is not None:
        skipped = singles if skipped is None else skipped | singles
    section = separate_words.encode(source, odd.areas, singles, height, width)
    coded_kinds = np.where(kinds > UNSIGNED, SIGNED, kinds).astype(np.int32)
    plan = prediction.plan(words, height, width, coded_kinds, skipped)
    corrections = entropy_coder.encode_exact(np.concatenate(tables)[None, :, None]) if tables else b""
    parts = section, exact.values(kinds.astype(np.uint8)), _grid_bytes(grids), corrections
    coded = prediction.to_bytes(plan) + predictive_coder.encode(words, height, width, plan, skipped)
    data = _HEAD.pack(*map(len, parts)) + b"".join(parts) + coded
    return data if len(data) <= _limit(pixels.size, item) else None


def _limit(samples: int, item: int) -> int:
    return int(_MOST_SHARE * samples * item) + (1 << 12)


def _grid_bytes(grids: list[Steps | None]) -> bytes:
    on = [g for g in grids if g is not None]
    return exact.values(np.array([g.origin for g in on] + [g.step for g in on], np.float64)) if on else b""


def _grids(data: bytes | memoryview, kinds: Int32Array, dtype: np.dtype[Any]) -> list[Steps | None]:
    on = int((kinds > UNSIGNED).sum())
    numbers: Float64Array = exact.from_values(data, 2 * on, np.dtype(np.float64)) if on else np.zeros(0)  # type: ignore[assignment]
    if not np.isfinite(numbers).all() or (numbers[on:] == 0).any():
        raise InputError("a tile is damaged")
    found: list[Steps | None] = []
    pairs = iter(zip(numbers[:on].tolist(), numbers[on:].tolist(), strict=True))
    for kind in kinds.tolist():
        if kind <= UNSIGNED:
            found.append(None)
            continue
        origin, step = next(pairs)
        found.append(relative.Cells(step, dtype) if kind == relative.RELATIVE else Grid(kind, origin, step))
    return found


def decode(data: bytes | memoryview, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Array:
    """Decode to (h * w, B) of `dtype`. Raises InputError for an invalid structure; other damage gives wrong samples."""
    height, width, bands = shape
    item = dtype.itemsize
    if dtype.name not in TYPES or len(data) < _HEAD.size or len(data) > _limit(height * width * bands, item):
        raise InputError("a tile is damaged")
    ends = np.cumsum([_HEAD.size, *_HEAD.unpack_from(data)]).tolist()
    if ends[-1] > len(data):
        raise InputError("a tile is damaged")
    kinds = exact.from_values(data[ends[1] : ends[2]], bands, np.dtype(np.uint8)).astype(np.int32)
    allowed = (FLOATS, QUOTIENTS, CORRECTED) if dtype.kind == "f" else (SIGNED, UNSIGNED)
    if not np.isin(kinds, (*allowed, MULTIPLES, relative.RELATIVE)).all() or (
        (kinds == CORRECTED).any() and height * width > MOST_CORRECTED
    ):
        raise InputError("a tile is damaged")
    grids = _grids(data[ends[2] : ends[3]], kinds, dtype)
    plan, rest = prediction.from_bytes(data[ends[4] :], np.where(kinds > UNSIGNED, SIGNED, kinds).astype(np.int32), item)
    out = np.zeros((height * width, bands), f"u{item}")
    skipped = separate_words.decode(data[ends[0] : ends[1]], out, height, width)
    predictive_coder.decode(rest, out, height, width, plan, skipped)
    _to_samples(out, grids, dtype, skipped, data[ends[3] : ends[4]])
    return out.view(dtype)


def _to_samples(
    words: Words, grids: list[Steps | None], dtype: np.dtype[Any], skipped: Skipped | None, corrections: bytes | memoryview
) -> None:
    """Replace numbers on grids by samples, in place."""
    item = words.dtype.itemsize
    tables = _tables(words, grids, skipped, corrections)
    for band, grid in enumerate(grids):
        if grid is None:
            continue
        for top in range(0, len(words), _STRIP):
            part = words[top : top + _STRIP, band]
            numbers = np.ascontiguousarray(part).view(f"i{item}")
            with np.errstate(over="ignore", invalid="ignore"):
                made = grid.values(numbers.astype(np.float64), dtype).view(words.dtype)
                if band in tables:
                    known, table = tables[band]
                    made += table[np.minimum(np.searchsorted(known, numbers), len(table) - 1)].astype(words.dtype)
            words[top : top + _STRIP, band] = made if skipped is None else np.where(skipped[top : top + _STRIP, band], part, made)


def _tables(words: Words, grids: list[Steps | None], skipped: Skipped | None, data: bytes | memoryview) -> dict[int, tuple[Array, Array]]:
    """Return the distinct numbers and their corrections of each band that has some."""
    found: dict[int, Array] = {}
    for band, grid in enumerate(grids):
        if grid is not None and grid.kind == CORRECTED:
            column = words[:, band] if skipped is None else words[~skipped[:, band], band]
            found[band] = np.unique(column.view(f"i{words.dtype.itemsize}"))
    ends = np.cumsum([len(numbers) for numbers in found.values()])
    if not len(ends) or not ends[-1]:
        return {}
    parts = np.split(entropy_coder.decode_exact(data, (1, int(ends[-1]), 1)).ravel(), ends[:-1])
    return {band: (numbers, part) for (band, numbers), part in zip(found.items(), parts, strict=True) if len(numbers)}
