"""NumPy files: `.npy` with metadata in NAME.npy.json beside it; `.npz` with the array `cube` and metadata in the array `info` (JSON)."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral import bounded_json
from edgefuse.hyperspectral.cube import FIELDS, CubeInfo
from edgefuse.hyperspectral.formats import replace_file_pair
from edgefuse.hyperspectral.formats.base import CubeSink, Window
from edgefuse.hyperspectral.formats.flat import BIP, FORTRAN, FlatReader, FlatSink, FlatSource, FlatWriter, Layout
from edgefuse.util.files import check_space, is_file, output_error
from edgefuse.util.spool import spool_folder

_MAX_HEAD = 1 << 14  # bytes of a .npy header; NumPy takes at most 10,000 characters
_MAX_JSON = 1 << 25  # maximum bytes of the metadata, of 4 bytes per character in a .npz


def npy_layout(file: IO[bytes], name: object) -> Layout:
    """Read the layout from a .npy header. Raises CubeError unless the array is numeric and has three axes (or two: one band)."""
    # NumPy reads as much as a header claims to have before it looks at it, up to 4 GB that a .npz may hold in a few megabytes
    head = io.BytesIO(file.read(_MAX_HEAD))
    try:
        shape, fortran, dtype = _array_header(head)
        if len(shape) == 2:
            shape = (*shape, 1)
        height, width, bands = shape
        CubeInfo((height, width, bands), dtype)
    except CubeError as e:
        raise CubeError(f"{name}: {e}") from None
    except Exception as e:  # NumPy does not document its errors for hostile headers
        raise CubeError(f"{name} is not a NumPy file with a cube ({str(e)[:120]})") from None
    return Layout((height, width, bands), dtype, FORTRAN if fortran else BIP, head.tell())


def _array_header(head: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read a .npy header: shape, whether in Fortran's order, dtype. Raises whatever NumPy raises for a hostile one."""
    version = npy.read_magic(head)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version}")
    # version 3 differs from 2 only in the encoding of field names, which a cube lacks
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        # NumPy parses the header as Python, which warns of what a stranger wrote, and of headers that Python 2 wrote
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read(head)
    return shape, fortran, dtype


def npy_head(info: CubeInfo) -> bytes:
    """Return the .npy header of a cube."""
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"descr": npy.dtype_to_descr(info.dtype), "fortran_order": False, "shape": info.shape})
    return head.getvalue()


def _parse_info(layout: Layout, text: bytes | None, name: object) -> CubeInfo:
    """Parse metadata `text` (JSON) of a cube; its shape and type come from `layout`. Raises CubeError."""
    bare = CubeInfo(layout.shape, layout.dtype)
    if text is None:
        return bare
    try:
        raw = bounded_json.loads(text)
        return CubeInfo.from_json({**raw, **{k: v for k, v in bare.as_json().items() if k in ("shape", "dtype")}})
    except (ValueError, TypeError, CubeError) as e:
        raise CubeError(f"{name}: {e}; correct it, or remove it to read the samples alone") from None


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


class NpySource(FlatSource):
    """A .npy file in C or Fortran order."""

    form = "NumPy .npy"

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        if dataset is not None:
            raise CubeError(f"{path}: a .npy file holds one array; omit --dataset")
        self.path = path
        sidecar = _sidecar(path)
        self._metadata_path = sidecar if is_file(sidecar) else None
        try:
            with open(path, "rb") as f:
                layout = npy_layout(f, path)
            text = None
            if self._metadata_path:
                with open(sidecar, "rb") as f:
                    text = f.read(_MAX_JSON)
        except OSError as e:
            raise CubeError(f"cannot read {e.filename}: {e.strerror}") from None
        self.info = _parse_info(layout, text, sidecar)
        if text is not None and (unknown := sorted(json.loads(text).keys() - FIELDS)):
            self.unkept = (f"fields of {sidecar.name}: {', '.join(unknown[:8])}",)
        self._reader = FlatReader(path, layout)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, self._metadata_path) if self._metadata_path else (self.path,)


class NpySink(FlatSink):
    """Writes a .npy file, and .npy.json if there is metadata."""

    form = "NumPy .npy"

    def __init__(self, path: Path, info: CubeInfo) -> None:
        super().__init__(path, info)
        head = npy_head(info)
        try:
            replace_file_pair.restore(path, _sidecar(path), _sidecar(path))
        except OSError as e:
            raise output_error(path, e) from None
        self._writer = FlatWriter(self.part, Layout(info.shape, np.dtype(info.dtype), BIP, len(head)), head)
        fields = info.as_json()
        self._metadata_text = json.dumps(fields, indent=1) if len(fields) > 2 else None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, _sidecar(self.path)) if self._metadata_text else (self.path,)

    def publish(self) -> None:
        sidecar = _sidecar(self.path)
        text = f"{self._metadata_text}\n".encode() if self._metadata_text else None
        replace_file_pair.replace(self.part, self.path, sidecar, text, sidecar if is_file(sidecar) else None)


class NpzSource(FlatSource):
    """A .npz file with the array `cube` or a single array with three axes. Compressed arrays are unpacked to a temporary file."""

    form = "NumPy .npz"

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                members = {i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")}
                name, layout = self._chosen(archive, members, dataset)
                metadata = self._text(archive, members)
                if members[name].file_size < layout.end:
                    raise CubeError(
                        f"{path}: '{name}' holds {members[name].file_size} bytes, but its header promises {layout.end}; it is incomplete"
                    )
                stored = members[name].compress_type == zipfile.ZIP_STORED
                file = None if stored else self._unpacked(archive, members[name], layout.end)
                start = self._start(members[name].header_offset) if stored else 0
        except OSError as e:
            raise CubeError(f"cannot read {path}: {e.strerror or e}") from None
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error, struct.error) as e:
            raise CubeError(f"{path} is not a readable .npz file ({str(e)[:120]})") from None
        read = {f"{name}.npy"} | ({"info.npy"} if metadata is not None else set())
        if others := [n for n in names if n not in read]:
            self.unkept = (f"other arrays: {', '.join(others[:8])}",)
        file_layout = Layout(layout.shape, layout.dtype, layout.order, layout.offset + start)
        self._reader = FlatReader(path, file_layout, file)
        try:
            self.info = _parse_info(layout, metadata, f"{path}, array 'info'")
        except CubeError:
            self._reader.close()
            raise

    def _chosen(self, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], wanted: str | None) -> tuple[str, Layout]:
        layouts = {}
        for name in [wanted] if wanted else ["cube"] if "cube" in members else list(members):
            if name not in members:
                raise CubeError(f"{self.path} has no array '{name}'; it has {', '.join(members) or 'none'}")
            with archive.open(members[name]) as f:
                try:
                    layouts[name] = npy_layout(f, f"{self.path}, array '{name}'")
                except CubeError:
                    if wanted or name == "cube":
                        raise
        candidates = {k: v for k, v in layouts.items() if v.shape[2] > 1} or layouts
        if len(candidates) != 1:
            raise CubeError(f"{self.path} has {len(candidates)} arrays that may be the cube ({', '.join(candidates)}); give --dataset NAME")
        return next(iter(candidates.items()))

    @staticmethod
    def _text(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> bytes | None:
        if "info" not in members or members["info"].file_size > _MAX_JSON:
            return None
        with archive.open(members["info"]) as f:
            data = io.BytesIO(f.read())
        try:
            shape, _, dtype = _array_header(data)
        except Exception as e:  # NumPy does not document its errors for hostile headers
            raise ValueError(f"array 'info': {e}") from None
        text = data.read()
        # the header may claim a text of gigabytes
        if shape != () or dtype.kind != "U" or not 0 < dtype.itemsize <= len(text):
            return None
        return str(np.frombuffer(text[: dtype.itemsize], dtype)[0]).encode("utf-8", "replace")

    def _unpacked(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> IO[bytes]:
        """Unpack the first `size` bytes of a member to a temporary file."""
        folder = spool_folder()
        check_space(folder, size)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        with archive.open(member) as f:
            try:
                while size > 0 and (piece := f.read(min(size, 1 << 20))):
                    file.write(piece)
                    size -= len(piece)
                file.flush()
            except OSError as e:
                raise output_error(folder, e) from None
        return file

    def _start(self, header: int) -> int:
        """Return the offset of a stored member's data: after its local header, whose extra fields may differ from the directory's."""
        with open(self.path, "rb") as f:
            f.seek(header)
            local = f.read(30)
        name, extra = struct.unpack("<HH", local[26:30])
        return int(header + 30 + name + extra)


class NpzSink(CubeSink):
    """Writes an uncompressed .npz file with the arrays `cube` and, if there is metadata, `info`. Samples go to a temporary file first."""

    form = "NumPy .npz"

    def __init__(self, path: Path, info: CubeInfo) -> None:
        super().__init__(path, info)
        self._samples = self.part.with_name(self.part.name + ".samples")
        head = npy_head(info)
        self._writer = FlatWriter(self._samples, Layout(info.shape, np.dtype(info.dtype), BIP, len(head)), head)

    def write(self, window: Window, samples: NDArray[Any]) -> None:
        self._writer.write(window, samples)

    def finish(self) -> None:
        self._writer.close()
        fields = self.info.as_json()
        with zipfile.ZipFile(self.part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.write(self._samples, "cube.npy")
            if len(fields) > 2:
                text = io.BytesIO()
                npy.write_array(text, np.array(json.dumps(fields)), allow_pickle=False)
                archive.writestr("info.npy", text.getvalue())
        self._samples.unlink()

    def discard(self) -> None:
        self._writer.close()
        self._samples.unlink(missing_ok=True)
