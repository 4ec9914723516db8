"""What of a cube file is read: `Choice`, the same for all commands and for Python. A part of a cube is a cube, too."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.cube import CubeInfo, as_nodata, can_hold
from edgefuse.hyperspectral.formats import open_cube
from edgefuse.hyperspectral.formats.base import CubeSource, WrappedSource
from edgefuse.hyperspectral.quality import AUTO, nodata_of
from edgefuse.util.finite import finite

if TYPE_CHECKING:
    from edgefuse.hyperspectral.formats.hdf5_conventions import Order

_logger = logging.getLogger(__name__)
_MOST_BYTES = 1 << 22  # of a file of wavelengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a cube file is meant, and what the file does not say, or says wrongly.

    dataset: name of the array in it. axes: the cube's axis of each axis in the file (formats/axes.py). nodata: value of missing samples as
    text, or "auto". wavelengths: one a band in nanometres, or a file with them. window (rows, columns), bands: slices as Python's, without
    step; None: all. orthorectify: on the map's grid, by the file's lookup table. references: as
    reflectance, by the dark and white references beside it (formats/references.py).
    """

    dataset: str | None = None
    axes: Order | None = None
    nodata: str | None = None
    wavelengths: Path | tuple[float, ...] | None = None
    window: tuple[slice, slice] | None = None
    bands: slice | None = None
    orthorectify: bool = False
    references: bool = False

    @property
    def given(self) -> bool:
        """Whether anything is chosen."""
        return self != ALL

    def opened(self, path: Path, header: Path | None = None) -> CubeSource:
        """Open a file; `of` then gives the chosen part. Raises CubeError, MissingDependencyError."""
        source = open_cube(path, self.dataset, header, self.axes)
        try:
            if self.references:
                from edgefuse.hyperspectral.formats.references import ReflectanceSource

                source = ReflectanceSource(source)
            return source.orthorectified() if self.orthorectify else source
        except BaseException:
            source.close()
            raise

    def of(self, source: CubeSource, owned: bool = False) -> CubeSource:
        """Return the chosen part of a cube; the cube itself if all of it is meant. Raises CubeError, SettingsError.

        owned: closing the part closes the cube, and so does an error.
        """
        if all(wanted is None for wanted in (self.nodata, self.wavelengths, self.window, self.bands)):
            return source
        try:
            return PartSource(source, self, owned)
        except BaseException:
            if owned:
                source.close()
            raise

    def as_json(self) -> dict[str, Any]:
        """Return what was chosen, for a record of it; of a file of wavelengths its name and checksum."""
        waves = self.wavelengths
        if isinstance(waves, Path):
            waves = (str(waves), hashlib.sha256(repr(read_wavelengths(waves)).encode()).hexdigest()[:16])  # type: ignore[assignment]
        spans = {"window": self.window, "bands": None if self.bands is None else (self.bands,)}
        fields: dict[str, Any] = {"dataset": self.dataset, "axes": self.axes, "nodata": self.nodata, "wavelengths": waves}
        fields |= {name: True for name in ("orthorectify", "references") if getattr(self, name)}
        fields |= {name: None if span is None else [[s.start, s.stop] for s in span] for name, span in spans.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items() if value is not None}


ALL = Choice()
"""All of a file, as it says itself."""


def declared(source: CubeSource, nodata: str | None) -> CubeInfo:
    """Return a cube's metadata with the no-data value that a user named. Raises CubeError if no sample can be it, SettingsError.

    nodata: a number as text, None for the file's own, or "auto" for the likeliest fill value where the file declares none.
    """
    value = nodata_of(nodata)
    if nodata == AUTO and source.info.nodata is None:
        from edgefuse.hyperspectral.fills import likely_fills, named

        if fills := likely_fills(source):
            value = as_nodata(fills[0].value)
            _logger.warning("%s: %s taken for missing", source.path, named(fills[:1]))
    if value is None:
        return source.info
    info = source.info.like(nodata=value)
    if not can_hold(info.dtype, info.nodata):
        raise CubeError(f"{source.path}: samples of type {info.dtype} can't be {value:g}, so none is missing; omit --nodata")
    return info


class PartSource(WrappedSource):
    """The chosen part of the cube `source`."""

    def __init__(self, source: CubeSource, choice: Choice, owned: bool = False) -> None:
        """Raises SettingsError for an empty window, CubeError for wavelengths or a no-data value that do not fit."""
        super().__init__(source)
        self._owned = owned
        info = declared(source, choice.nodata)
        if choice.wavelengths is not None:
            info = info.like(wavelengths=_fitting(choice.wavelengths, info.shape[2]), fwhm=None)
        wanted = *(choice.window or (slice(None), slice(None))), choice.bands or slice(None)
        self._first = tuple(s.indices(n)[0] for s, n in zip(wanted, source.shape, strict=True))
        rows, columns, bands = (slice(*s.indices(n)[:2]) for s, n in zip(wanted, source.shape, strict=True))
        if min(s.stop - s.start for s in (rows, columns, bands)) < 1:
            raise SettingsError(f"{source.path} has {' x '.join(map(str, source.shape))} rows, columns and bands: the window is empty")
        self.info = info.part(rows, columns, bands)

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        moved = (slice(s.start + n, s.stop + n) for s, n in zip((rows, columns, bands), self._first, strict=True))
        return self._source.read(*moved)

    def close(self) -> None:
        if self._owned:
            self._source.close()


def parsed_range(text: str) -> slice:
    """Return the slice of START:STOP, either of which may be left out. Raises SettingsError."""
    match = re.fullmatch(r"(\d{0,9}):(\d{0,9})", text.strip())
    if not match:
        raise SettingsError(f"{text!r}: expected START:STOP, as 10:20")
    start, stop = (int(n) if n else None for n in match.groups())
    return slice(start, stop)


def parsed_window(text: str) -> tuple[slice, slice]:
    """Return the rows and columns of R:R,C:C. Raises SettingsError."""
    rows, comma, columns = text.partition(",")
    if not comma:
        raise SettingsError(f"{text!r}: expected rows, then columns, as 100:164,200:264")
    return parsed_range(rows), parsed_range(columns)


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


def _fitting(given: Path | tuple[float, ...], bands: int) -> tuple[float, ...]:
    """Return the wavelengths that are given for `bands` bands. Raises CubeError."""
    values, name = (read_wavelengths(given), str(given)) if isinstance(given, Path) else (given, "the list")
    if len(values) != bands:
        raise CubeError(f"{name} has {len(values)} wavelengths, and the cube {bands} bands")
    return tuple(values)
