"""`edgefuse sharpen`: sharpens a hyperspectral cube by a multispectral image of the same scene."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefuse.cli import cube_options
from edgefuse.cli.progress import Progress, log_lines
from edgefuse.errors import SettingsError
from edgefuse.util import heartbeat
from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.hyperspectral.part import Choice
    from edgefuse.sharpening.base import Scene

_EPILOG = """\
Both are ENVI, .npy, .npz, .mat, GeoTIFF or HDF5. With georeferences they may overlap in part, on any two grids; without, they cover the
same ground, and the image's resolution is a whole multiple of the cube's. OUT has the cube's bands, wavelengths and type on the image's
grid, or, where the grids do not nest, on one that divides the cube's pixels. Its format follows from its suffix.
Method and quality: docs/how-to/sharpening.md

examples:
  edgefuse sharpen hyperion.img ali.tif sharp.img
  edgefuse sharpen cube.npy image.npy sharp.npy --uncertainty unsure.npy --json
  edgefuse sharpen cube.img image.img sharp.tif --psf auto     estimate the width of the cube's pixels from the data
  edgefuse sharpen low.npy image.npy sharp.npy --truth high.npy
  edgefuse sharpen cube.img image.img sharp.img --model csakd-student --tile 128     the paper's network: ratio 4, 4 bands or more
"""
_STALL_S = 900.0  # of processor time; preparing a scene reports nothing


def add(commands: Any) -> None:
    p = commands.add_parser(
        "sharpen", help="sharpen a hyperspectral cube by a multispectral image",
        description="Sharpen a low-resolution hyperspectral cube by a high-resolution multispectral image of the same scene.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("cube", metavar="LR_HSI", help="the hyperspectral cube")
    p.add_argument("image", metavar="HR_MSI", help="the multispectral image, with 2 or more times the cube's resolution")
    p.add_argument("out", metavar="OUT", help="the sharpened cube to write")
    add_options(p)
    p.add_argument("--uncertainty", metavar="FILE", help="write the standard deviation of a sample's error, one band")
    p.add_argument(
        "--mask", metavar="FILE", help="one band on the image's grid; where it is not 0, the image is not used (clouds, shadows)"
    )
    p.add_argument("--truth", metavar="CUBE", help="the true sharp cube, for PSNR, SAM, ERGAS, RMSE, SSIM and UQI")
    p.add_argument("--threads", metavar="N", type=int, default=0, help="threads (default: the number of cores)")
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.set_defaults(command=command)


def add_options(p: argparse.ArgumentParser) -> None:
    """Add the options that `options` reads."""
    p.add_argument("--model", metavar="NAME", default="sharpen-edge", help="sharpen-edge (default) or csakd-student")
    p.add_argument("--tile", metavar="N", type=int, help="side of a tile in pixels of the image (default: 16 pixels of the cube)")
    p.add_argument(
        "--psf", metavar="W|auto", default="1", help="full width at half maximum of the cube's point spread, in its pixels (default: 1)"
    )
    p.add_argument("--no-register", action="store_true", help="do not estimate a shift, rotation and scale")
    cube_options.add_options(p)
    cube_options.add_file_options(p, "image")
    p.add_argument("--coarse", action="store_true", help="faster, at a loss of about half a decibel")
    p.add_argument("--report", action="store_true", help="read OUT back and compare it with the cube")


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of `sharpen_file`. Raises SettingsError."""
    if not 0 <= args.threads <= 256:
        raise SettingsError(f"--threads {args.threads}: expected a whole number from 1 to 256")
    how: dict[str, Any] = {"name": args.model, "fwhm": _width(args.psf), "register": not args.no_register, "tile": args.tile}
    return how | {"coarse": args.coarse, "report": args.report}


def choices(args: argparse.Namespace) -> tuple[Choice, Choice]:
    """Return what of the cube and of the image is meant."""
    return cube_options.choice(args), cube_options.image_choice(args)


def command(args: argparse.Namespace) -> int:
    from edgefuse.sharpening.files import Files, sharpen_file
    from edgefuse.telemetry.report import peak_resident_bytes

    more = (_optional(p) for p in (args.uncertainty, args.truth, args.mask))
    files = Files(*(expand(p) for p in (args.cube, args.image, args.out)), *more)
    _refuse_same(files)
    for path in (files.out, files.uncertainty):
        if path is not None:
            heartbeat.writes(path)
    progress: list[Progress] = []
    began: list[float] = []
    heartbeat.working(_STALL_S)

    def tell(scene: Scene) -> None:
        line = f"{scene.count} tiles, {scene.tile_s:.3f} s each: about {scene.count * scene.tile_s:.0f} s on one core"
        if sys.stderr.isatty():
            print(f"edgefuse: {line}", file=sys.stderr)
        progress.append(Progress("sharpening", scene.count))
        began.append(time.monotonic())

    def beat(done: int, total: int) -> None:
        taken = max(time.monotonic() - began[0], 1e-6)
        progress[0].update(done, f"{done / taken:.3g} tiles/s, {(total - done) * taken / done:.0f} s left")

    with log_lines():
        try:
            report = sharpen_file(
                files,
                **options(args),
                choices=choices(args),
                threads=args.threads,
                tell=tell,
                beat=beat,
            )
        finally:
            for p in progress:
                p.close()
    heartbeat.finished()
    report["peak_resident_mb"] = round(peak_resident_bytes() / 1e6, 1)
    print(json.dumps(report, indent=1) if args.json else as_text(report))
    return 0


def _optional(text: str | None) -> Path | None:
    return expand(text) if text else None


def _width(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0.1 <= width <= 5:
        raise SettingsError(f"--psf {text}: expected 'auto', or a width from 0.1 to 5 of the cube's pixels")
    return width


def _refuse_same(files: Any) -> None:
    reads = {os.path.realpath(p) for p in (files.cube, files.image, files.truth, files.mask) if p}
    writes = [os.path.realpath(p) for p in (files.out, files.uncertainty) if p]
    for path in writes:
        if path in reads or writes.count(path) > 1:
            raise SettingsError(f"{path} is read, or written twice; choose another name")


def as_text(report: dict[str, Any]) -> str:
    """A report for people: aligned lines, units in every figure."""
    shapes = {name: "{} rows x {} columns x {} bands".format(*shape) for name, shape in report["shapes"].items()}
    (dy, dx), explained = report["shift_pixels"], 100 * report["explained_by_image"]
    turned = ""
    if report["rotation_degrees"] or report["scale_percent"]:
        turned = f", turned by {report['rotation_degrees']:+g} degrees, scale {report['scale_percent']:+g} %"
    lines = [
        f"cube         {report['cube']}: {shapes['cube']}",
        f"image        {report['image']}: {shapes['image']}, ratio {report['ratio']}, shifted by {dy:+g} rows and {dx:+g} columns{turned}",
        f"psf          {report['psf_fwhm']:g} of the cube's pixels wide; of the cube the image explains {explained:.2f} %",
        f"out          {report['out']}: {shapes['out']}",
        f"speed        {report['s_per_megapixel']:.2f} s a megapixel ({report['elapsed_s']:.2f} s, {report['tiles']} tiles, "
        f"{report['tile_predicted_s']:.3f} s each predicted)",
        f"memory       {report['peak_resident_mb']:.1f} MB peak resident",
    ]
    for name in ("consistency", "truth"):
        if name in report:
            f = {k: "not measured" if v is None else v if isinstance(v, str) else f"{v:.6g}" for k, v in report[name].items()}
            lines.append(
                f"{name:12s} PSNR {f['psnr_db']} dB mean of bands, {f['psnr_whole_db']} dB of all samples (peak {f['peak']}), "
                f"spectral angle {f['sam_degrees']} degrees, ERGAS {f['ergas']}, RMSE {f['rmse']} in samples"
                + (f", SSIM {f['ssim']}, UQI {f['uqi']}" if "ssim" in f else "")
            )
    return "\n".join(lines)
