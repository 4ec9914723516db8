"""Groups the files of a folder into cubes: the samples with their ENVI header, metadata and world files; other files are ignored."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.formats import FORMATS, enmap, envi, geotiff_sidecars
from edgefuse.util.files import is_file

EFZ = ".efz"
_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")  # names that programs give to files that they still write
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OWN = {suffix for form, suffixes in FORMATS.items() if form not in ("envi", "netcdf") for suffix in suffixes}
_ONE_BY_ONE = ".jp2", ".j2k", ".vrt"  # formats that are read, but not as each file of an archive
_MAX_NAMED = 100


@dataclass(frozen=True, slots=True)
class Cube:
    """A cube in a folder.

    path: its samples. files: all files that are read; the samples come first. awaited: name of a file that usually comes with it and is
    not there.
    """

    path: Path
    files: tuple[Path, ...]
    awaited: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Content of a folder. cubes: by path. passed_over: for each other file, why it does not belong to a cube."""

    cubes: dict[Path, Cube] = field(default_factory=dict)
    passed_over: dict[Path, str] = field(default_factory=dict)


class PassedOver:
    """Counts the files that do not belong to a cube, and keeps the names of the first 100."""

    def __init__(self) -> None:
        self.count = 0
        self.named: list[tuple[str, str]] = []

    def add(self, name: str, why: str) -> None:
        self.count += 1
        if len(self.named) < _MAX_NAMED:
            self.named.append((name, why))

    def as_json(self) -> dict[str, object]:
        return {"count": self.count, "files": [{"name": name, "message": why} for name, why in self.named]}


def below(folder: Path, *without: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield (folder, its files, sorted) of `folder` and of each below, except hidden ones and those in `without`. Raises CubeError."""
    excluded = {path.resolve() for path in without}
    try:
        for parent, names, files in os.walk(folder, onerror=_raise):
            names[:] = sorted(n for n in names if not n.startswith(".") and (Path(parent) / n).resolve() not in excluded)
            yield Path(parent), [Path(parent, file) for file in sorted(files)]
    except OSError as e:
        raise CubeError(f"cannot list {e.filename}: {e.strerror}; give an existing folder of cubes") from None


def _raise(error: OSError) -> None:
    raise error


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that are read with the cube `path`, without opening it: the samples come first."""
    suffix = path.suffix.lower()
    beside: list[Path | None] = []
    if suffix in FORMATS["tiff"]:
        beside = [geotiff_sidecars.header_of(path), enmap.metadata_of(path), *geotiff_sidecars.companions(path)]
    elif suffix in FORMATS["npy"]:
        beside = [path.with_name(path.name + ".json")]
    elif suffix not in _OWN:
        beside = [envi.header_of(path)]
    return (path, *(p for p in beside if p is not None and p != path and is_file(p)))


def shared_by(path: Path) -> tuple[Path, ...]:
    """Return the ENVI header that a file which is no cube would need if it became one: samples that are not whole."""
    if path.suffix.lower() not in envi.SAMPLES:
        return ()
    header = envi.header_of(path)
    return () if header is None else (header,)


def group(paths: Iterable[Path]) -> Listing:
    """Group the files of one folder into cubes. Hidden files, and names that say that the file is not finished, are left out."""
    files = [p for p in paths if not p.name.startswith(".") and p.suffix.lower() not in _UNFINISHED]
    regular = [p for p in files if is_file(p)]
    others = set(files) - set(regular)
    # not Path.is_dir, which raises an error for some names
    listing = Listing(passed_over={p: "is not a regular file" for p in files if p in others and not os.path.isdir(p)})  # noqa: PTH112
    chosen, reasons = _envi(regular)
    for path in regular:
        suffix = path.suffix.lower()
        if suffix in _OWN or path in chosen or (suffix not in (".hdr", EFZ) and path not in reasons and _is_hdf5(path)):
            listing.cubes[path] = Cube(path, files_of(path), _awaited(path))
    used = {file for cube in listing.cubes.values() for file in cube.files}
    for path in regular:
        if path not in used:
            listing.passed_over[path] = reasons.get(path) or _reason(path)
    return listing


def _envi(paths: list[Path]) -> tuple[set[Path], dict[Path, str]]:
    """Return the samples of ENVI cubes, and why other files with an ENVI header are none."""
    by_header: dict[Path, list[Path]] = {}
    for path in paths:
        if path.suffix.lower() not in (".hdr", EFZ, *_OWN) and (header := envi.header_of(path)) is not None:
            by_header.setdefault(header, []).append(path)
    chosen: set[Path] = set()
    reasons: dict[Path, str] = {}
    for header, candidates in by_header.items():
        promised = _promised(header)
        fitting = [p for p in candidates if _size(p) == promised]
        usual = [p for p in candidates if p.name == header.stem or p.suffix.lower() in envi.SAMPLES]
        # samples that still arrive, or will never be whole; a quicklook or a log of the header's name is not waited for
        chosen |= set(fitting or usual) | {p for p in candidates if p.name == header.stem}
        for path in set(candidates) - chosen:
            size = f", and holds {_size(path)} bytes where {header.name} promises {promised}" if promised >= 0 else ""
            reasons[path] = f"is in no supported format{size}"
    return chosen, reasons


def _promised(header: Path) -> int:
    """Return the bytes of the samples by an ENVI header, or -1 if it can't be read."""
    try:
        status = header.stat()
    except OSError:
        return -1
    return _promised_by(header, status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(4096)
def _promised_by(header: Path, *_state: int) -> int:
    # a folder is listed again and again, and a header of megabytes takes seconds
    try:
        return envi.promised(header)
    except CubeError:
        return -1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -2


def _awaited(path: Path) -> str:
    image = path.suffix.lower() in FORMATS["tiff"] and enmap.metadata_name(path)
    return image if image and enmap.metadata_of(path) is None and geotiff_sidecars.header_of(path) is None else ""


def _is_hdf5(path: Path) -> bool:
    """Return whether a file of another suffix is HDF5, such as NetCDF 4 (.nc)."""
    try:
        with open(path, "rb") as f:
            return f.read(len(_HDF5)) == _HDF5
    except OSError:
        return False


def _reason(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".hdr":
        return "is an ENVI header without samples"
    if suffix == EFZ:
        return "is compressed already"
    if suffix in _ONE_BY_ONE:
        return "may be one band of a cube, or name other files; compress it, or its folder, with `edgefuse compress`"
    return "has no ENVI header beside it" if suffix in envi.SAMPLES else "is in no supported format"
