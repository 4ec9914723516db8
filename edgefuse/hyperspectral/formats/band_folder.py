"""A folder with one file a band, as one cube: Hyperion L1T and L1Gst (EO1H..._B008_L1T.TIF), Sentinel-2 (..._B8A_20m.jp2), Landsat.

The files are TIFF or JPEG 2000, of one size, type and place. Their names are alike but for the band: `B` and its number, perhaps with a
letter. Where a folder has bands of several pixel sizes, one is chosen by `--dataset 20m`. Of Sentinel-2's .SAFE, the folders with the bands
are found below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats.base import CubeSource

_BAND = re.compile(r"(?:^|[_-])B(\d{1,4})(A?)(?=[_.-])", re.IGNORECASE)
_SUFFIXES = ".tif", ".tiff", ".jp2"
_LEAST, _MOST = 2, 1024  # files of a cube
_SAFE = "GRANULE/*/IMG_DATA/R*m", "GRANULE/*/IMG_DATA"  # Sentinel-2 L2A, L1C


class _Band(NamedTuple):
    order: tuple[int, str]
    path: Path
    rest: str
    """The name without the band."""


def _bands(folder: Path) -> list[_Band]:
    """Return the files of the most bands whose names are alike, in the order of the bands."""
    groups: dict[str, dict[tuple[int, str], Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _BAND.search(path.name)
        if match and path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
            rest = path.name[: match.start()] + path.name[match.end() :]
            groups.setdefault(rest, {})[int(match[1]), match[2].upper()] = path
    if not groups:
        return []
    rest = max(groups, key=lambda name: (len(groups[name]), name))
    return [_Band(order, path, rest) for order, path in sorted(groups[rest].items())]


def is_one(folder: Path) -> bool:
    """Return whether a folder holds one file a band."""
    try:
        return any(len(_bands(place)) >= _LEAST for place in _folders(folder))
    except OSError:
        return False


def _folders(folder: Path) -> list[Path]:
    below = next((folders for pattern in _SAFE if (folders := sorted(folder.glob(pattern)))), [])
    return below if folder.suffix.upper() == ".SAFE" else [folder]


class BandFolderSource(CubeSource):
    """A folder with one file a band. `path` is the folder."""

    form = "folder of bands"

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        """dataset: side of the pixels, as "20m", where there are several. Raises CubeError if the files are no cube."""
        self.path = path
        try:
            bands = [band for folder in _folders(path) for band in _bands(folder)]
        except OSError as e:
            raise CubeError(f"cannot list {e.filename}: {e.strerror}") from None
        if not _LEAST <= len(bands) <= _MOST:
            raise CubeError(
                f"cannot read {path}: it is a folder with {len(bands)} files of single bands (NAME_B01.tif, ...); "
                "give a file, or a folder of such files"
            )
        self._sources: list[CubeSource] = []
        try:
            self._open(bands, dataset)
        except BaseException:
            self.close()
            raise

    def _open(self, bands: Iterable[_Band], dataset: str | None) -> None:
        from edgefuse.hyperspectral.formats import open_cube

        by_pixels: dict[str, list[tuple[_Band, CubeSource]]] = {}
        for band in bands:
            source = open_cube(band.path)
            self._sources.append(source)
            if source.shape[2] == 1:
                by_pixels.setdefault(_side(source.info), []).append((band, source))
        wanted = dataset or (next(iter(by_pixels)) if len(by_pixels) == 1 else "")
        if wanted not in by_pixels:
            there = ", ".join(f"{name or 'unknown'} ({len(group)} bands)" for name, group in by_pixels.items()) or "none of one band"
            raise CubeError(f"{self.path}: its bands have pixels of {there}; give --dataset with one of them, as --dataset 20m")
        chosen = sorted(by_pixels[wanted], key=lambda item: item[0].order)
        for _, source in [item for name, group in by_pixels.items() if name != wanted for item in group]:
            source.close()
        self._sources = [source for _, source in chosen]
        self.info = _together(self.path, [(band, source.info) for band, source in chosen])
        self.unkept = tuple(dict.fromkeys(what for source in self._sources for what in source.unkept))

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for source in self._sources for file in source.files)

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        out = np.empty([s.stop - s.start for s in (rows, columns, bands)], self.dtype)
        for number, source in enumerate(self._sources[bands]):
            out[:, :, number] = source.read(rows, columns, slice(0, 1))[..., 0]
        return out

    def close(self) -> None:
        for source in self._sources:
            source.close()


def _name(band: _Band) -> str:
    number, letter = band.order
    return f"B{number}{letter}" if letter else f"B{number:02d}"


def _side(info: CubeInfo) -> str:
    """Return the side of the pixels, as "20m"; empty if it is not known."""
    where = info.georeference
    return "" if where is None else f"{abs(where.transform[0]):g}m"


def _together(path: Path, bands: list[tuple[_Band, CubeInfo]]) -> CubeInfo:
    """Return the metadata of the bands as one cube. Raises CubeError where they do not fit together."""
    first_band, first = bands[0]
    for band, info in bands[1:]:
        for what, a, b in (
            ("size", first.shape, info.shape), ("type", first.dtype, info.dtype), ("place", first.georeference, info.georeference),
            ("no-data value", str(first.nodata), str(info.nodata)),
        ):  # fmt: skip
            if a != b:
                raise CubeError(f"{path}: {band.path.name} has another {what} than {first_band.path.name}; the bands are no cube")
    gain, offset = ([float((getattr(info, name) or (neutral,))[0]) for _, info in bands] for name, neutral in (("gain", 1), ("offset", 0)))
    scaled = set(gain) != {1.0} or set(offset) != {0.0}
    return first.like(
        shape=(*first.shape[:2], len(bands)), wavelengths=None, fwhm=None, metadata={"files": first_band.rest},
        band_names=tuple(_name(band) for band, _ in bands), gain=tuple(gain) if scaled else None,
        offset=tuple(offset) if scaled else None,
    )  # fmt: skip
