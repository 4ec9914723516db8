"""`edgefuse compress`: compresses a hyperspectral cube into an .efz file, decodes it again and measures the loss."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from edgefuse.cli import cube_options, pipes
from edgefuse.cli.progress import Progress, log_lines
from edgefuse.hyperspectral.quality import Quality
from edgefuse.hyperspectral.threads import HELP as THREADS_HELP
from edgefuse.util import heartbeat
from edgefuse.util.printable import printable
from edgefuse.util.uri import expand

_EPILOG = """\
CUBE is ENVI (its samples or its header), .npy, .npz, .mat, GeoTIFF (EnMAP L2A), HDF5 (PRISMA, NEON) or netCDF-4: docs/reference/cubes.md.
Lossless without --bpppc, --psnr, --max-error or --relative-error. OUT appears once it is complete, was decoded again
and holds what was asked for; otherwise the command fails, and says what would be reached.

examples:
  edgefuse compress scene.img scene.efz                    lossless
  edgefuse compress scene.img scene.efz --max-error 5      largest error of a sample 5 counts
  edgefuse compress refl.npy refl.efz --max-error 0.0001   float reflectance, largest error 0.0001
  edgefuse compress rad.npy rad.efz --relative-error 0.001 largest error a thousandth of each sample
  edgefuse compress scene.npy scene.efz --bpppc 0.25       0.25 bits per pixel and channel
  edgefuse compress scene.tif scene.efz --psnr 45 --json
  edgefuse compress scene.img scene.efz --psnr 45 --nodata=-9999
  edgefuse compress scene.img part.efz --window 100:164,200:264 --bands 10:90
  edgefuse compress scene.npy scene.efz --wavelengths nm.txt --axes bands,rows,columns
  ssh pi cat scene.npy | edgefuse compress - - --bpppc 0.1 > scene.efz
"""


def add(commands: Any) -> None:
    p = commands.add_parser(
        "compress", help="compress a hyperspectral cube", description="Compress a hyperspectral cube and measure what is lost.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("cube", metavar="CUBE", help="the cube's file; - reads it from a pipe")
    p.add_argument("out", metavar="OUT.efz", help="the file to write; - writes it to a pipe")
    add_quality(p)
    p.add_argument("--header", metavar="FILE.hdr", help="the ENVI header, if not beside the samples")
    p.add_argument("--threads", metavar="N", type=int, default=0, help=THREADS_HELP)
    cube_options.add_options(p, nodata=False)
    p.add_argument("--check", action=argparse.BooleanOptionalAction, default=True, help="decode and measure (default: yes)")
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.set_defaults(command=command)


def add_quality(p: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Quality`."""
    metavars = {"model": "NAME", "bpppc": "R", "psnr": "D", "max_error": "E", "relative_error": "R", "peak": "V", "nodata": "VALUE"}
    for f in fields(Quality):
        option, text = f"--{f.name.replace('_', '-')}", f.metadata["help"].removeprefix("for cubes: ")
        if f.name == "allow_miss":
            p.add_argument(option, action="store_true", help=text)
            continue
        text += f" (default: {f.default})" if f.name == "model" else ""
        p.add_argument(option, metavar=metavars[f.name], type=str if f.name in ("model", "nodata") else float, help=text)


def command(args: argparse.Namespace) -> int:
    from edgefuse.hyperspectral.compress import compress_file

    quality = Quality.from_options(vars(args))
    progress = Percent("compressing")
    with log_lines(), pipes.source(args.cube) as path, pipes.target(args.out, ".efz") as out:
        pipes.refuse_same(path, out, "OUT")
        try:
            header = expand(args.header) if args.header else None
            choice = cube_options.choice(args, nodata=False)
            report = compress_file(path, out, quality, choice, header, args.check, progress.update, args.threads)
        finally:
            progress.close()
    show(report, args.json, args.cube, args.out)
    return 0


class Percent:
    """Progress line in bytes."""

    def __init__(self, label: str) -> None:
        self._progress = Progress(label, 100)

    def update(self, done: int, total: int) -> None:
        self._progress.update(100 * done // total, "%")

    def close(self) -> None:
        self._progress.close()


def show(report: dict[str, Any], as_json: bool, reads: str, writes: str) -> None:
    """Print a report, on standard error where the bytes went to standard output."""
    from edgefuse.telemetry.report import peak_resident_bytes

    report["peak_resident_mb"] = round(peak_resident_bytes() / 1e6, 1)
    for key in ("cube", "efz"):
        for text in (reads, writes):
            if text == pipes.PIPE and Path(report[key]).stem in ("stdin", "stdout"):
                report[key] = pipes.PIPE
    heartbeat.finished()
    print(json.dumps(report, indent=1) if as_json else as_text(report), file=sys.stderr if writes == pipes.PIPE else sys.stdout)


def as_text(report: dict[str, Any]) -> str:
    """Format a report as aligned lines with units."""
    height, width, bands = report["shape"]
    size, q = report["bytes"], report["quality"]
    lines = [
        f"cube       {report['cube']} ({report['format']}): {height} rows x {width} columns x {bands} bands, {report['dtype']}, "
        f"{size['samples'] / 1e6:.2f} MB",
        f"efz        {report['efz']}: {size['efz'] / 1e6:.3f} MB, {report['bpppc']:.4f} bits a pixel and channel, "
        f"{report['ratio']:.2f} times smaller",
    ]
    if q is not None:
        exact = q["psnr_db"] == "inf"
        psnr = "exact" if exact else f"{_figure(q['psnr_db'], 'dB')} (peak {q['peak']:g})"
        worst = "" if exact else f", worst band {q['worst_band']} {_figure(q['worst_band_psnr_db'], 'dB')}"
        lines.append(
            f"quality    PSNR {psnr}{worst}, spectral angle {_figure(q['sam_degrees'], 'degrees', 4)}, "
            f"largest error {_figure(q['max_error'], 'in samples', 6)}"
        )
    speeds = [f"{n} {report[f'{n}_mb_s']:.2f} MB/s ({report[f'{n}_s']:.2f} s)" for n in ("encode", "decode") if report[f"{n}_mb_s"]]
    lines += [f"speed      {', '.join(speeds)}"] if speeds else []
    lines.append(f"memory     {report['peak_resident_mb']:.1f} MB peak resident")
    if report.get("lost"):
        lines.append(f"lost       {len(report['lost'])} tiles, zero or no data; the first: rows, columns {report['lost'][0]}")
    return "\n".join(map(printable, lines))


def _figure(value: float | None, unit: str, digits: int = 2) -> str:
    return "not measured" if value is None else f"{round(value, digits):g} {unit}"
