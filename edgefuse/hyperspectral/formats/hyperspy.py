"""HyperSpy's files (.hspy): an experiment's `data`, and a group `axis-0`, `axis-1`, ... beside it for each axis of the array."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.formats.hdf5_checks import attribute, inside, text_of
from edgefuse.hyperspectral.wavelengths import converted

_AXIS = {"_type", "index_in_array", "is_binned", "name", "navigate", "offset", "scale", "size", "units"}
_TEXTS = "General", "Signal"  # groups of the metadata whose texts are kept
_NONE = "_None_"
_MOST_BANDS = 65535
_logger = logging.getLogger(__name__)


class Axis(NamedTuple):
    """An axis of the array."""

    name: str
    spectral: bool
    """Whether it is an axis of the signal, and not of the places where signals were taken."""
    unit: str
    values: NDArray[np.float64] | None
    """None where they are not numbers."""
    variable: str
    """Name of the dataset with the values; empty for regular ones."""


class Signal(NamedTuple):
    """What a file says of a dataset with three axes."""

    bands: int
    """Number of the axis of the bands; the other two are rows and columns, in this order."""
    fields: dict[str, Any]
    texts: dict[str, str]
    variables: set[str]
    attributes: set[str]


def read(path: Path, file: Any, dataset: Any) -> Signal | None:
    """Return what HyperSpy's axes and metadata say; None for another program's dataset, and where the axes do not tell the bands."""
    folder = str(dataset.name).strip("/").rpartition("/")[0]
    axes = [_axis(file, f"{folder}/axis-{number}", dataset.shape[number]) for number in range(3)]
    known = [axis for axis in axes if axis is not None]
    if len(known) != 3 or not str(dataset.name).endswith("/data"):
        return None
    # a spectrum at each place, or a stack of images
    kinds = [axis.spectral for axis in known]
    if sum(kinds) not in (1, 2):
        return None
    bands = kinds.index(sum(kinds) == 1)
    chosen, fields = known[bands], dict[str, Any]()
    texts, attributes = _texts(file, f"{folder}/metadata")
    named = {axis.name.lower() for axis in known}
    for number, axis in enumerate(known):
        if number != bands or not (chosen.spectral and _wavelengths(path, chosen, fields)):
            texts |= _text(axis, number, len(named) == 3)
    used = {axis.variable for axis in known if axis.variable}
    return Signal(bands, fields, texts, used, attributes | _AXIS)


def _axis(file: Any, place: str, size: int) -> Axis | None:
    group = inside(file, place)
    if group is None or not hasattr(group, "attrs"):
        return None
    name, unit = (("" if (text := text_of(attribute(group, key)) or "") == _NONE else text) for key in ("name", "units"))
    navigate = attribute(group, "navigate")
    if navigate is None:
        return None
    item = inside(file, f"{place}/axis")
    values, variable = None, ""
    if item is not None and getattr(item, "shape", None) == (size,) and size <= _MOST_BANDS and item.dtype.kind in "uif":
        values, variable = np.asarray(item[()], np.float64), f"{place}/axis"
    elif (offset := _number(group, "offset")) is not None and (scale := _number(group, "scale")) is not None:
        values = offset + scale * np.arange(min(size, _MOST_BANDS), dtype=np.float64)
    return Axis(name, not bool(navigate), unit, values, variable)


def _number(group: Any, key: str) -> float | None:
    try:
        value = float(text_of(attribute(group, key)) or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _wavelengths(path: Path, axis: Axis, fields: dict[str, Any]) -> bool:
    """Add the wavelengths of the spectral axis to `fields`; return False where it has none, such as one of energies."""
    try:
        found = None if axis.values is None or not axis.unit else converted(axis.values.tolist(), axis.unit)
    except ValueError:
        found = None
    if found is None or min(found.values, default=0.0) <= 0:
        return False
    fields["wavelengths"] = found.values
    for doubt in found.doubts:
        _logger.warning("%s: %s", path, doubt)
    return True


def _text(axis: Axis, number: int, named: bool) -> dict[str, str]:
    """Return an axis as a text of the metadata; none where its values only count."""
    if (
        axis.values is None
        or not len(axis.values)
        or (axis.values[0] == 0 and len(axis.values) > 1 and axis.values[1] == 1 and not axis.unit)
    ):
        return {}
    first, last = (f"{float(axis.values[n]):.9g}" for n in (0, -1))
    key = f"axis {axis.name.lower()}" if named and axis.name else f"axis {number}"
    return {key: f"{first} to {last} {axis.unit}".strip()}


def _texts(file: Any, place: str) -> tuple[dict[str, str], set[str]]:
    """Return the texts of the groups `_TEXTS`, and the names of their attributes."""
    texts: dict[str, str] = {}
    names: set[str] = set()
    for part in _TEXTS:
        group = inside(file, f"{place}/{part}")
        for key in group.attrs if group is not None else ():
            text = text_of(attribute(group, key))
            if text is not None:
                names.add(key)
                if text != _NONE:
                    texts[key.lower()] = text
    return texts, names
