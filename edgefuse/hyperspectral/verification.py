"""Verification of an `.efz` file: it is decoded from its bytes, and compared with the cube and the requested quality."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, EdgeFuseError
from edgefuse.hyperspectral.compressed_reader import Compressed
from edgefuse.hyperspectral.cube import CubeInfo, can_hold, peak_of
from edgefuse.hyperspectral.fills import FillFinder, LikelyFill, named
from edgefuse.hyperspectral.formats.base import CubeSource, Window
from edgefuse.hyperspectral.quality import Quality
from edgefuse.metrics.spectral import Spectral, SpectralScore

_logger = logging.getLogger(__name__)

Beat = Callable[[int, int], None]  # bytes done, total bytes

_ABOVE_PEAK, _BELOW_PEAK = 8.0, 1 / 50  # largest sample in peaks, outside of which the peak probably is another one
_CLIPPED = 2.0  # largest sample in peaks, for a model that clips samples to the peak


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of a verification.

    measured: error over the valid samples. fills: likely fill values that the cube does not declare; they count as missing in `measured`.
    magnitude: of the largest valid sample. missed: what was asked for and not reached, as a sentence; empty if all was.
    """

    measured: Spectral
    fills: list[LikelyFill]
    magnitude: float
    missed: str = ""


def verify(source: CubeSource, info: CubeInfo, path: Path, quality: Quality, beat: Beat | None, threads: int = 1) -> Verified:
    """Decode the file at `path`, and compare it with the cube `source`.

    info: metadata of the cube, with the no-data value that was asked for. Raises EdgeFuseError if the file can't be decoded, or a sample
    that must come back exactly does not. A target that is not reached is reported in `missed`. threads: tiles that are decoded
    and compared at a time.
    """
    nodata = info.nodata if can_hold(info.dtype, info.nodata) else None
    peak, reading = quality.peak or peak_of(info.dtype), threading.Lock()

    def compared(window: Window, samples: NDArray[Any]) -> tuple[SpectralScore, FillFinder, int]:
        with reading:
            reference = source.read(*window)
        score, finder = SpectralScore(info.shape[2], peak, nodata), FillFinder(nodata)
        fills = finder.add(reference)
        score.add(reference, samples, fills)
        if wrong := difference(reference, samples, nodata, quality.bound, quality.relative_error, fills):
            raise EdgeFuseError(f"{source.path}: {wrong}; nothing was written. Please report this")
        return score, finder, samples.nbytes

    score, finder, covered = SpectralScore(info.shape[2], peak, nodata), FillFinder(nodata), 0
    with Compressed(path) as efz:
        for tile_score, tile_finder, nbytes in efz.each(compared, threads, waiting=threads):
            score.include(tile_score)
            finder.include(tile_finder)
            covered += nbytes
            if beat is not None:
                beat(source.nbytes + covered, 2 * source.nbytes)
        if efz.lost or covered != source.nbytes:
            raise EdgeFuseError(f"{source.path}: the written file can't be decoded completely; the disk may be failing")
    measured = score.result()
    missed = _missed(quality, measured, 8 * path.stat().st_size / math.prod(info.shape))
    return Verified(measured, finder.result(), score.magnitude, f"{source.path}: {missed}" if missed else "")


def difference(
    reference: NDArray[Any], decoded: NDArray[Any], nodata: float | None, max_error: float | None, relative_error: float | None,
    fills: NDArray[np.bool_] | None = None,
) -> str:  # fmt: skip
    """Return how decoded samples differ from what was asked for, empty if they do not. Both arrays have one shape and type.

    max_error: 0: all bits are the same; None: no bound. relative_error: as a share of a sample's magnitude; None: no bound. Missing samples
    (`nodata`), infinities, NaN and `fills` (True where a sample is kept as it is) come back exactly.
    """
    other = "the decoded cube differs from the original"
    if max_error == 0:
        # bits, because NaN differs from itself, and 0.0 equals -0.0
        return "" if np.array_equal(_bits(reference), _bits(decoded)) else other
    missing = np.zeros(reference.shape, bool) if nodata is None else reference == nodata
    if reference.dtype.kind == "f":
        missing |= ~np.isfinite(reference)
    exact = missing if fills is None else missing | fills
    if exact.any() and not np.array_equal(reference[exact], decoded[exact], equal_nan=reference.dtype.kind == "f"):
        return other
    if max_error is None and relative_error is None:
        return ""
    wanted = reference[~missing].astype(np.float64)
    errors = np.abs(decoded[~missing].astype(np.float64) - wanted)
    allowed = max_error if relative_error is None else relative_error * np.abs(wanted)
    # a sample that is NaN now does not hold the bound
    if (errors <= allowed).all():
        return ""
    limit = f"{max_error:g}" if relative_error is None else f"{relative_error:g} of it"
    return f"a decoded sample is off by {float(errors.max()):g}, allowed are {limit}"


def _bits(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.view(f"u{samples.dtype.itemsize}") if samples.dtype.kind == "f" else samples


def _missed(quality: Quality, measured: Spectral, bpppc: float) -> str:
    """Return a message with the requested and the reached value, and a setting that would reach it; empty if it was reached."""
    if quality.bpppc is not None and bpppc > quality.bpppc:
        enough = math.ceil(bpppc * 1000) / 1000
        return (
            f"{bpppc:.4g} bits per pixel and channel reached, {quality.bpppc:g} asked: the cube is too small for this rate, or its mask of "
            f"missing samples too irregular; --bpppc {enough:g} reaches it, --allow-miss keeps the file"
        )
    if quality.psnr is not None and measured.psnr_db < quality.psnr:
        most = math.floor(measured.psnr_db * 100) / 100
        return (
            f"{measured.psnr_db:.2f} dB reached, {quality.psnr:g} asked, with a peak of {measured.peak:g}; --psnr {most:g} reaches it, or "
            "--bpppc or --max-error without a peak; --allow-miss keeps the file"
        )
    return ""


def report_doubts(path: Path, result: Verified, quality: Quality) -> list[str]:
    """Log warnings of undeclared fill values, and of a peak that does not fit the samples. Raises CubeError for a missed target.

    Returns why more may be lost than was meant, a sentence each: a reason to keep the original.
    """
    lost: list[str] = []
    if result.fills:
        _logger.warning(
            "%s: %s: likely a fill value that the file does not declare; it is kept exactly and does not count in the quality. "
            "--nodata=%.9g declares it as missing",
            path, named(result.fills), result.fills[0].value,
        )  # fmt: skip
    peak, clips = result.measured.peak, quality.model == "sscnet"
    ratio = result.magnitude / peak
    if (quality.psnr is not None or clips) and result.magnitude and not _BELOW_PEAK <= ratio <= (_CLIPPED if clips else _ABOVE_PEAK):
        effect = "sscnet clips samples above the peak" if clips else "the PSNR asks for more than it usually means"
        _logger.warning(
            "%s: the largest sample is %.4g, but the peak of the PSNR is %.4g: %s. Give --peak in the samples' unit",
            path, result.magnitude, peak, "more is lost than the PSNR suggests" if ratio < 1 else effect,
        )  # fmt: skip
        if clips or ratio < 1:
            lost.append(f"its largest sample is {result.magnitude:.4g}, and the peak of the quality {peak:.4g}: give --peak")
    if result.missed:
        if not quality.allow_miss:
            raise CubeError(result.missed)
        _logger.warning("%s", result.missed)
    return lost
