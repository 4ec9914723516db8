"""A cube's file into an `.efz` file that was decoded again and measured before it appears, and back."""

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

Beat = Callable[[int, int], None]  # bytes done, bytes in all


def compress_file(
    path: Path, target: Path, quality: Quality, dataset: str | None = None, header: Path | None = None, check: bool = True,
    beat: Beat | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Compress a cube file; returns the report. `target` appears whole, or not at all, and only after it was decoded (unless not `check`).

    Raises CubeError (the cube), OutputError (the target), SettingsError, EdgeFuseError where what was decoded breaks the bound asked for.
    """
    with open_cube(path, dataset, header) as source:
        return compress_cube(source, target, quality, check, beat) | {"cube": str(path)}


def compress_cube(source: CubeSource, target: Path, quality: Quality, check: bool = True, beat: Beat | None = None) -> dict[str, Any]:
    """Compress an open cube; as `compress_file`."""
    if source.dtype.kind == "c":
        raise CubeError(f"{source.path}: complex numbers are not compressed; give magnitudes")
    check_file(target)
    with appearing(target) as part:
        began = time.perf_counter()
        with open(part, "wb") as f:
            _encode(source, f, quality, lambda done: beat(done, source.nbytes * (1 + check)) if beat else None)
            f.flush()
            os.fsync(f.fileno())
        encoded = time.perf_counter()
        found = _checked(source, part, quality, beat) if check else None
        decode_s = time.perf_counter() - encoded
        size = part.stat().st_size
        if quality.bpppc is not None and 8 * size * source.dtype.itemsize > 1.001 * quality.bpppc * source.nbytes:
            _logger.warning("%s took more than %g bits a pixel and channel: it is too small for so few", source.path, quality.bpppc)
    report = {"cube": str(source.path), "format": source.form, "efz": str(target), "settings": quality.as_json()}
    return report | _figures(source.info, size, found, encoded - began, decode_s if check else None)


def decompress_file(path: Path, target: Path, form: str | None = None, keep: bool = False, beat: Beat | None = None) -> dict[str, Any]:
    """Decode into a cube file of `form`, by the suffix where None; returns the report.

    keep: write what is intact of a damaged file, the rest zero or no data; the report lists what was lost. Raises CubeError, OutputError.
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
    kind, info = codec(quality.model), source.info
    target = Target(bpppc=quality.bpppc, psnr=quality.psnr, max_error=quality.bound)
    about = {k: v for k, v in info.as_json().items() if k not in ("shape", "dtype")}
    nodata = info.nodata if can_hold(info.dtype, info.nodata) else None
    try:
        kind.encode_to(file, source, target, nodata=nodata, about=about, progress=lambda done, of: beat(info.nbytes * done // of))
    except CubeError:
        raise
    except InputError as e:
        raise CubeError(f"{source.path}: {e}") from None


def _checked(source: CubeSource, part: Path, quality: Quality, beat: Beat | None) -> Spectral:
    """Decode what was written, and measure it. Raises EdgeFuseError where it is not what was asked for."""
    score = SpectralScore(source.shape[2], peak_of(source.dtype), source.info.nodata)
    covered = 0
    with Compressed(part) as efz:
        for window, samples in efz.tiles():
            reference = source.read(*window)
            score.add(reference, samples)
            if quality.bound == 0 and not np.array_equal(reference, samples):
                raise EdgeFuseError(f"{source.path}: what was decoded is not what went in; nothing was written. Please report this")
            covered += samples.size
            if beat is not None:
                beat(source.nbytes + covered * samples.itemsize, 2 * source.nbytes)
        if efz.lost or covered * source.dtype.itemsize != source.nbytes:
            raise EdgeFuseError(f"{source.path}: what was written can't be decoded whole; the disk may be failing")
    found = score.result()
    if quality.bound is not None and found.max_error > quality.bound:
        raise EdgeFuseError(f"{source.path}: decoded samples are {found.max_error:g} off, {quality.bound} were allowed; please report this")
    return found


def _figures(info: CubeInfo, size: int, found: Spectral | None, encode_s: float | None, decode_s: float | None) -> dict[str, Any]:
    def rate(seconds: float | None) -> float | None:
        return None if not seconds else round(info.nbytes / seconds / 1e6, 3)

    return {
        "shape": list(info.shape),
        "dtype": info.dtype.name,
        "bytes": {"samples": info.nbytes, "efz": size},
        "bpppc": 8 * size / (info.nbytes / info.dtype.itemsize),
        "ratio": info.nbytes / size,
        "quality": None if found is None else found.as_json(),
        "encode_s": None if encode_s is None else round(encode_s, 6),
        "encode_mb_s": rate(encode_s),
        "decode_s": None if decode_s is None else round(decode_s, 6),
        "decode_mb_s": rate(decode_s),
    }
