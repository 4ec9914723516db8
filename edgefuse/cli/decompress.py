"""`edgefuse decompress`: decodes an .efz file into a cube file."""

from __future__ import annotations

import argparse
from typing import Any

from edgefuse.cli import cube_options, pipes
from edgefuse.cli.compress import Percent, show
from edgefuse.cli.progress import log_lines
from edgefuse.errors import SettingsError
from edgefuse.hyperspectral.formats import FORMATS, by_name
from edgefuse.hyperspectral.threads import HELP as THREADS_HELP

_EPILOG = """\
The format follows from OUT's suffix: .img .dat .bsq .bil .bip or none ENVI, .npy, .npz, .mat, .tif GeoTIFF, .h5 HDF5, .nc netCDF;
into a pipe .npy.

examples:
  edgefuse decompress scene.efz scene.img                  ENVI, with scene.img.hdr
  edgefuse decompress scene.efz scene.tif                  GeoTIFF with wavelengths and georeference
  edgefuse decompress damaged.efz scene.npy --keep-intact  only the intact tiles
  edgefuse decompress scene.efz part.npy --window 100:164,200:264 --bands 10:20
  ssh pi cat scene.efz | edgefuse decompress - - | python -c 'import numpy, sys; print(numpy.load(sys.stdin.buffer).shape)'
"""


def add(commands: Any) -> None:
    p = commands.add_parser(
        "decompress", help="decode an .efz file", description="Decode an .efz file into a cube file.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("efz", metavar="IN.efz", help="the file to decode; - reads it from a pipe")
    p.add_argument("out", metavar="OUT", help="the cube's file; - writes it to a pipe")
    p.add_argument("--format", choices=tuple(FORMATS), help="output format (default: by the suffix, ENVI without one, npy for a pipe)")
    p.add_argument("--keep-intact", action="store_true", help="write the intact tiles of a damaged file; the rest is zero or no data")
    cube_options.add_part(p)
    p.add_argument("--threads", metavar="N", type=int, default=0, help=THREADS_HELP)
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    from edgefuse.hyperspectral.compress import decompress_file, decompress_window

    progress = Percent("decompressing")
    form = args.format or ("npy" if args.out == pipes.PIPE else by_name(args.out))
    with log_lines(), pipes.source(args.efz, ".efz") as path, pipes.target(args.out, "") as out:
        pipes.refuse_same(path, out, "OUT")
        try:
            if args.window or args.bands:
                if args.keep_intact:
                    raise SettingsError("--keep-intact is for a whole file; leave --window and --bands out")
                report = decompress_window(path, out, form, args.window, args.bands)
            else:
                report = decompress_file(path, out, form, args.keep_intact, progress.update, args.threads)
        finally:
            progress.close()
    show(report, args.json, args.efz, args.out)
    return 0
