"""Options of all commands that read a cube: which array of the file, its axes and wavelengths, and which part."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.hyperspectral.part import Choice


def add_options(p: argparse.ArgumentParser, nodata: bool = True) -> None:
    """Add the options that `choice` reads. nodata: whether `--nodata` is among them; compression has its own."""
    add_file_options(p, nodata=nodata)
    p.add_argument(
        "--wavelengths", metavar="FILE", help="text file with the wavelength of each band in nm, instead of those in the cube (all bands)"
    )
    p.add_argument(
        "--references", action="store_true", help="reflectance, by the dark and white references beside the cube (Specim, Headwall)"
    )
    p.add_argument("--orthorectify", action="store_true", help="read the cube on its map's grid, by the lookup table in EMIT's granules")
    add_part(p)


def add_file_options(p: argparse.ArgumentParser, of: str = "", nodata: bool = True) -> None:
    """Add the options about what a file holds. of: "image", for the image of a sharpening; its options start with this word."""
    mark, what = (f"{of}-", f" of the {of}") if of else ("", "")
    p.add_argument(
        f"--{mark}dataset", metavar="NAME", help=f"which array{what} of a .npz, .mat or HDF5 file (default: cube, or the only one)"
    )
    p.add_argument(
        f"--{mark}axes", metavar="A,B,C", type=_axes,
        help=f"order of the axes{what} in a .npy, .npz, .mat, HDF5 or netCDF file, as bands,rows,columns (default: as the file says)",
    )  # fmt: skip
    if nodata:
        p.add_argument(
            f"--{mark}nodata",
            metavar="VALUE",
            help=f"value of missing samples{what}, as --{mark}nodata=-9999; auto: the likeliest fill value",
        )


def choice(args: argparse.Namespace, nodata: bool = True) -> Choice:
    """Return what of the cube is meant by the options of `add_options`."""
    from edgefuse.hyperspectral.part import Choice

    waves: Path | None = expand(args.wavelengths) if args.wavelengths else None
    return Choice(
        dataset=args.dataset, axes=args.axes, nodata=args.nodata if nodata else None, wavelengths=waves, window=args.window,
        bands=args.bands, orthorectify=args.orthorectify, references=args.references,
    )  # fmt: skip


def image_choice(args: argparse.Namespace) -> Choice:
    """Return what of the image is meant by the options of `add_file_options(of="image")`."""
    from edgefuse.hyperspectral.part import Choice

    return Choice(dataset=args.image_dataset, axes=args.image_axes, nodata=args.image_nodata)


def _axes(text: str) -> tuple[int, int, int]:
    from edgefuse.errors import SettingsError
    from edgefuse.hyperspectral.formats.axes import parsed

    try:
        return parsed(text)
    except SettingsError as e:
        raise argparse.ArgumentTypeError(str(e)) from None


def add_part(p: argparse.ArgumentParser) -> None:
    """Add the options for a part of a cube."""
    p.add_argument("--window", metavar="R:R,C:C", type=_window, help="only these rows and columns, in pixels from 0, as 100:164,200:264")
    p.add_argument("--bands", metavar="B:B", type=_range, help="only these bands, counted from 0, as 10:20")


def _range(text: str) -> slice:
    """Parse START:STOP, either of which may be left out."""
    match = re.fullmatch(r"(\d{0,9}):(\d{0,9})", text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: expected START:STOP, as 10:20")
    start, stop = (int(n) if n else None for n in match.groups())
    return slice(start, stop)


def _window(text: str) -> tuple[slice, slice]:
    rows, comma, columns = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"{text!r}: expected rows, then columns, as 100:164,200:264")
    return _range(rows), _range(columns)
