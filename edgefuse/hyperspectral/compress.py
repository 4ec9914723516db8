"""Compression of cube files into `.efz` files, verified by decoding before the file appears, and decompression."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from edgefuse.errors import CubeError, InputError, SettingsError
from edgefuse.hyperspectral.codec.base import Target, codec
from edgefuse.hyperspectral.compressed_reader import Compressed
from edgefuse.hyperspectral.cube import CubeInfo, can_hold
from edgefuse.hyperspectral.efz_source import EfzSource
from edgefuse.hyperspectral.formats import create_cube
from edgefuse.hyperspectral.formats.base import CubeSource, ReportingSource
from edgefuse.hyperspectral.part import ALL, Choice, declared
from edgefuse.hyperspectral.quality import Quality
from edgefuse.hyperspectral.threads import tiles_at_a_time
from edgefuse.hyperspectral.verification import Beat, report_doubts, verify
from edgefuse.metrics.spectral import Spectral
from edgefuse.util import heartbeat
from edgefuse.util.blas import one_blas_thread
from edgefuse.util.files import appearing, check_file

_logger = logging.getLogger(__name__)

_WINDOW_BYTES = 1 << 24
_MAX_LISTED = 1000  # lost tiles in a report


def compress_file(
    path: Path, target: Path, quality: Quality, choice: Choice | None = None, header: Path | None = None, check: bool = True,
    beat: Beat | None = None, threads: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Compress a cube file and return the report. `target` is written atomically and, with `check`, only after it was decoded and measured.

    threads: tiles that are coded at a time; 0: as many as cores and memory allow. The file is the same for any number.
    choice: what of the file is meant; None: all as it is. nodata and likely fill values: `Quality.nodata`. The report names
    likely fill values that are not declared as `likely_fills`, a target that was missed with `allow_miss` as `missed`, and a peak with
    which more may be lost than was meant in `doubts`.

    Raises CubeError (the cube, or a target that is not reached), OutputError (the target), SettingsError, EdgeFuseError if the written file
    does not decode to what was promised.
    """
    chosen = choice or ALL
    with chosen.opened(path, header) as source:
        part = ReportingSource(chosen.of(source), heartbeat.beat)
        return compress_cube(part, target, quality, check, beat, threads) | {"cube": str(path)}


@one_blas_thread()
def compress_cube(
    source: CubeSource, target: Path, quality: Quality, check: bool = True, beat: Beat | None = None, threads: int = 1
) -> dict[str, Any]:
    """Compress an open cube; otherwise as `compress_file`."""
    threads = tiles_at_a_time(threads)
    if source.dtype.kind == "c":
        raise CubeError(f"{source.path}: complex numbers are not compressed; give magnitudes")
    if source.unkept:
        _logger.warning("%s also has, which is not kept: %s", source.path, "; ".join(source.unkept))
    check_file(target)
    info = declared(source, quality.nodata)
    with appearing(target) as temporary:
        began = time.perf_counter()
        with open(temporary, "wb") as f:
            _encode(source, info, f, quality, lambda done: beat(done, source.nbytes * (1 + check)) if beat else None, threads)
            f.flush()
            os.fsync(f.fileno())
        encoded = time.perf_counter()
        verified = verify(source, info, temporary, quality, beat, threads) if check else None
        decode_s = time.perf_counter() - encoded
        size = temporary.stat().st_size
        doubts = [] if verified is None else report_doubts(source.path, verified, quality)
    report = {"cube": str(source.path), "format": source.form, "efz": str(target), "settings": quality.as_json()}
    figures = _figures(info, size, verified.measured if verified else None, encoded - began, decode_s if check else None)
    if verified is not None:
        figures |= {"missed": verified.missed} if verified.missed else {}
        figures |= {"doubts": doubts} if doubts else {}
        figures |= {"likely_fills": [fill.as_json() for fill in verified.fills]} if verified.fills else {}
    return report | {"not_kept": list(source.unkept)} | figures


def decompress_window(
    path: Path, target: Path, form: str | None = None, window: tuple[slice, slice] | None = None, bands: slice | None = None
) -> dict[str, Any]:
    """Decode a window of an .efz file into a cube file, from the tiles that it touches alone, and return the report.

    window: rows and columns; None: all. bands: None: all. Both as Python's slices, without step.
    Raises CubeError, OutputError, and SettingsError for a window that is empty.
    """
    began = time.perf_counter()
    with EfzSource(path) as source:
        wanted = *(window or (slice(None), slice(None))), bands or slice(None)
        rows, columns, chosen = (slice(*s.indices(n)[:2]) for s, n in zip(wanted, source.shape, strict=True))
        if min(s.stop - s.start for s in (rows, columns, chosen)) < 1:
            raise SettingsError(f"{path} has {' x '.join(map(str, source.shape))} rows, columns and bands: the window is empty")
        info = source.info.part(rows, columns, chosen)
        step = max(1, _WINDOW_BYTES // max(1, info.nbytes // info.shape[0]))
        with create_cube(target, info, form) as sink:
            for top in range(0, info.shape[0], step):
                part = slice(top, min(top + step, info.shape[0]))
                samples = source.read(slice(rows.start + part.start, rows.start + part.stop), columns, chosen)
                sink.write((part, slice(0, info.shape[1]), slice(0, info.shape[2])), samples)
        elapsed = time.perf_counter() - began
        report: dict[str, Any] = {"efz": str(path), "cube": str(target), "format": sink.form, "lost": [], "bytes_read": source.bytes_read}
        return report | _figures(info, path.stat().st_size, None, None, elapsed)


def decompress_file(
    path: Path, target: Path, form: str | None = None, keep: bool = False, beat: Beat | None = None, threads: int = 1
) -> dict[str, Any]:
    """Decode an .efz file into a cube file and return the report. Raises CubeError, OutputError.

    form: format of the target; None: by its suffix. keep: write the intact tiles of a damaged file and fill the others with zero or the
    no-data value; the report lists them. threads: as for `compress_file`.
    """
    threads = tiles_at_a_time(threads)
    with Compressed(path) as efz:
        began = time.perf_counter()
        done = 0
        with create_cube(target, efz.info, form) as sink:
            for window, samples in efz.tiles(threads):
                sink.write(window, samples)
                done += samples.nbytes
                if beat is not None:
                    beat(done, efz.info.nbytes)
            if efz.lost and not keep:
                raise CubeError(f"{path} is damaged: {len(efz.lost)} of its tiles are lost; --keep-intact writes the others")
            for window in efz.lost:
                sink[window] = efz.missing
        elapsed = time.perf_counter() - began
        lost = [[[s.start, s.stop] for s in window[:2]] for window in efz.lost[:_MAX_LISTED]]
        report: dict[str, Any] = {"efz": str(path), "cube": str(target), "format": sink.form, "settings": efz.settings, "lost": lost}
        if len(efz.lost) > len(lost):
            report["lost_tiles"] = len(efz.lost)
        return report | _figures(efz.info, path.stat().st_size, None, None, elapsed)


def _encode(source: CubeSource, info: CubeInfo, file: BinaryIO, quality: Quality, beat: Callable[[int], None], threads: int) -> None:
    encoder = codec(quality.model)
    bound = quality.bound if quality.bound is None or info.dtype.kind == "f" else math.floor(quality.bound)
    target = Target(
        bpppc=quality.bpppc, psnr=quality.psnr, max_error=bound, relative_error=quality.relative_error, peak=quality.peak,
        best_effort=quality.allow_miss,
    )  # fmt: skip
    about = {k: v for k, v in info.as_json().items() if k not in ("shape", "dtype")}
    nodata = info.nodata if can_hold(info.dtype, info.nodata) else None
    try:
        how: dict[str, int] = {"threads": threads} if encoder.PARALLEL else {}
        encoder.encode_to(file, source, target, nodata=nodata, about=about, progress=lambda done, of: beat(info.nbytes * done // of), **how)
    except CubeError:
        raise
    except InputError as e:
        raise CubeError(f"{source.path}: {e}") from None


def _figures(info: CubeInfo, size: int, measured: Spectral | None, encode_s: float | None, decode_s: float | None) -> dict[str, Any]:
    def rate(seconds: float | None) -> float | None:
        return None if not seconds else round(info.nbytes / seconds / 1e6, 3)

    return {
        "shape": list(info.shape),
        "dtype": info.dtype.name,
        "bytes": {"samples": info.nbytes, "efz": size},
        "bpppc": 8 * size / (info.nbytes / info.dtype.itemsize),
        "ratio": info.nbytes / size,
        "quality": None if measured is None else measured.as_json(),
        "encode_s": None if encode_s is None else round(encode_s, 6),
        "encode_mb_s": rate(encode_s),
        "decode_s": None if decode_s is None else round(decode_s, 6),
        "decode_mb_s": rate(decode_s),
    }
