"""ENVI: samples in one file, a text header beside it (`envi_header`). Interleaves bsq, bil and bip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import envi_header
from edgefuse.hyperspectral.formats.flat import FlatReader, FlatSink, FlatSource, FlatWriter, Layout
from edgefuse.util.files import write_atomic

_SAMPLES = ("", ".img", ".dat", ".raw", ".bin", ".bsq", ".bil", ".bip", ".cube", ".envi", ".hsi")


def header_of(path: Path) -> Path | None:
    """The header of a samples' file, or `path` itself where it is one: NAME.hdr, NAME.img.hdr, in any case. None where there is none."""
    if path.suffix.lower() == ".hdr":
        return path if path.is_file() else None
    for name in (path.name, path.stem):
        for suffix in (".hdr", ".HDR", ".Hdr"):
            found = path.with_name(name + suffix)
            if found != path and found.is_file():
                return found
    return None


def samples_of(header: Path) -> Path | None:
    """The samples' file of a header: NAME for NAME.hdr, or NAME with one of the usual suffixes; None where there is none."""
    for suffix in _SAMPLES:
        for spelled in (suffix, suffix.upper()):
            found = header.with_name(header.stem + spelled)
            if found.is_file() and found != header:
                return found
    return None


def layout_of(header: Path) -> tuple[Layout, CubeInfo]:
    """What a header says. Raises CubeError."""
    try:
        with open(header, "rb") as f:
            found = envi_header.fields(f.read(envi_header.LARGEST + 1))
        layout = envi_header.layout(found)
        return layout, envi_header.info(found, layout)
    except OSError as e:
        raise CubeError(f"cannot read {header}: {e.strerror}") from None
    except CubeError as e:
        raise CubeError(f"{header}: {e}; mend the header") from None


class EnviSource(FlatSource):
    """An ENVI cube. The file's size is held against the header's before anything else."""

    def __init__(self, path: Path, dataset: str | None = None, header: Path | None = None) -> None:
        """path: the samples, or their header. header: where it is not beside them."""
        if dataset is not None:
            raise CubeError(f"{path}: an ENVI file holds one cube; leave --dataset out")
        found = header or header_of(path)
        if found is None:
            raise CubeError(f"{path} has no ENVI header; expected {path.name}.hdr or {path.stem}.hdr beside it")
        self.header = found
        samples = samples_of(found) if path == found else path
        if samples is None:
            raise CubeError(f"{found} has no samples; expected {found.stem} or {found.stem}.img beside it")
        self.path = samples
        layout, self.info = layout_of(found)
        self._interleave = next(k for k, v in envi_header.ORDERS.items() if v == layout.order)
        try:
            held = samples.stat().st_size
        except OSError as e:
            raise CubeError(f"cannot read {samples}: {e.strerror}") from None
        if held != layout.end:
            raise CubeError(
                f"{samples} holds {held} bytes where {found.name} promises {layout.end} "
                f"({' x '.join(map(str, layout.shape))} {layout.dtype.name}, header offset {layout.offset}); "
                f"{'the file is not whole, or ' if held < layout.end else ''}mend the header"
            )
        self._reader = FlatReader(samples, layout)

    @property
    def files(self) -> tuple[Path, ...]:
        return self.path, self.header

    @property
    def form(self) -> str:
        return f"ENVI {self._interleave}"


class EnviSink(FlatSink):
    """Writes PATH and its header, PATH.hdr. Interleave by suffix .bsq, .bil or .bip, else the one it came in, else bsq."""

    form = "ENVI"

    def __init__(self, path: Path, info: CubeInfo) -> None:
        super().__init__(path, info)
        suffix = path.suffix.lower()[1:]
        came = info.metadata.get("interleave", "")
        chosen = next((way for way in (suffix, came) if way in envi_header.ORDERS), "bsq")
        self._text = envi_header.text(info, chosen).encode()
        # not NAME.hdr, which may be that of NAME with another suffix
        self.header = path.with_name(path.name + ".hdr")
        self._writer = FlatWriter(self.part, Layout(info.shape, np.dtype(info.dtype), envi_header.ORDERS[chosen]))

    @property
    def files(self) -> tuple[Path, ...]:
        return self.path, self.header

    def beside(self) -> None:
        # last: without it there is no cube
        write_atomic(self.header, self._text)
