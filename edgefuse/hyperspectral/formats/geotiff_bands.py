"""Bands of a TIFF file: those of its pages together, without an alpha band; which pixels its masks declare valid, and what is not read."""

from __future__ import annotations

import math
import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral import bounded_json, ground_control
from edgefuse.hyperspectral.cube import CubeInfo, can_hold
from edgefuse.hyperspectral.formats.tiff_pages import Page

_MOST_OPEN = 256  # pages that are open at once; opening one takes 3 ms
_MOST_BANDS = 65535
_MAX_BLOCK = 1 << 27  # bytes; GDAL decodes strips and tiles completely into memory
_MOST_WITH_ALPHA = 8  # bands of an image; a hyperspectral cube has more
_CANDIDATES = 256  # values that are tried for missing samples
_STRIP_BYTES = 1 << 22
# what GDAL makes up from what EdgeFuse reads, or says of the file's structure
_NAMESPACES = {
    "", "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "EDGEFUSE", "IMAGERY", "ENVI", "RPC", "xml:ESRI", "COLOR_PROFILE",
}  # fmt: skip
_BAND_TAGS = re.compile(r"wavelength|wavelength_units|fwhm|STATISTICS_.*|CENTRAL_WAVELENGTH_UM|FWHM_UM")


def _checked(path: Path, dataset: Any) -> Any:
    """Return `dataset`. Raises CubeError for a type that NumPy lacks, and if a strip or tile is too large for memory.

    A small file may declare one of gigabytes.
    """
    together = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
    for (height, width), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        if dtype.startswith("complex_int"):  # of GDAL; NumPy has no such type
            raise CubeError(f"{path}: complex numbers are not read ({dtype}); give magnitudes")
        size = height * width * together * np.dtype(dtype).itemsize
        if size > _MAX_BLOCK:
            raise CubeError(
                f"{path}: its strips or tiles of {height} x {width} pixels take {size / 1e6:.0f} MB each, more than "
                f"{_MAX_BLOCK / 1e6:.0f} MB; write it with smaller ones: gdal_translate -co TILED=YES"
            )
    return dataset


@dataclass(frozen=True)
class BandDescription:
    """Metadata of one band of a TIFF file. imagery: tags of GDAL's namespace IMAGERY."""

    tags: dict[str, str]
    imagery: dict[str, str]
    name: str | None
    scale: float
    offset: float
    unit: str | None


class TiffBands:
    """Bands of a TIFF file in the order of its pages. first: rasterio's dataset of the first page; descriptions: one of each band."""

    def __init__(self, rasterio: Any, path: Path, pages: list[Page], alpha: int = 0, driver: str = "GTiff") -> None:
        """alpha: number of the band to use as alpha band if the file declares none; 0: none. driver: of GDAL, the only one that is tried.

        Raises CubeError for bands of several types, rasterio's errors for other faults.
        """
        self._rasterio, self._path = rasterio, path
        # allow no other driver: a hostile .tif may be a GDAL dataset description that refers to URLs
        self.first = _checked(path, rasterio.open(os.fspath(path), driver=driver))
        self._open: OrderedDict[int, Any] = OrderedDict()
        if len(set(self.first.dtypes)) != 1:
            raise CubeError(f"{path}: its bands have several types ({', '.join(sorted(set(self.first.dtypes)))}); convert them to one")
        kind = rasterio.enums.ColorInterp.alpha
        self.alpha = next((n for n, c in zip(self.first.indexes, self.first.colorinterp, strict=True) if c == kind), alpha)
        self.likely_alpha = 0 if self.alpha else self._undeclared_alpha()
        self._indexes = [n for n in self.first.indexes if n != self.alpha]
        if not self._indexes:
            raise CubeError(f"{path} has an alpha band and no other")
        flags, per_dataset = self.first.mask_flag_enums[0], rasterio.enums.MaskFlags.per_dataset
        self.masked = not self.alpha and per_dataset in flags
        self.unlike = 0
        # per band of the cube: number of its page, 0 for the first, and its number there
        self._places = [(0, n) for n in self._indexes]
        self.descriptions = self._described(self.first)
        for page in pages[1:]:
            if not (page.is_mask or page.is_overview):
                self._add(page)

    def _undeclared_alpha(self) -> int:
        """Return the number of the last of a few bands if it holds 0 and the type's maximum and nothing else, as an alpha band does; or 0.

        GDAL loses what a band means where that is said after the samples were written. A mask of water or clouds looks the same, so it is
        kept as a band unless the user of the cube decides otherwise.
        """
        last, dtype = self.first.count, np.dtype(self.first.dtypes[0])
        if not 2 <= last <= _MOST_WITH_ALPHA or dtype.kind != "u" or any(self.first.descriptions):
            return 0
        most, present = np.iinfo(dtype).max, set()
        for _, window in self.first.block_windows(last):
            values = np.unique(self.first.read(last, window=window))
            if not np.isin(values, (0, most)).all():
                return 0
            present |= set(values.tolist())
        return last if present == {0, most} else 0

    def _add(self, page: Page) -> None:
        dataset, first = self._dataset(page.number), self.first
        if (dataset.width, dataset.height, dataset.dtypes) != (first.width, first.height, first.dtypes):
            self.unlike += 1
            return
        self._places += [(page.number, n) for n in self._indexes]
        self.descriptions += self._described(dataset)
        if len(self._places) > _MOST_BANDS:
            raise CubeError(f"{self._path} has more than {_MOST_BANDS} bands in its pages")

    def _dataset(self, number: int) -> Any:
        """Return the dataset of a page; the pages used least recently are closed."""
        if not number:
            return self.first
        if number not in self._open:
            if len(self._open) == _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[number] = _checked(self._path, self._rasterio.open(f"GTIFF_DIR:{number}:{os.fspath(self._path)}", driver="GTiff"))
        self._open.move_to_end(number)
        return self._open[number]

    def __len__(self) -> int:
        return len(self._places)

    def _described(self, dataset: Any) -> list[BandDescription]:
        names, scales, offsets, units = dataset.descriptions, dataset.scales, dataset.offsets, dataset.units
        return [
            BandDescription(dataset.tags(n), dataset.tags(n, ns="IMAGERY"), names[n - 1], scales[n - 1], offsets[n - 1], units[n - 1])
            for n in self._indexes
        ]

    def read(self, out: NDArray[Any], rows: slice, columns: slice, bands: slice) -> None:
        """Read a window into `out` (rows, columns, bands)."""
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        places, done = self._places[bands], 0
        while done < len(places):
            page = places[done][0]
            indexes = [n for number, n in places[done:] if number == page]
            out[:, :, done : done + len(indexes)] = self._dataset(page).read(indexes, window=window).transpose(1, 2, 0)
            done += len(indexes)

    def valid(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Return the valid pixels of a window by the mask or the alpha band."""
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        mask: NDArray[Any] = self.first.read(self.alpha, window=window) if self.alpha else self.first.read_masks(1, window=window)
        return mask != 0

    @property
    def palette(self) -> bool:
        """Whether the first band has a colour table."""
        try:
            return bool(self.first.colormap(1))
        except ValueError:
            return False

    def missing(self, info: CubeInfo) -> float | None:
        """Return the value for samples that a mask declares missing; None without a mask, or if every value of the type is in use."""
        if not (self.masked or self.alpha):
            return None
        if can_hold(info.dtype, info.nodata):
            return info.nodata
        if info.dtype.kind in "fc":
            return math.nan
        free = _candidates(info.dtype)
        step = max(1, _STRIP_BYTES // (info.shape[1] * info.shape[2] * info.dtype.itemsize))
        columns = slice(0, info.shape[1])
        for top in range(0, info.shape[0], step):
            rows = slice(top, min(top + step, info.shape[0]))
            samples = np.empty((rows.stop - rows.start, *info.shape[1:]), info.dtype)
            self.read(samples, rows, columns, slice(0, info.shape[2]))
            free = free[~np.isin(free, samples[self.valid(rows, columns)])]
        return int(free[0]) if len(free) else None

    def close(self) -> None:
        for dataset in (*self._open.values(), self.first):
            dataset.close()


def _candidates(dtype: np.dtype[Any]) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    count = min(_CANDIDATES, limits.max - limits.min + 1)
    # 0 is what most types can hold, so that it stays the same in a cube of another one
    return np.array(
        [*range(limits.min, limits.min + count)] if dtype.kind == "i" else [0, *range(limits.max, limits.max - count + 1, -1)], dtype
    )


def unkept(bands: TiffBands, pages: list[Page], missing: float | None) -> list[str]:
    """Return descriptions of a TIFF file's contents other than the cube that is read from it."""
    first = bands.first
    lost = [f"{bands.unlike} further pages of another size or type"] if bands.unlike else []
    lost += _promised(first.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""), len(bands), (first.height, first.width))
    if bands.masked:
        lost.append("the values under its mask" if missing is not None else "its mask, as every value of its type is in use")
    if bands.alpha:
        lost.append(f"band {bands.alpha}, which says which pixels are opaque (alpha)")
    if len(first.gcps[0]) > ground_control.MOST_POINTS:
        lost.append(f"{len(first.gcps[0])} ground control points")
    if first.rpcs is not None and ground_control.rpc_text(first.tags(ns="RPC")) is None:
        lost.append("rational polynomial coefficients (RPC)")
    if len({str(v) for v in first.nodatavals}) > 1:
        lost.append("no-data values that differ by band")
    if any(band.unit for band in bands.descriptions):
        lost.append("units of its bands")
    if bands.palette:
        lost.append("a colour table")
    others = [n for n in first.tag_namespaces() if n not in _NAMESPACES]
    if others:
        lost.append(f"metadata of the namespaces {', '.join(others[:8])}")
    keys = {key for band in bands.descriptions for key in band.tags if not _BAND_TAGS.fullmatch(key)}
    if keys:
        lost.append(f"metadata of single bands: {', '.join(sorted(keys)[:8])}")
    tags = {name for page in pages for name in page.unknown_tags}
    if tags:
        lost.append(f"TIFF tags: {', '.join(sorted(tags)[:8])}")
    return lost


def _promised(description: str, bands: int, size: tuple[int, int]) -> list[str]:
    """Return a note if ImageJ's or tifffile's description promises more bands than there are pages: they may store images without pages."""
    if description.startswith("ImageJ=") and (match := re.search(r"^images=(\d{1,9})$", description, re.MULTILINE)):
        return [f"{int(match[1]) - bands} of {match[1]} images, which have no pages of their own"] if int(match[1]) > bands else []
    try:
        shape = bounded_json.loads(description)["shape"]
        samples = math.prod(int(n) for n in shape)
    except (ValueError, TypeError, KeyError, OverflowError):
        return []
    return [f"samples: its description says {shape}"] if samples > bands * size[0] * size[1] else []
