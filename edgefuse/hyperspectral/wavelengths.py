"""Converts wavelengths to nanometres and checks them: where no sensor covers the result, another unit is assumed, with a warning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from edgefuse.util.finite import finite

NANOMETRES = {
    "nanometers": 1.0, "nanometer": 1.0, "nanometres": 1.0, "nanometre": 1.0, "nm": 1.0,
    "micrometers": 1000.0, "micrometer": 1000.0, "micrometres": 1000.0, "micrometre": 1000.0, "microns": 1000.0, "micron": 1000.0,
    "um": 1000.0, "\N{MICRO SIGN}m": 1000.0, "\N{GREEK SMALL LETTER MU}m": 1000.0,
    "millimeters": 1e6, "mm": 1e6, "centimeters": 1e7, "cm": 1e7, "meters": 1e9, "meter": 1e9, "metres": 1e9, "m": 1e9,
    "angstroms": 0.1, "angstrom": 0.1, "\N{ANGSTROM SIGN}": 0.1, "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}".lower(): 0.1,
}  # fmt: skip
_UNKNOWN = "", "unknown", "none", "n/a", "-"
_LEAST, _MOST = 100.0, 100_000.0  # nanometres; what sensors cover
_DETECTORS = 8  # most detectors whose ranges overlap, so that wavelengths fall from one to the next


class Wavelengths(NamedTuple):
    """Wavelengths of the bands in nanometres."""

    values: tuple[float, ...]
    scale: float
    """Factor from the file's numbers to nanometres; FWHM have the same."""
    doubts: tuple[str, ...]
    """Warnings about assumptions and unusual values, one sentence each."""


def scale_of(unit: str) -> float | None:
    """Return the nanometres of a unit of length; None for any other unit, such as a wavenumber."""
    return NANOMETRES.get(" ".join(unit.lower().split()))


def is_unknown(unit: str) -> bool:
    """Return whether `unit` says that the unit is not known."""
    return unit.strip().lower() in _UNKNOWN


def converted(values: Sequence[float], unit: str) -> Wavelengths | None:
    """Convert wavelengths to nanometres; None for a unit that is not one of length. Raises ValueError for values that are not finite.

    Without a unit, or with a unit that gives wavelengths which no sensor covers, the magnitude decides the unit.
    """
    numbers = finite(values)
    scale = scale_of(unit)
    if scale is None and not is_unknown(unit):
        return None
    largest, doubts = max(numbers, default=0.0), []
    if scale is None:
        scale = 1.0 if largest >= _LEAST else 1000.0
    elif not _LEAST <= largest * scale <= _MOST:
        # a header that names one of the two usual units for numbers in the other
        likely = next((s for s in (1.0, 1000.0) if _LEAST <= largest * s <= _MOST), None)
        if likely is None or len(numbers) < 2:
            doubts.append(f"wavelengths up to {largest:g} {unit.strip()} are outside of what sensors cover")
        else:
            doubts.append(f"wavelengths up to {largest:g} can't be {unit.strip()}; taken for {'nm' if likely == 1 else 'micrometres'}")
            scale = likely
    result = tuple(v * scale for v in numbers)
    return Wavelengths(result, scale, (*doubts, *order_doubts(result)))


def order_doubts(values: Sequence[float]) -> list[str]:
    """Return a sentence if wavelengths neither rise nor fall, apart from a few detectors that follow one another."""
    steps = [b - a for a, b in pairwise(values)]
    against = min(sum(s < 0 for s in steps), sum(s > 0 for s in steps))
    if against >= max(2, min(_DETECTORS, len(values) // 8 + 1)):
        return [f"wavelengths are not sorted: {against} of {len(steps)} steps go against the others"]
    return []
