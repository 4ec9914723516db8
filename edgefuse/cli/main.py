"""`edgefuse COMMAND`: dispatches to the command and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import edgefuse
from edgefuse.cli import supervisor
from edgefuse.errors import EdgeFuseError, SettingsError
from edgefuse.util.printable import line

_EPILOG = """\
examples:
  edgefuse run --source demo --record fused.mp4        fuse a synthetic scene, day into night
  edgefuse run --source folder:pairs --save fused      fuse pairs/visible and pairs/infrared
  edgefuse calibrate --source folder:pairs             register the infrared camera: calibration.toml
  edgefuse compress scene.img scene.efz --bpppc 0.25   compress a hyperspectral cube
  edgefuse sharpen low.img image.tif sharp.img         sharpen a cube by an image of the same scene
  edgefuse eval --source folder:pairs --masks masks    evaluate: metrics, ranks, targets kept
  edgefuse bench --tune                                measure this board and store the fastest choice
  edgefuse models verify                               check every model on every runtime here
  edgefuse config show edgefuse.toml                   each setting and its origin
  edgefuse doctor                                      check this machine and print fixes

exit codes: 0 done, 1 a fault, 2 bad input, 3 an untrusted measurement
"""


class Parser(argparse.ArgumentParser):
    """Argument parser with one-line errors instead of the usage text."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message} (see {self.prog} --help)")


def parser() -> Parser:
    from edgefuse.cli import (
        bad_pixels,
        batch,
        bench,
        calibrate,
        compress,
        config,
        decompress,
        doctor,
        eval,
        export,
        info,
        models,
        run,
        sharpen,
    )

    top = Parser(
        prog="edgefuse", description="Visible and infrared image fusion and hyperspectral compression for small computers.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    top.add_argument("--version", action="version", version=f"edgefuse {edgefuse.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for module in (run, calibrate, bad_pixels, compress, decompress, sharpen, batch, info, eval, bench, models, export, config, doctor):
        module.add(commands)
    return top


def main(arguments: Sequence[str] | None = None, supervised: bool = False) -> int:
    """Run the command line and return the exit code. supervised: run commands that open cubes in a child process, ended if it hangs."""
    # silence OpenCV and its FFmpeg, whose errors we report ourselves in one line
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        # forked before the commands' modules are imported, which is cheaper
        code = supervisor.run(lambda: _run(given)) if supervised and given[:1] and given[0] in supervisor.COMMANDS else _run(given)
        sys.stdout.flush()
    except EdgeFuseError as e:
        print(f"edgefuse: {line(str(e))}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("edgefuse: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output closed it, as `| head` does: not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _run(arguments: Sequence[str]) -> int:
    args = parser().parse_args(arguments)
    code: int = args.command(args)
    return code


def entry() -> NoReturn:
    supervisor.leave(main(supervised=True))
