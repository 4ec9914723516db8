"""Metadata of an HDF5 dataset from its dimensions, attributes and neighbouring datasets: netCDF with CF conventions, NEON's layout.

Axes are recognised by the names of dimension scales. Wavelengths and FWHM are the coordinate variable of the bands' axis, or a vector of
that length and name. Missing samples and scale come from CF's attributes (CF conventions 1.11, sections 2.5 and 8.1) or NEON's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.cube import CubeInfo, as_nodata, can_hold
from edgefuse.hyperspectral.formats import hdf5_grid, hyperspy
from edgefuse.hyperspectral.formats.hdf5_checks import Vectors, attribute, text_of
from edgefuse.hyperspectral.wavelengths import converted
from edgefuse.util.finite import finite

Order = tuple[int, int, int]
ROWS, COLUMNS, BANDS = 0, 1, 2
_EDGE, _END = r"(?:^|[_ -]|n)", r"(?:$|[_ -]|\d)"
_ROLES = (
    (BANDS, "bands?|wavelengths?|waves?|wl|wvl|lambda|channels?|spectral|wavenumbers?"),
    (COLUMNS, "x|xc|cols?|columns?|samples?|pixels?|easting|lon|longitude|crosstrack|cross|across|xtrack|width"),
    (ROWS, "y|yc|rows?|lines?|scans?|northing|lat|latitude|downtrack|along|atrack|track|height|frames?"),
)
_NAMED = [(role, re.compile(f"{_EDGE}(?:{words}){_END}", re.IGNORECASE)) for role, words in _ROLES]
WAVELENGTHS = re.compile(r"(?:^|_)(?:wavelengths?|wl|wvl|central_wavelengths?|center_wavelengths?)(?:$|_)", re.IGNORECASE)
FWHM = re.compile(r"(?:^|_)fwhm(?:$|_)|bandwidths?$", re.IGNORECASE)
_GOOD = re.compile(r"^good_(?:wavelengths|bands)$|^bbl$", re.IGNORECASE)
_NODATA = "_FillValue", "missing_value", "Data_Ignore_Value"
_PACKING = "scale_factor", "add_offset", "Scale_Factor", "_Unsigned"
_STRUCTURE = {
    "CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS", "Dimension_Labels", "_Netcdf4Dimid", "_Netcdf4Coordinates",
    "_NCProperties", "_nc3_strict", "coordinates", "grid_mapping", "info", "wavelength_unit",
}  # fmt: skip
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Meaning:
    """A dataset as a cube.

    order: the cube's axis of each axis in the file. info: of the cube. variables: names of other datasets that were read. attributes: those
    of the file and the dataset that are in `info`; None if nothing but the dataset itself says what it is.
    """

    order: Order
    info: CubeInfo
    variables: set[str] = field(default_factory=set)
    attributes: set[str] | None = None
    program: str = ""
    """Program whose layout the file has; empty for others."""


def read(path: Path, file: Any, dataset: Any, axes: Order | None = None) -> Meaning:
    """Read the metadata of a dataset with three axes. Raises CubeError, and h5py's errors for a damaged file.

    axes: the cube's axis of each axis in the file; None: as the file says.
    """
    names = _axis_names(dataset)
    vectors = Vectors(path, file)
    signal = hyperspy.read(path, file, dataset) if axes is None else None
    order = axes or (_order(path, dataset, names, vectors) if signal is None else bands_at(signal.bands))
    shape = tuple(dataset.shape[order.index(axis)] for axis in (ROWS, COLUMNS, BANDS))
    dtype = unsigned(dataset)
    meaning = Meaning(order, CubeInfo((shape[0], shape[1], shape[2]), dtype))
    fields: dict[str, Any] = _samples(path, dataset, dtype, shape[2])
    metadata: dict[str, str] = {}
    fields |= _spectral(path, dataset, order.index(BANDS), vectors, meaning, metadata)
    scales = [hdf5_grid.scale(dataset, order.index(axis)) for axis in (ROWS, COLUMNS)]
    placed = hdf5_grid.georeference(file, dataset, scales, vectors)
    if placed is not None:
        fields["georeference"] = placed.georeference
        meaning.variables |= placed.variables
    if signal is not None:
        fields |= signal.fields
        meaning.variables |= signal.variables
        meaning.program = "HyperSpy"
    if any(names) or meaning.variables or fields or signal is not None:
        meaning.attributes = _STRUCTURE | set(_NODATA) | set(_PACKING)
        metadata |= _texts(file, dataset, meaning.attributes)
    if signal is not None and meaning.attributes is not None:
        metadata |= signal.texts
        meaning.attributes |= signal.attributes
    meaning.info = meaning.info.like(**fields, metadata=metadata)
    return meaning


def unsigned(dataset: Any) -> np.dtype[Any]:
    """Return the type of a dataset's samples: unsigned where the attribute _Unsigned says so, as netCDF-3 had no unsigned types."""
    dtype = np.dtype(dataset.dtype).newbyteorder("=")
    if dtype.kind == "i" and (text_of(attribute(dataset, "_Unsigned")) or "").lower() == "true":
        return np.dtype(f"u{dtype.itemsize}")
    return dtype


def _axis_names(dataset: Any) -> list[str]:
    """Return the names of the axes by their dimension scales, labels, or NEON's attribute; empty where there is none."""
    names = []
    for number in range(3):
        dimension_scale = hdf5_grid.scale(dataset, number)
        names.append(dataset.dims[number].label or ("" if dimension_scale is None else str(dimension_scale.name).rpartition("/")[2]))
    listed = [part.strip() for part in (text_of(attribute(dataset, "Dimension_Labels")) or "").split(",")]
    return listed if not any(names) and len(listed) == 3 else names


def role_of(name: str) -> int | None:
    """Return the cube's axis that a dimension's name tells; None for any other name."""
    return next((role for role, words in _NAMED if words.search(name)), None)


def _order(path: Path, dataset: Any, names: Sequence[str], vectors: Vectors) -> Order:
    """Return the cube's axis of each axis in the file: by their names, else by the number of wavelengths."""
    roles = [role_of(name) for name in names]
    if roles.count(BANDS) == 1:
        bands = roles.index(BANDS)
    else:
        counts = {len(v) for name, v in vectors.items() if WAVELENGTHS.search(name.rpartition("/")[2])}
        fitting = [axis for axis in range(3) if dataset.shape[axis] in counts]
        bands = fitting[0] if len(fitting) == 1 else 2
        if bands != 2:
            _logger.warning(
                "%s: axis %d of %s has as many entries as there are wavelengths; taken for the bands", path, bands + 1, dataset.name
            )
    first, second = (axis for axis in range(3) if axis != bands)
    order = [BANDS] * 3
    turned = roles[first] == COLUMNS or roles[second] == ROWS
    order[first], order[second] = (COLUMNS, ROWS) if turned and roles[first] != ROWS else (ROWS, COLUMNS)
    return order[0], order[1], order[2]


def bands_at(bands: int) -> Order:
    """Return the cube's axis of each axis in the file where the bands are one of them and rows come before columns."""
    order = [ROWS, COLUMNS]
    order.insert(bands, BANDS)
    return order[0], order[1], order[2]


def _samples(path: Path, dataset: Any, dtype: np.dtype[Any], bands: int) -> dict[str, Any]:
    """Return the no-data value, gain and offset by the dataset's attributes."""
    fields: dict[str, Any] = {}
    for name in _NODATA:
        for raw in _numbers(dataset, name)[:1]:
            # the fill value is of the stored type, which _Unsigned reinterprets
            value = (
                int(raw) % (1 << 8 * dtype.itemsize)
                if dtype.kind == "u" and dataset.dtype.kind == "i" and raw < 0
                else as_nodata(raw.item())
            )
            if not can_hold(dtype, value):
                _logger.warning("%s: ignoring %s = %s of %s: no sample of type %s can be it", path, name, value, dataset.name, dtype)
            elif "nodata" not in fields:
                fields["nodata"] = value
            elif value != fields["nodata"] and value == value:
                _logger.warning("%s: %s = %s of %s is read as data: %s is missing", path, name, value, dataset.name, fields["nodata"])
    if "nodata" not in fields and dtype.kind == "f" and "_NCProperties" in dataset.file.attrs and dataset.fillvalue:
        fields["nodata"] = as_nodata(dataset.fillvalue.item())  # netCDF's own fill value of samples that were never written
    gain, offset = _numbers(dataset, "scale_factor"), _numbers(dataset, "add_offset")
    if not gain.size and (divisor := _numbers(dataset, "Scale_Factor")).size and divisor.all():
        gain = 1 / divisor
    for key, values, default in (("gain", gain, 1.0), ("offset", offset, 0.0)):
        if values.size in (1, bands) and not (values == default).all():
            fields[key] = finite(np.broadcast_to(values.astype(float), bands))
    return fields


def _numbers(item: Any, name: str) -> NDArray[Any]:
    value = attribute(item, name)
    numbers = np.ravel(np.asarray(() if value is None else value))
    if numbers.dtype.kind in "SUO":  # as some programs write numbers
        try:
            numbers = np.array([as_nodata(text_of(value) or "")])
        except ValueError:
            return np.zeros(0)
    return numbers if numbers.dtype.kind in "uif" else np.zeros(0)


def _spectral(path: Path, dataset: Any, axis: int, vectors: Vectors, meaning: Meaning, metadata: dict[str, str]) -> dict[str, Any]:
    """Return wavelengths and FWHM of the bands, and note the variables that they are from."""
    count = dataset.shape[axis]
    coordinate = hdf5_grid.scale(dataset, axis)
    name = vectors.nearest(WAVELENGTHS, count, str(dataset.name), coordinate)
    fields: dict[str, Any] = {}
    if name:
        unit = next(
            (text_of(attribute(vectors[name], key)) or "" for key in ("units", "Units", "unit", "Unit") if key in vectors[name].attrs), ""
        )
        try:
            waves = converted(vectors.read(name).tolist(), unit)
        except ValueError:
            waves = None
        if waves is None:
            _logger.warning("%s: ignoring the wavelengths in %s, which are not all numbers in a unit of length (%s)", path, name, unit[:40])
        else:
            fields["wavelengths"] = waves.values
            meaning.variables.add(name)
            for doubt in waves.doubts:
                _logger.warning("%s: %s", path, doubt)
            width = vectors.nearest(FWHM, count, str(dataset.name), coordinate)
            if width and np.isfinite(values := vectors.read(width)).all():
                fields["fwhm"] = tuple(float(v) * waves.scale for v in values)
                meaning.variables.add(width)
    good = vectors.nearest(_GOOD, count, str(dataset.name), coordinate)
    if good:
        metadata["bbl"] = ", ".join(str(int(v)) for v in vectors.read(good))
        meaning.variables.add(good)
    # dimensions without values, and the vectors that only count the entries of an axis
    for number in range(3):
        if (other := hdf5_grid.scale(dataset, number)) is not None and hdf5_grid.is_empty(other):
            meaning.variables.add(str(other.name).strip("/"))
    return fields


def _texts(file: Any, dataset: Any, read: set[str]) -> dict[str, str]:
    """Return the texts and single numbers among the attributes of the file and of the dataset, and add their names to `read`."""
    texts: dict[str, str] = {}
    for item in (file, dataset):
        for key in item.attrs:
            if key not in read and (text := text_of(attribute(item, key))) is not None:
                texts[key.lower() if key.lower() not in texts else f"{dataset.name.rpartition('/')[2]} {key.lower()}"] = text
        # the dataset's attribute of a name may be of another kind than the file's
    read |= {key for item in (file, dataset) for key in item.attrs if text_of(attribute(item, key)) is not None}
    return texts
