"""`edgefuse bad-pixels`: finds a thermal camera's bad pixels in a recording of its closed lid."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefuse.cli.progress import log_lines
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import FrameError
from edgefuse.util import files

_EPILOG = """\
Close the lid, or hold something even and warm before the lens, and record some seconds; give the list to the camera:

  edgefuse run --camera --record-raw lid.efr --frames 100
  edgefuse bad-pixels lid.efr --out bad.txt
  edgefuse run --camera visible=picamera2:0 --camera "infrared=v4l2:1e4e:0100?bad_pixels=bad.txt"
"""


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "bad-pixels", help="find a thermal camera's bad pixels", description="Find bad pixels in a raw recording of an even scene.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("recording", metavar="FILE.efr", type=Path, help="a recording of --record-raw, with the camera's lid closed")
    p.add_argument("--out", metavar="FILE", type=Path, help="write the list, a line 'x y' each (default: print it)")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    from edgefuse.thermal import bad_pixels

    with log_lines():
        pixels = bad_pixels.find(_counts(args.recording))
    text = "".join(f"{x} {y}\n" for x, y in pixels)
    if args.out is None:
        print(text, end="")
        return 0
    try:
        files.check_file(args.out)
        args.out.write_text(text, "utf-8")
    except OSError as e:
        raise files.output_error(args.out, e) from None
    print(f"{len(pixels)} bad pixels of {args.recording}: {args.out}")
    return 0


def _counts(recording: Path) -> Iterator[NDArray[np.uint16]]:
    """Yield the raw infrared frames of a recording, each once."""
    from edgefuse.sources.replay import ReplaySource
    from edgefuse.util.uri import Uri

    last = -1
    with ReplaySource.from_uri(Uri(str(recording), "replay", (str(recording),), {})) as source:
        while True:
            try:
                pair = source.read()
            except FrameError:
                continue
            if pair is None:
                return
            frame = pair.infrared
            if frame.data.dtype == np.uint16 and not frame.colour and pair.missing != "infrared" and frame.time_ns != last:
                last = frame.time_ns
                yield np.asarray(frame.data, np.uint16)
