"""A part of a cube as a cube: some rows, columns and bands of a source, perhaps with other wavelengths than its file states."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.cube import finite
from edgefuse.hyperspectral.formats.base import CubeSource, WrappedSource

_MOST_BYTES = 1 << 22  # of a file of wavelengths


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a cube is meant. Slices as Python's, without step; None: all. wavelengths: file with one wavelength a band, nanometres."""

    window: tuple[slice, slice] | None = None
    bands: slice | None = None
    wavelengths: Path | None = None

    def of(self, source: CubeSource) -> CubeSource:
        """Return the chosen part of a cube; the cube itself if all of it is meant. Raises CubeError, SettingsError."""
        if not any((self.window, self.bands, self.wavelengths)):
            return source
        return PartSource(source, self)


class PartSource(WrappedSource):
    """The chosen part of the cube `source`."""

    def __init__(self, source: CubeSource, choice: Choice) -> None:
        """Raises SettingsError for an empty window, CubeError for wavelengths that do not fit."""
        super().__init__(source)
        info = source.info
        if choice.wavelengths is not None:
            info = info.like(wavelengths=_fitting(read_wavelengths(choice.wavelengths), info.shape[2], choice.wavelengths), fwhm=None)
        wanted = *(choice.window or (slice(None), slice(None))), choice.bands or slice(None)
        self._first = tuple(s.indices(n)[0] for s, n in zip(wanted, source.shape, strict=True))
        rows, columns, bands = (slice(*s.indices(n)[:2]) for s, n in zip(wanted, source.shape, strict=True))
        if min(s.stop - s.start for s in (rows, columns, bands)) < 1:
            raise SettingsError(f"{source.path} has {' x '.join(map(str, source.shape))} rows, columns and bands: the window is empty")
        self.info = info.part(rows, columns, bands)

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        moved = (slice(s.start + n, s.stop + n) for s, n in zip((rows, columns, bands), self._first, strict=True))
        return self._source.read(*moved)


def read_wavelengths(path: Path) -> tuple[float, ...]:
    """Read numbers separated by blanks, commas, semicolons or lines; text after # is a comment. Raises CubeError."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    words = re.sub(r"#[^\n]*", " ", text).replace(",", " ").replace(";", " ").split()
    try:
        found = finite(words)
    except ValueError:
        raise CubeError(f"{path} is no list of wavelengths: give a number for each band, in nanometres") from None
    if len(text) > _MOST_BYTES or not found or min(found) <= 0:
        raise CubeError(f"{path} is no list of wavelengths: give a number above 0 for each band, in nanometres")
    return found


def _fitting(values: Sequence[float], bands: int, path: Path) -> tuple[float, ...]:
    if len(values) != bands:
        raise CubeError(f"{path} has {len(values)} wavelengths, and the cube {bands} bands")
    return tuple(values)
