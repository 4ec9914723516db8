"""`edgefuse COMMAND`: finds the command, turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import edgefuse
from edgefuse.errors import EdgeFuseError, SettingsError
from edgefuse.util.uri import safe

_EPILOG = """\
examples:
  edgefuse run --source demo --record fused.mp4        fuse a made-up scene, day into night
  edgefuse run --source folder:pairs --save fused      fuse pairs/visible and pairs/infrared
  edgefuse calibrate --source folder:pairs             find where the infrared camera looks: calibration.toml
  edgefuse compress scene.img scene.efz --bpppc 0.25   a hyperspectral cube into few bytes
  edgefuse sharpen low.img image.tif sharp.img         a cube as sharp as an image of the same scene
  edgefuse eval --source folder:pairs --masks masks    measure it: metrics, ranks, targets kept
  edgefuse bench --tune                                measure this board, remember what is fastest on it
  edgefuse models verify                               check every model on every runtime here
  edgefuse config show edgefuse.toml                   each setting, and where it comes from
  edgefuse doctor                                      check this machine, say what mends it

exit codes: 0 done, 1 a fault, 2 bad input, 3 a measurement that can't be trusted
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is a --help away."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message} (see {self.prog} --help)")


def parser() -> Parser:
    from edgefuse.cli import batch, bench, calibrate, compress, config, decompress, doctor, eval, export, info, models, run, sharpen

    top = Parser(
        prog="edgefuse", description="Two cameras into one picture, a cube into few bytes, on a small computer.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    top.add_argument("--version", action="version", version=f"edgefuse {edgefuse.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for module in (run, calibrate, compress, decompress, sharpen, batch, info, eval, bench, models, export, config, doctor):
        module.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    # OpenCV and its FFmpeg talk on standard error where we say the same in one line
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        args = parser().parse_args(arguments)
        code: int = args.command(args)
        sys.stdout.flush()
    except EdgeFuseError as e:
        # a file's name may hold a line break or an escape sequence; the message stays one plain line
        print("edgefuse: " + "".join(c if c.isprintable() else repr(c)[1:-1] for c in safe(str(e))), file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("edgefuse: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output went away, as `| head` does: not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def entry() -> NoReturn:
    sys.exit(main())
