"""EnMAP L2A: band metadata from the XML file beside the spectral image (DLR, "EnMAP L2A Product Specification")."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, finite
from edgefuse.util.files import is_file

_IMAGE, _XML = "-SPECTRAL_IMAGE", "-METADATA"
_FIELDS = {"wavelengths": "wavelengthCenterOfBand", "fwhm": "FWHMOfBand", "gain": "GainOfBand", "offset": "OffsetOfBand"}
_MAX_XML, _MAX_TAGS = 1 << 24, 1 << 18  # bytes of XML, and its tags: an element takes a hundred bytes of memory
_logger = logging.getLogger(__name__)


def metadata_name(image: Path) -> str:
    """Return the name ...-METADATA.XML for ...-SPECTRAL_IMAGE.TIF; empty for the names of other files."""
    start, separator, _ = image.name.upper().partition(_IMAGE)
    return image.name[: len(start)] + _XML + ".XML" if separator else ""


def metadata_of(image: Path) -> Path | None:
    """Return ...-METADATA.XML beside ...-SPECTRAL_IMAGE.TIF; None if the file is not an EnMAP image or has no metadata."""
    if name := metadata_name(image):
        for beside in (image.with_name(name), image.with_name(name[: -len(".XML")] + ".xml")):
            if is_file(beside):
                return beside
    return None


def describe(path: Path, info: CubeInfo) -> CubeInfo | None:
    """Add the XML's metadata to `info`; None if the XML is not EnMAP's but another product's of such names, as DESIS's is.

    Raises CubeError for invalid XML. Metadata of another number of bands is ignored with a warning.
    """
    from xml.etree import ElementTree

    try:
        with open(path, "rb") as f:
            data = f.read(_MAX_XML + 1)
        if len(data) > _MAX_XML or b"<!DOCTYPE" in data or b"<!ENTITY" in data or data.count(b"<") > _MAX_TAGS:
            raise CubeError(f"{path} is not EnMAP metadata: it is too large or defines entities")
        root = ElementTree.fromstring(data)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    except (ElementTree.ParseError, ValueError, LookupError) as e:
        raise CubeError(f"{path} can't be read as XML ({e}); remove it to read the samples alone") from None
    bands = sorted(root.iterfind(".//bandCharacterisation/bandID"), key=lambda b: int(b.get("number", "0") or 0))
    if not bands:
        return None
    if len(bands) != info.shape[2]:
        _logger.warning("%s describes %d bands of %d; ignoring their wavelengths", path, len(bands), info.shape[2])
        return info
    fields: dict[str, Any] = {"band_names": tuple(f"band {b.get('number')}" for b in bands)}
    for name, tag in _FIELDS.items():
        try:
            fields[name] = finite([b.findtext(tag, "") for b in bands])
        except ValueError:
            _logger.warning("%s: ignoring %s, which is not a number for each band", path, tag)
    background = root.findtext(".//specific/backgroundValue") or root.findtext(".//backgroundValue")
    if info.nodata is None and background:
        try:
            fields["nodata"] = int(background)
        except ValueError:
            _logger.warning("%s: ignoring backgroundValue, which is not an integer", path)
    return info.like(**fields)
