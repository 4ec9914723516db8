"""ENVI files: samples in one file, a text header (`envi_header`) beside it; interleaves BSQ, BIL and BIP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import envi_header, replace_file_pair
from edgefuse.hyperspectral.formats.flat import FlatReader, FlatSink, FlatSource, FlatWriter, Layout
from edgefuse.util.files import is_file, output_error

SAMPLES = ("", ".img", ".dat", ".raw", ".bin", ".bsq", ".bil", ".bip", ".cube", ".envi", ".hsi")


def header_of(path: Path) -> Path | None:
    """Return the header of a samples' file (NAME.hdr or NAME.img.hdr, .hdr in any case), `path` if it is a header, or None."""
    if path.suffix.lower() == ".hdr":
        return path if is_file(path) else None
    for name in (path.name, path.stem):
        for suffix in (".hdr", ".HDR", ".Hdr"):
            candidate = path.with_name(name + suffix)
            if candidate != path and is_file(candidate):
                return candidate
    return None


def samples_of(header: Path) -> Path | None:
    """Return the samples' file of NAME.hdr: NAME, or NAME with a usual suffix; None if there is none."""
    for suffix in SAMPLES:
        for variant in (suffix, suffix.upper()):
            candidate = header.with_name(header.stem + variant)
            if is_file(candidate) and candidate != header:
                return candidate
    return None


def _shared(header: Path, path: Path) -> bool:
    """Return whether a header NAME.hdr may also be that of other samples than `path`: of NAME with another suffix."""
    names = {header.stem + variant for suffix in SAMPLES for variant in (suffix, suffix.upper())} - {path.name}
    return any(is_file(header.with_name(name)) for name in names)


def layout_of(header: Path) -> tuple[Layout, CubeInfo]:
    """Read a header. Raises CubeError."""
    layout, info, _ = _read(header)
    return layout, info


def promised(header: Path) -> int:
    """Return the bytes that the samples of a header have. Raises CubeError."""
    with _named(header):
        return envi_header.layout(envi_header.fields(_text(header))).end


def _text(header: Path) -> bytes:
    with open(header, "rb") as f:
        return f.read(envi_header.LARGEST + 1)


@contextmanager
def _named(header: Path) -> Iterator[None]:
    """Name the header in errors."""
    try:
        yield
    except OSError as e:
        raise CubeError(f"cannot read {header}: {e.strerror}") from None
    except CubeError as e:
        raise CubeError(f"{header}: {e}; correct the header") from None


def _read(header: Path) -> tuple[Layout, CubeInfo, tuple[str, ...]]:
    with _named(header):
        data = _text(header)
        fields = envi_header.fields(data)
        layout = envi_header.layout(fields)
        return layout, envi_header.info(fields, layout), envi_header.unkept(data, fields)


class EnviSource(FlatSource):
    """An ENVI cube. The file's size must match the header."""

    def __init__(self, path: Path, dataset: str | None = None, header: Path | None = None) -> None:
        """path: the samples or their header. header: path of a header that is not beside the samples."""
        if dataset is not None:
            raise CubeError(f"{path}: an ENVI file holds one cube; omit --dataset")
        header_path = header or header_of(path)
        if header_path is None:
            raise CubeError(f"{path} has no ENVI header; expected {path.name}.hdr or {path.stem}.hdr beside it")
        self.header = header_path
        samples = samples_of(header_path) if path == header_path else path
        if samples is None:
            raise CubeError(f"{header_path} has no samples; expected {header_path.stem} or {header_path.stem}.img beside it")
        self.path = samples
        layout, self.info, self.unkept = _read(header_path)
        self._interleave = next(k for k, v in envi_header.ORDERS.items() if v == layout.order)
        try:
            size = samples.stat().st_size
        except OSError as e:
            raise CubeError(f"cannot read {samples}: {e.strerror}") from None
        if size != layout.end:
            raise CubeError(
                f"{samples} holds {size} bytes where {header_path.name} promises {layout.end} "
                f"({' x '.join(map(str, layout.shape))} {layout.dtype.name}, header offset {layout.offset}); "
                f"{'the file is incomplete, or ' if size < layout.end else ''}correct the header"
            )
        self._reader = FlatReader(samples, layout)

    @property
    def files(self) -> tuple[Path, ...]:
        return self.path, self.header

    @property
    def form(self) -> str:
        return f"ENVI {self._interleave}"


class EnviSink(FlatSink):
    """Writes PATH and its header PATH.hdr. Interleave: by suffix .bsq, .bil or .bip, else that of the original ENVI file, else bsq."""

    form = "ENVI"

    def __init__(self, path: Path, info: CubeInfo) -> None:
        super().__init__(path, info)
        suffix = path.suffix.lower()[1:]
        original = info.metadata.get("interleave", "")
        chosen = next((name for name in (suffix, original) if name in envi_header.ORDERS), "bsq")
        self._text = envi_header.text(info, chosen).encode()
        # not NAME.hdr, which may belong to NAME with another suffix
        self.header = path.with_name(path.name + ".hdr")
        try:
            replace_file_pair.restore(path, self.header, header_of(path))
        except OSError as e:
            raise output_error(path, e) from None
        self._writer = FlatWriter(self.part, Layout(info.shape, np.dtype(info.dtype), envi_header.ORDERS[chosen]))

    @property
    def files(self) -> tuple[Path, ...]:
        return self.path, self.header

    def publish(self) -> None:
        old = None if (existing := header_of(self.path)) == self.path else existing
        replace_file_pair.replace(self.part, self.path, self.header, self._text, old, old is not None and _shared(old, self.path))
