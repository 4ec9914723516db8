"""EnMAP and DESIS: band metadata from the XML file beside the spectral image, whose names are alike.

DLR, "EnMAP HSI Level 1B/1C/2A Product Specification", "DESIS Products Definition"; DESIS's wavelengths and widths are in nanometres, too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.util.files import is_file
from edgefuse.util.finite import finite

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_IMAGE, _XML = "-SPECTRAL_IMAGE", "-METADATA"
# element of a band, and the elements in it
_PRODUCTS = {
    "EnMAP": (
        "bandID",
        {"wavelengths": "wavelengthCenterOfBand", "fwhm": "FWHMOfBand", "gain": "GainOfBand", "offset": "OffsetOfBand"},
    ),
    "DESIS": (
        "band",
        {"wavelengths": "wavelengthCenterOfBand", "fwhm": "wavelengthWidthOfBand", "gain": "gainOfBand", "offset": "offsetOfBand"},
    ),
}
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


class Described(NamedTuple):
    """A cube's metadata, and the name of the product that they are of."""

    info: CubeInfo
    product: str


def describe(path: Path, info: CubeInfo) -> Described | None:
    """Add the XML's metadata to `info`; None if the XML is another product's of such a name.

    Raises CubeError for invalid XML. Metadata of another number of bands is ignored with a warning.
    """
    root = _parsed(path)
    for product, (tag, fields) in _PRODUCTS.items():
        bands = sorted(root.iterfind(f".//bandCharacterisation/{tag}"), key=_number)
        if bands:
            return Described(_described(path, root, bands, fields, info), product)
    return None


def _parsed(path: Path) -> Element:
    from xml.etree import ElementTree

    try:
        with open(path, "rb") as f:
            data = f.read(_MAX_XML + 1)
        if len(data) > _MAX_XML or b"<!DOCTYPE" in data or b"<!ENTITY" in data or data.count(b"<") > _MAX_TAGS:
            raise CubeError(f"{path} is no product's metadata: it is too large or defines entities")
        return ElementTree.fromstring(data)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    except (ElementTree.ParseError, ValueError, LookupError) as e:
        raise CubeError(f"{path} can't be read as XML ({e}); remove it to read the samples alone") from None


def _number(band: Element) -> int:
    """Return a band's number: EnMAP's attribute, DESIS's element."""
    text = (band.get("number") or band.findtext("bandNumber") or "").strip()
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _described(path: Path, root: Element, bands: Sequence[Element], tags: Mapping[str, str], info: CubeInfo) -> CubeInfo:
    if len(bands) != info.shape[2]:
        _logger.warning("%s describes %d bands of %d; ignoring their wavelengths", path, len(bands), info.shape[2])
        return info
    fields: dict[str, Any] = {"band_names": tuple(f"band {_number(b)}" for b in bands)}
    for name, tag in tags.items():
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
