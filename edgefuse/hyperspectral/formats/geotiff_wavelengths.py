"""Wavelengths and FWHM of a TIFF file: band tags of rasterio's users, GDAL's IMAGERY domain, the ENVI domain that EnMAP-Box writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgefuse.hyperspectral.cube import as_nodata
from edgefuse.hyperspectral.formats.geotiff_bands import TiffBands
from edgefuse.hyperspectral.wavelengths import converted
from edgefuse.util.finite import finite

ENVI = "ENVI"  # GDAL's domain with the fields of an ENVI header; blanks of their names may be underscores
_READ = {"wavelength", "wavelength units", "fwhm", "data ignore value", "data gain values", "data offset values"}
_logger = logging.getLogger(__name__)


def spectral_fields(path: Path, bands: TiffBands) -> dict[str, Any]:
    """Return `wavelengths` and `fwhm` in nanometres, from the first tag that has them, and the other fields of the ENVI domain."""
    tags = [band.tags for band in bands.descriptions]
    fields = _waves(path, tags, "wavelength", "fwhm", tags[0].get("wavelength_units", "nanometers"))
    if not fields:
        fields = _waves(path, [band.imagery for band in bands.descriptions], "CENTRAL_WAVELENGTH_UM", "FWHM_UM", "um")
    header = envi_domain(bands.first.tags(ns=ENVI))
    if header:
        lists = {name: _list(header.get(name, ""), len(bands)) for name in _READ - {"wavelength units", "data ignore value"}}
        if not fields and lists["wavelength"]:
            as_tags = [{k: v[n] for k, v in lists.items() if v} for n in range(len(bands))]
            fields = _waves(path, as_tags, "wavelength", "fwhm", header.get("wavelength units", ""))
        for name, values in (("gain", lists["data gain values"]), ("offset", lists["data offset values"])):
            if numbers := _finite(values):
                fields[name] = numbers
        with suppress(KeyError, ValueError):
            fields["nodata"] = as_nodata(header["data ignore value"])
    return fields


def envi_domain(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of GDAL's ENVI domain as an ENVI header has them."""
    return {key.replace("_", " ").lower(): value.strip().removeprefix("{").removesuffix("}") for key, value in tags.items()}


def unread(tags: Mapping[str, str]) -> list[str]:
    """Return the names of fields in the ENVI domain that `spectral_fields` does not read."""
    return sorted(envi_domain(tags).keys() - _READ)


def _waves(path: Path, bands: Sequence[Mapping[str, str]], centre: str, width: str, unit: str) -> dict[str, Any]:
    centres = _finite([tags.get(centre, "") for tags in bands])
    waves = None if centres is None else converted(centres, unit)
    if waves is None:
        return {}
    for doubt in waves.doubts:
        _logger.warning("%s: %s", path, doubt)
    widths = _finite([tags.get(width, "") for tags in bands])
    return {"wavelengths": waves.values} | ({"fwhm": tuple(v * waves.scale for v in widths)} if widths else {})


def _list(text: str, count: int) -> list[str]:
    values = text.split(",")
    return values if len(values) == count and text.strip() else []


def _finite(values: Sequence[str]) -> tuple[float, ...] | None:
    try:
        return finite(values) if values else None
    except ValueError:
        return None
