"""Ground control points and rational polynomial coefficients (RPC), which place a cube that has not been rectified.

They are texts in a cube's metadata, so that every format and .efz keep them. `rpc info` is ENVI's field: 93 numbers in its order. `gcps` is
a coordinate system, then for each point row, column, x, y and z: "EPSG:4326; 0.5 0.5 11.25 48.1 0.0; ...", rows and columns as GDAL counts
them, from the upper left corner of the upper left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edgefuse.util.finite import finite

RPC, POINTS = "rpc info", "gcps"
MOST_POINTS = 10_000
_SINGLE = (
    "LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF", "LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE",
)  # fmt: skip
_LISTS = "LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"
_TERMS = 20
_WHOLE = "0", "0", "1"  # row and column of the tile in its scene, and a flag, which end ENVI's field


class Points(NamedTuple):
    """Ground control points."""

    system: str
    """Coordinate system of x and y; empty if it is not known."""
    places: tuple[tuple[float, float, float, float, float], ...]
    """Row, column, x, y, z."""


def rpc_text(tags: Mapping[str, str]) -> str | None:
    """Return ENVI's field for GDAL's RPC tags, with their digits; None if one is missing or no number."""
    try:
        words = [tags[name].strip() for name in _SINGLE]
        for name in _LISTS:
            terms = tags[name].split()
            if len(terms) != _TERMS:
                return None
            words += terms
        finite(words)
    except (KeyError, ValueError):
        return None
    return ", ".join([*words, *_WHOLE])


def rpc_tags(text: str) -> dict[str, str] | None:
    """Return GDAL's RPC tags of ENVI's field; None if it is no such field."""
    words = text.strip("{} \n").replace("\n", " ").split(",")
    words = [word.strip() for word in words]
    count = len(_SINGLE) + _TERMS * len(_LISTS)
    try:
        finite(words)
    except ValueError:
        return None
    if len(words) not in (count, count + len(_WHOLE)):
        return None
    lists = [words[len(_SINGLE) + _TERMS * n :][:_TERMS] for n in range(len(_LISTS))]
    return dict(zip(_SINGLE, words, strict=False)) | {name: " ".join(terms) for name, terms in zip(_LISTS, lists, strict=True)}


def points_text(system: str, places: Iterable[Sequence[float]]) -> str:
    """Return the field of ground control points: row, column, x, y, z each."""
    return "; ".join([system.replace(";", " "), *(" ".join(repr(float(v)) for v in place) for place in places)])


def points(text: str) -> Points | None:
    """Parse `points_text`; None for any other text."""
    system, *listed = text.strip("{} \n").split(";")
    try:
        places = [finite(item.split()) for item in listed]
        found = tuple((row, column, x, y, z) for row, column, x, y, z in places)
    except ValueError:
        return None
    return Points(system.strip(), found) if found else None


def moved(metadata: Mapping[str, str], row: int, column: int) -> dict[str, str]:
    """Return the two fields for a window that begins at `row` and `column`; fields that can't be read are left out."""
    fields: dict[str, str] = {}
    if (tags := rpc_tags(metadata.get(RPC, ""))) is not None:
        tags |= {name: repr(float(tags[name]) - first) for name, first in (("LINE_OFF", row), ("SAMP_OFF", column))}
        fields[RPC] = rpc_text(tags) or ""
    if (found := points(metadata.get(POINTS, ""))) is not None:
        fields[POINTS] = points_text(found.system, ((p[0] - row, p[1] - column, *p[2:]) for p in found.places))
    return fields
