"""Compression of cube files into `.efz` files, verified by decoding before the file appears, and decompression."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgefuse.errors import CubeError, EdgeFuseError, InputError
from edgefuse.hyperspectral.codec.base import Target, codec
from edgefuse.hyperspectral.compressed import Compressed
from edgefuse.hyperspectral.cube import CubeInfo, can_hold, peak_of
from edgefuse.hyperspectral.formats import create_cube, open_cube
from edgefuse.hyperspectral.formats.base import CubeSource
from edgefuse.hyperspectral.quality import Quality
from edgefuse.metrics.spectral import Spectral, SpectralScore
from edgefuse.util.files import appearing, check_file

_logger = logging.getLogger(__name__)

Beat = Callable[[int, int], None]  # bytes done, total bytes


def compress_file(
    path: Path, target: Path, quality: Quality, dataset: str | None = None, header: Path | None = None, check: bool = True,
    beat: Beat | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Compress a cube file and return the report. `target` is written atomically and, with `check`, only after it was decoded and measured.

    Raises CubeError (the cube), OutputError (the target), SettingsError, EdgeFuseError if the decoded cube exceeds the error bound.
    """
    with open_cube(path, dataset, header) as source:
        return compress_cube(source, target, quality, check, beat) | {"cube": str(path)}


def compress_cube(source: CubeSource, target: Path, quality: Quality, check: bool = True, beat: Beat | None = None) -> dict[str, Any]:
    """Compress an open cube; otherwise as `compress_file`."""
    if source.dtype.kind == "c":
        raise CubeError(f"{source.path}: complex numbers are not compressed; give magnitudes")
    if source.unkept:
        _logger.warning("%s also has, which is not kept: %s", source.path, "; ".join(source.unkept))
    check_file(target)
    with appearing(target) as temporary:
        began = time.perf_counter()
        with open(temporary, "wb") as f:
            _encode(source, f, quality, lambda done: beat(done, source.nbytes * (1 + check)) if beat else None)
            f.flush()
            os.fsync(f.fileno())
        encoded = time.perf_counter()
        measured = _verify(source, temporary, quality, beat) if check else None
        decode_s = time.perf_counter() - encoded
        size = temporary.stat().st_size
        if quality.bpppc is not None and 8 * size * source.dtype.itemsize > 1.001 * quality.bpppc * source.nbytes:
            _logger.warning(
                "%s took more than %g bits per pixel and channel: the cube is too small for this rate", source.path, quality.bpppc
            )
    report = {"cube": str(source.path), "format": source.form, "efz": str(target), "settings": quality.as_json()}
    report["not_kept"] = list(source.unkept)
    return report | _figures(source.info, size, measured, encoded - began, decode_s if check else None)


def decompress_file(path: Path, target: Path, form: str | None = None, keep: bool = False, beat: Beat | None = None) -> dict[str, Any]:
    """Decode an .efz file into a cube file and return the report. Raises CubeError, OutputError.

    form: format of the target; None: by its suffix. keep: write the intact tiles of a damaged file and fill the others with zero or the
    no-data value; the report lists them.
    """
    with Compressed(path) as efz:
        began = time.perf_counter()
        done = 0
        with create_cube(target, efz.info, form) as sink:
            for window, samples in efz.tiles():
                sink.write(window, samples)
                done += samples.nbytes
                if beat is not None:
                    beat(done, efz.info.nbytes)
            lost = [[[s.start, s.stop] for s in window[:2]] for window in efz.lost]
            if lost and not keep:
                raise CubeError(f"{path} is damaged: {len(lost)} of its tiles are lost; --keep-intact writes the others")
            for window in efz.lost:
                sink[window] = efz.missing
        elapsed = time.perf_counter() - began
        report = {"efz": str(path), "cube": str(target), "format": sink.form, "settings": efz.settings, "lost": lost}
        return report | _figures(efz.info, path.stat().st_size, None, None, elapsed)


def _encode(source: CubeSource, file: BinaryIO, quality: Quality, beat: Callable[[int], None]) -> None:
    encoder, info = codec(quality.model), source.info
    target = Target(bpppc=quality.bpppc, psnr=quality.psnr, max_error=quality.bound)
    about = {k: v for k, v in info.as_json().items() if k not in ("shape", "dtype")}
    nodata = info.nodata if can_hold(info.dtype, info.nodata) else None
    try:
        encoder.encode_to(file, source, target, nodata=nodata, about=about, progress=lambda done, of: beat(info.nbytes * done // of))
    except CubeError:
        raise
    except InputError as e:
        raise CubeError(f"{source.path}: {e}") from None


def _verify(source: CubeSource, path: Path, quality: Quality, beat: Beat | None) -> Spectral:
    """Decode the written file and measure it. Raises EdgeFuseError if it misses the target or can't be decoded."""
    score = SpectralScore(source.shape[2], peak_of(source.dtype), source.info.nodata)
    covered = 0
    with Compressed(path) as efz:
        for window, samples in efz.tiles():
            reference = source.read(*window)
            score.add(reference, samples)
            if quality.bound == 0 and not np.array_equal(reference, samples):
                raise EdgeFuseError(f"{source.path}: the decoded cube differs from the original; nothing was written. Please report this")
            covered += samples.size
            if beat is not None:
                beat(source.nbytes + covered * samples.itemsize, 2 * source.nbytes)
        if efz.lost or covered * source.dtype.itemsize != source.nbytes:
            raise EdgeFuseError(f"{source.path}: the written file can't be decoded completely; the disk may be failing")
    measured = score.result()
    if quality.bound is not None and measured.max_error > quality.bound:
        raise EdgeFuseError(
            f"{source.path}: a decoded sample is off by {measured.max_error:g}, allowed are {quality.bound}; please report this"
        )
    return measured


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
