"""`edgefuse.open_cube`, `compress`, `decompress` and `read_efz`: cubes as arrays or files, .efz as bytes or files."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.array import AnyCube, AnyPath, check_numbers, opened, path_of
from edgefuse.hyperspectral.compress import compress_cube, decompress_file
from edgefuse.hyperspectral.compressed_reader import Compressed
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats.axes import parsed
from edgefuse.hyperspectral.formats.base import CubeSource, Window
from edgefuse.hyperspectral.part import Choice
from edgefuse.hyperspectral.quality import AUTO, Quality
from edgefuse.hyperspectral.threads import tiles_at_a_time


@dataclass(frozen=True, slots=True)
class DecodedCube:
    """Content of an .efz file.

    data: (H, W, B), of the type that was compressed. info: wavelengths, band names, no-data value, georeference.
    lost: windows (rows, columns, bands) of damaged tiles, where `data` holds the no-data value (or 0). Only with `keep_intact`.
    """

    data: NDArray[Any]
    info: CubeInfo
    lost: tuple[Window, ...] = ()


def open_cube(
    path: AnyPath, dataset: str | None = None, header: AnyPath | None = None, *, axes: str | None = None,
    nodata: float | str | None = None, wavelengths: Sequence[float] | None = None, window: tuple[slice, slice] | None = None,
    bands: slice | None = None, orthorectify: bool = False, references: bool = False,
) -> CubeSource:  # fmt: skip
    """Open a cube file without reading it: `cube[10:20, :, 5]` reads a part, `cube[:]` all. `compress` and `sharpen` take it, too.

    Args:
        path: ENVI, .npy, .npz, .mat, GeoTIFF, HDF5, netCDF-4, a Zarr store, or .efz, of which only the tiles in a window are decoded.
        dataset: name of the array in the file, for .npz, .mat, HDF5 and Zarr.
        header: path of the ENVI header, if it is not beside the samples.
        axes: order of the axes in a .npy, .npz, .mat, HDF5 or netCDF file that does not say so, as "bands,rows,columns".
        nodata: value of missing samples, instead of the file's own; "auto": the likeliest fill value, if none is declared.
        wavelengths: of all bands of the file in nanometres, instead of its own.
        window: rows and columns, as slices without step, such as (slice(100, 164), slice(200, 264)). Default: all.
        bands: bands likewise.
        references: read it as reflectance, by the dark and white references beside it (Specim, Headwall).
        orthorectify: read it on its map's grid, by the lookup table (GLT) that EMIT's granules have.

    Returns:
        The open cube, a context manager with `.shape`, `.dtype` and `.info`.

    Raises:
        CubeError: the file is not a cube, or is damaged, or `nodata` or `wavelengths` do not fit it.
        SettingsError: axes that are none, an empty window.
        MissingDependencyError: its format needs a package; the message has the pip command.
    """
    choice = Choice(
        dataset=dataset, axes=None if axes is None else parsed(axes), nodata=None if nodata is None else str(nodata),
        wavelengths=None if wavelengths is None else tuple(map(float, wavelengths)), window=window, bands=bands,
        orthorectify=orthorectify, references=references,
    )  # fmt: skip
    return choice.of(choice.opened(path_of(path), None if header is None else path_of(header)), owned=True)


@overload
def compress(
    cube: AnyCube, out: None = None, *, bpppc: float | None = None, psnr: float | None = None, max_error: float | None = None,
    relative_error: float | None = None, peak: float | None = None, model: str = "spectral-edge", nodata: float | str | None = None,
    wavelengths: Sequence[float] | None = None, dataset: str | None = None, check: bool = True, allow_miss: bool = False, threads: int = 0,
) -> bytes: ...  # fmt: skip


@overload
def compress(
    cube: AnyCube, out: AnyPath, *, bpppc: float | None = None, psnr: float | None = None, max_error: float | None = None,
    relative_error: float | None = None, peak: float | None = None, model: str = "spectral-edge", nodata: float | str | None = None,
    wavelengths: Sequence[float] | None = None, dataset: str | None = None, check: bool = True, allow_miss: bool = False, threads: int = 0,
) -> dict[str, Any]: ...  # fmt: skip


def compress(
    cube: AnyCube, out: AnyPath | None = None, *, bpppc: float | None = None, psnr: float | None = None, max_error: float | None = None,
    relative_error: float | None = None, peak: float | None = None, model: str = "spectral-edge", nodata: float | str | None = None,
    wavelengths: Sequence[float] | None = None, dataset: str | None = None, check: bool = True, allow_miss: bool = False, threads: int = 0,
) -> bytes | dict[str, Any]:  # fmt: skip
    """Compress a hyperspectral cube. Without `bpppc`, `psnr`, `max_error` and `relative_error` it is lossless, to the bit.

    Args:
        cube: an array (H, W, B) of integers or floats, an xarray.DataArray, the path of a cube file, or an open cube. NaN and infinities
            are missing samples.
        out: the .efz file to write, atomically. Without it the bytes are returned.
        bpppc: maximum bits per pixel and band, such as 0.25.
        psnr: minimum PSNR in dB over the valid samples, such as 45.
        peak: of the PSNR, in the samples' unit. Default: 10000 for 16-bit integers, 255 for 8-bit ones, 1 for floats.
        max_error: maximum absolute error of a sample, in its own units; 0 is lossless.
        relative_error: maximum error of a sample as a share of its magnitude, for floats and 32-bit integers.
        model: `spectral-edge`, or `sscnet` at the network's own rates.
        nodata: value of missing samples, for a file instead of its own; "auto": the likeliest fill value, if none is declared.
        wavelengths: for an array, the wavelength of each band in nanometres.
        dataset: for a file, the name of the array in it.
        check: decode the result before it is returned or written, measure it, and compare it with what was asked for.
        allow_miss: warn of a missed `bpppc` or `psnr` instead of raising an error.
        threads: tiles that are coded at a time; 0: as many as cores and free memory allow. The file is the same for any number.

    Returns:
        The .efz file's bytes; with `out` a report, the same as `edgefuse compress --json` prints.

    Raises:
        CubeError: the input is not a cube, or can't be compressed with these settings, or `bpppc` or `psnr` is missed.
        SettingsError: more than one of `bpppc`, `psnr`, `max_error` and `relative_error`, or one out of its range.
        OutputError: `out` can't be written.
        EdgeFuseError: the decoded result is not what it must be, because of a bug in EdgeFuse or a failing disk.
    """
    check_numbers(bpppc=bpppc, psnr=psnr, max_error=max_error, relative_error=relative_error, peak=peak, threads=threads)
    of_array = isinstance(cube, np.ndarray) and nodata != AUTO
    asked = None if nodata is None or of_array else str(nodata)
    quality = Quality(
        model=model, bpppc=bpppc, psnr=psnr, max_error=max_error, relative_error=relative_error, peak=peak, nodata=asked,
        allow_miss=allow_miss,
    )  # fmt: skip
    with opened(cube, "cube", nodata if of_array else None, wavelengths, dataset) as source:  # type: ignore[arg-type]
        if out is not None:
            target = path_of(out)
            if os.path.realpath(target) in map(os.path.realpath, source.files):
                raise SettingsError(f"{target} is the cube that is read; choose another name")
            return compress_cube(source, target, quality, check, threads=threads)
        with tempfile.TemporaryDirectory(prefix="edgefuse-") as folder:
            target = Path(folder) / "cube.efz"
            compress_cube(source, target, quality, check, threads=threads)
            return target.read_bytes()


@overload
def decompress(efz: bytes | AnyPath, out: None = None, *, keep_intact: bool = False, threads: int = 0) -> NDArray[Any]: ...


@overload
def decompress(efz: bytes | AnyPath, out: AnyPath, *, keep_intact: bool = False, threads: int = 0) -> dict[str, Any]: ...


def decompress(
    efz: bytes | AnyPath, out: AnyPath | None = None, *, keep_intact: bool = False, threads: int = 0
) -> NDArray[Any] | dict[str, Any]:
    """Decode an .efz file.

    Args:
        efz: the file's bytes, or its path.
        out: the cube file to write, in the format of its suffix. Without it an array is returned.
        keep_intact: decode the intact tiles of a damaged file; the rest is the no-data value, or 0.
        threads: tiles that are decoded at a time; 0: as many as cores and free memory allow. The result is the same for any number.

    Returns:
        The cube (H, W, B), of the type that was compressed; with `out` a report, the same as `edgefuse decompress --json` prints.

    Raises:
        CubeError: the input is not an .efz file, or it is damaged and `keep_intact` is not set.
        OutputError: `out` can't be written.
    """
    if out is None:
        return _read(efz, keep_intact, threads).data
    target = path_of(out)
    if isinstance(efz, (str, os.PathLike)):
        if os.path.realpath(path_of(efz)) == os.path.realpath(target):
            raise SettingsError(f"{target} is the file that is read; choose another name")
        return decompress_file(path_of(efz), target, keep=keep_intact, threads=threads)
    with tempfile.TemporaryDirectory(prefix="edgefuse-") as folder:
        path = Path(folder) / "bytes.efz"
        path.write_bytes(_bytes(efz))
        return decompress_file(path, target, keep=keep_intact, threads=threads) | {"efz": "bytes"}


def read_efz(efz: bytes | AnyPath, *, keep_intact: bool = False) -> DecodedCube:
    """Read an .efz file with its metadata.

    Args:
        efz: the file's bytes, or its path.
        keep_intact: decode the intact tiles of a damaged file; `lost` of the result lists the others.

    Returns:
        Samples, wavelengths, georeference and all other metadata of the original cube file.

    Raises:
        CubeError: the input is not an .efz file, or it is damaged and `keep_intact` is not set.
    """
    return _read(efz, keep_intact, 0)


def _read(efz: bytes | AnyPath, keep_intact: bool, threads: int) -> DecodedCube:
    check_numbers(threads=threads)
    count = tiles_at_a_time(threads)
    with Compressed(path_of(efz)) if isinstance(efz, (str, os.PathLike)) else Compressed(Path("efz"), io.BytesIO(_bytes(efz))) as file:
        try:
            data = np.full(file.info.shape, file.missing, file.info.dtype)
        except MemoryError:
            raise CubeError(
                f"{file.path}: a cube of {file.info.nbytes / 1e9:.1f} GB does not fit into memory; decompress it into a file"
            ) from None
        for window, samples in file.tiles(count):
            data[window] = samples
        if file.lost and not keep_intact:
            raise CubeError(f"{file.path} is damaged: {len(file.lost)} of its tiles are lost; keep_intact=True gives the others")
        return DecodedCube(data, file.info, tuple(file.lost))


def _bytes(efz: object) -> bytes:
    if not isinstance(efz, (bytes, bytearray, memoryview)):
        raise CubeError(f"efz is {type(efz).__name__}; give the bytes of an .efz file, or its path")
    return bytes(efz)
