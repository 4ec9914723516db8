"""MATLAB files: up to version 7 through SciPy, 7.3 (which is HDF5) through h5py.

The cube is the variable `cube` or the only one with three axes; the variable `info` holds the metadata as JSON. Files up to version 7,
whose variables are limited to 2 GB, are read completely into memory. Version 7.3 is read in windows, and is the version written.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import hdf5
from edgefuse.hyperspectral.formats.base import CubeSource

_CLASSES = {"f4": "single", "f8": "double", **{f"{k}{n}": f"{'u' * (k == 'u')}int{8 * n}" for k in "iu" for n in (1, 2, 4, 8)}}
_USERBLOCK = 512


class MatSource(CubeSource):
    """A .mat file of any version."""

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        self.path = path
        self._file: Any = None
        self._samples: Any = None
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
            self._samples = hdf5.choose(self.path, hdf5.cubes(self._file), wanted)
            hdf5.check_chunks(self.path, self._samples)
            info = self._file.get("info")
            text = None
            if info is not None and info.attrs.get("MATLAB_class") in (b"char", "char") and info.size < 1 << 24:
                text = np.ravel(info[()]).astype("<u2").tobytes().decode("utf-16-le", "replace")
            self.info = hdf5.meaning(self.path, self._samples.shape[::-1], self._samples.dtype, text)
            self.unkept = hdf5.unkept(self._file, [self._samples.name.strip("/")], () if text is None else ("info",))
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as e:
            self.close()
            raise CubeError(f"{self.path} can't be read as a cube ({str(e)[:120]})") from None
        except BaseException:
            self.close()
            raise

    def _open_older(self, wanted: str | None) -> None:
        try:
            from scipy import io
        except ImportError as e:
            raise MissingDependencyError("scipy", "reading MATLAB files", "'edgefuse[matlab]'") from e
        try:
            listed = io.whosmat(self.path)
        except Exception as e:  # SciPy does not document its errors for incomplete files
            raise CubeError(f"{self.path} is not a readable MATLAB file ({str(e)[:120]})") from None
        candidates = {name: (shape, kind) for name, shape, kind in listed if len(shape) == 3 and kind in _CLASSES.values()}
        name = wanted or ("cube" if "cube" in candidates else next(iter(candidates), "cube"))
        if name not in candidates or (len(candidates) > 1 and not wanted and name != "cube"):
            raise CubeError(
                f"{self.path} has no unambiguous cube; variables with three axes: {', '.join(candidates) or 'none'}; give --dataset NAME"
            )
        shape, kind = candidates[name]
        self._check_memory(shape, kind)
        try:
            variables = io.loadmat(self.path, variable_names=[name, "info"])
            self._samples = np.asarray(variables[name])
        except Exception as e:
            raise CubeError(f"{self.path}: '{name}' can't be read ({str(e)[:120]}); it may be incomplete") from None
        info = variables.get("info")
        text = str(info[0]) if isinstance(info, np.ndarray) and info.dtype.kind == "U" and info.shape == (1,) else None
        self.info = hdf5.meaning(self.path, self._samples.shape, self._samples.dtype, text)
        others = [n for n, _, _ in listed if n != name and (n != "info" or text is None)]
        self.unkept = (f"other variables: {', '.join(others[:8])}",) if others else ()

    def _check_memory(self, shape: tuple[int, ...], kind: str) -> None:
        import psutil

        size = next(int(code[1]) for code, name in _CLASSES.items() if name == kind)
        # twice the size: SciPy decompresses, then makes the array
        needed, free = 2 * size * int(np.prod(shape, dtype=object)), psutil.virtual_memory().available
        if needed > free:
            raise CubeError(
                f"{self.path} is of MATLAB 7 or earlier and needs {needed / 1e6:.0f} MB of memory, but {free / 1e6:.0f} MB are free; "
                "save it in MATLAB with -v7.3, which is read in windows"
            )

    def read(self, rows: slice, columns: slice, bands: slice) -> NDArray[Any]:
        if self._file is None:
            return self._samples[rows, columns, bands].astype(self.dtype, order="C")
        samples = hdf5.take(self.path, self._samples, (bands, columns, rows))
        return samples.transpose(2, 1, 0).astype(self.dtype, order="C")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class MatSink(hdf5.Hdf5Sink):
    """Writes version 7.3: HDF5 with a MATLAB header in the first 128 bytes and each variable's class in an attribute."""

    form = "MATLAB 7.3"

    userblock = _USERBLOCK
    turned = True

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
