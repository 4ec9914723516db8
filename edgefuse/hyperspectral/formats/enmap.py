"""EnMAP L2A: what the XML file beside the spectral image says of its bands
(DLR, "EnMAP L2A Product Specification")."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, finite

_IMAGE, _XML = "-SPECTRAL_IMAGE", "-METADATA"
_FIELDS = {"wavelengths": "wavelengthCenterOfBand", "fwhm": "FWHMOfBand", "gain": "GainOfBand", "offset": "OffsetOfBand"}
_LARGEST = 1 << 26  # bytes of XML
_logger = logging.getLogger(__name__)


def metadata_of(image: Path) -> Path | None:
    """...-METADATA.XML beside ...-SPECTRAL_IMAGE.TIF; None where the file is no EnMAP image or has none."""
    start, found, _ = image.name.upper().partition(_IMAGE)
    if not found:
        return None
    for suffix in (".XML", ".xml"):
        beside = image.with_name(image.name[: len(start)] + _XML + suffix)
        if beside.is_file():
            return beside
    return None


def describe(path: Path, info: CubeInfo) -> CubeInfo:
    """`info` with what the XML says. Raises CubeError for XML that can't be read; a list of another length is left out with a warning."""
    from xml.etree import ElementTree

    try:
        with open(path, "rb") as f:
            data = f.read(_LARGEST + 1)
        if len(data) > _LARGEST or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise CubeError(f"{path} is no metadata of EnMAP: too large, or it defines entities")
        root = ElementTree.fromstring(data)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    except (ElementTree.ParseError, ValueError, LookupError) as e:
        raise CubeError(f"{path} can't be read as XML ({e}); remove it to read the samples alone") from None
    bands = sorted(root.iterfind(".//bandCharacterisation/bandID"), key=lambda b: int(b.get("number", "0") or 0))
    if len(bands) != info.shape[2]:
        _logger.warning("%s describes %d bands of %d; their wavelengths are left out", path, len(bands), info.shape[2])
        return info
    found: dict[str, Any] = {"band_names": tuple(f"band {b.get('number')}" for b in bands)}
    for name, tag in _FIELDS.items():
        try:
            found[name] = finite([b.findtext(tag, "") for b in bands])
        except ValueError:
            _logger.warning("%s: %s is not a number for each band, and left out", path, tag)
    background = root.findtext(".//specific/backgroundValue") or root.findtext(".//backgroundValue")
    if info.nodata is None and background:
        try:
            found["nodata"] = int(background)
        except ValueError:
            _logger.warning("%s: backgroundValue is no whole number, and left out", path)
    return info.like(**found)
