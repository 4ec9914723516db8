"""Degrees of an infrared frame's pixels: which of them have a temperature, and their mean."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.frames import Frame, Radiometry
from edgefuse.thermal import invalid


def known(law: Radiometry | None) -> bool:
    """Return whether counts can be converted to degrees."""
    return law is not None and law.scale is not None


def measurable(frame: Frame) -> NDArray[np.uint8] | None:
    """Return 1 where a pixel of a grey frame has a value, else 0; None where all have one.

    Without a value are pixels without a measurement (`edgefuse.thermal.invalid`), and those that no surface of the given emissivity
    explains, as they look colder than what it reflects alone.
    """
    counts: NDArray[Any] = frame.data
    if counts.dtype != np.uint16:
        return None
    alive, law = invalid.alive(counts), frame.radiometry
    if law is None or law.scale is None or law.correction is None:
        return alive
    first, last = _explained(replace(law, state="normal"))
    if int(counts.min(initial=last)) >= first and int(counts.max(initial=first)) <= last:
        return alive
    able = (counts >= first) & (counts <= last)
    return (able if alive is None else able & alive.view(bool)).view(np.uint8)


def mean(counts: NDArray[Any], chosen: NDArray[np.uint8] | None, law: Radiometry | None) -> float:
    """Return the mean of grey pixels' degrees Celsius, or of their counts without a known conversion.

    chosen: 1 where a pixel counts, at least one; None for all.
    """
    import cv2

    if law is None or law.scale is None:
        return float(cv2.mean(counts, chosen)[0])
    if law.correction is None:
        return float(cv2.mean(counts, chosen)[0]) * law.scale + law.offset
    # degrees are not linear in counts here, so the mean of the one is not the mean of the other
    picked = counts if chosen is None else counts[chosen.view(bool)]
    return float(_table(replace(law, state="normal"))[picked].mean())


@lru_cache(8)
def _table(law: Radiometry) -> NDArray[np.float64]:
    """Return degrees Celsius of every count; NaN where no surface gives it."""
    assert law.scale is not None
    assert law.correction is not None
    return law.correction.surface_celsius(np.arange(65536, dtype=np.float64) * np.float64(law.scale) + law.offset)


@lru_cache(8)
def _explained(law: Radiometry) -> tuple[int, int]:
    """Return the first and the last count that a surface can give; (65536, -1) for none."""
    there = np.flatnonzero(np.isfinite(_table(law)))
    return (int(there[0]), int(there[-1])) if there.size else (65536, -1)
