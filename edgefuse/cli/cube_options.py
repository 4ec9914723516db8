"""Options of all commands that read a cube: which array of the file, its axes and wavelengths, and which part."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.hyperspectral.part import Choice


def _parsing(module: str, function: str) -> Callable[[str], Any]:
    """Return a function that parses an option by a function which is imported then, and raises argparse's error."""

    def parse(text: str) -> Any:
        from importlib import import_module

        from edgefuse.errors import SettingsError

        try:
            return getattr(import_module(f"edgefuse.hyperspectral.{module}"), function)(text)
        except SettingsError as e:
            raise argparse.ArgumentTypeError(str(e)) from None

    return parse


_axes, _window, _range = _parsing("formats.axes", "parsed"), _parsing("part", "parsed_window"), _parsing("part", "parsed_range")


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


def add_part(p: argparse.ArgumentParser) -> None:
    """Add the options for a part of a cube."""
    p.add_argument("--window", metavar="R:R,C:C", type=_window, help="only these rows and columns, in pixels from 0, as 100:164,200:264")
    p.add_argument("--bands", metavar="B:B", type=_range, help="only these bands, counted from 0, as 10:20")
