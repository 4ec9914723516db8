"""MATLAB files: versions 5 to 7 (`mat5`), and 7.3, which is HDF5, through h5py.

The cube is the variable `cube` or the only one with three axes; the variable `info` holds the metadata as JSON. All are read in windows.
Version 7.3 is the one written.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import hdf5, mat5
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.hyperspectral.formats.flat import FlatReader
from edgefuse.hyperspectral.formats.hdf5_checks import Checked, inside

_CLASSES = {"f4": "single", "f8": "double", **{f"{k}{n}": f"{'u' * (k == 'u')}int{8 * n}" for k in "iu" for n in (1, 2, 4, 8)}}
_USERBLOCK = 512


class MatSource(CubeSource):
    """A .mat file of version 5 to 7.3."""

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        self.path = path
        self._file: Any = None
        self._reader: FlatReader | None = None
        try:
            with open(path, "rb") as f:
                newer = f.read(19) == b"MATLAB 7.3 MAT-file"
        except OSError as e:
            raise CubeError(f"cannot read {path}: {e.strerror}") from None
        self._newer = newer
        if newer:
            self._open_newer(dataset)
        else:
            self._open_older(dataset)

    @property
    def form(self) -> str:
        return "MATLAB 7.3" if self._newer else "MATLAB 5"

    def _open_newer(self, wanted: str | None) -> None:
        self._file = hdf5.opened(self.path)
        try:
            samples = hdf5.choose(self.path, hdf5.cubes(self._file), wanted)
            self._checked = Checked(self.path, samples)
            info = inside(self._file, "info")
            text = None
            if info is not None and info.attrs.get("MATLAB_class") in (b"char", "char") and info.size < 1 << 24:
                text = np.ravel(info[()]).astype("<u2").tobytes().decode("utf-16-le", "replace")
            self.info = hdf5.meaning(self.path, samples.shape[::-1], samples.dtype, text)
            self.unkept = hdf5.unkept(self._file, [samples.name.strip("/")], () if text is None else ("info",))
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as e:
            self.close()
            raise CubeError(f"{self.path} can't be read as a cube ({str(e)[:120]})") from None
        except BaseException:
            self.close()
            raise

    def _open_older(self, wanted: str | None) -> None:
        content, file = mat5.opened(self.path)
        with file:
            candidates = {v.name for v in content.variables.values() if v.numeric and len(v.shape) == 3 and min(v.shape) > 0}
            name = wanted or ("cube" if "cube" in candidates else next(iter(sorted(candidates)), "cube"))
            if name not in candidates or (len(candidates) > 1 and not wanted and name != "cube"):
                names = ", ".join(sorted(candidates)[:8]) or "none"
                raise CubeError(f"{self.path} has no unambiguous cube; variables with three axes: {names}; give --dataset NAME")
            try:
                text = content.text("info")
                layout, spooled = content.samples(name)
            except (CubeError, OSError, zlib.error, struct.error) as e:
                raise CubeError(f"{self.path}: '{name}' can't be read ({str(e)[:120]}); it may be incomplete") from None
        self._reader = FlatReader(self.path, layout, spooled)
        try:
            self.info = hdf5.meaning(self.path, layout.shape, layout.dtype, text)
        except CubeError:
            self.close()
            raise
        others = [n for n in content.variables if n != name and (n != "info" or text is None)]
        others += [f"{content.others} of other kinds"] if content.others else []
        self.unkept = (f"other variables: {', '.join(others[:8])}",) if others else ()

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        if self._reader is not None:
            return self._reader.read(rows, columns, bands)
        samples = hdf5.take(self.path, self._checked, (bands, columns, rows))
        return samples.transpose(2, 1, 0).astype(self.dtype, order="C")

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._file is not None:
            self._file.close()


class MatSink(hdf5.Hdf5Sink):
    """Writes version 7.3: HDF5 with a MATLAB header in the first 128 bytes and each variable's class in an attribute."""

    form = "MATLAB 7.3"

    userblock = _USERBLOCK
    order = (2, 1, 0)  # MATLAB reverses the axes

    def __init__(self, path: Path, info: CubeInfo) -> None:
        code = f"{info.dtype.kind}{info.dtype.itemsize}"
        if code not in _CLASSES:
            raise CubeError(f"MATLAB does not support samples of type {info.dtype}; write another format, such as .npy")
        self._class = _CLASSES[code]
        super().__init__(path, info)

    def describe(self, file: Any, cube: Any) -> None:
        cube.attrs["MATLAB_class"] = np.bytes_(self._class)
        fields = self.info.as_json()
        if len(fields) > 2:
            units = np.frombuffer(json.dumps(fields).encode("utf-16-le"), "<u2").reshape(-1, 1)
            text = file.create_dataset("info", data=units)
            text.attrs["MATLAB_class"] = np.bytes_("char")
            text.attrs["MATLAB_int_decode"] = np.int32(2)

    def finish(self) -> None:
        super().finish()
        header = b"MATLAB 7.3 MAT-file, written by EdgeFuse, HDF5 schema 1.00 .".ljust(116) + bytes(8) + struct.pack("<H", 0x0200) + b"IM"
        with open(self.part, "r+b") as f:
            f.write(header)

    discard = hdf5.Hdf5Sink.finish
