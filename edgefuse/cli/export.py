"""`edgefuse export`: writes a raw recording's infrared frames as TIFF files."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from edgefuse.cli.progress import Progress
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import FrameError, SourceError
from edgefuse.util import files
from edgefuse.util.uri import expand

_EPILOG = """\
DIR gets NUMBER.tiff for each captured infrared frame, with the camera's counts (16 bit grey, or 8), and frames.json: for each file
the frame's name, capture time, sensor, state, and the conversion of counts to degrees:
celsius = counts * scale + offset (scale null: unknown).

examples:
  edgefuse run --source demo?depth=16 --record-raw night.efr
  edgefuse export night.efr --tiff night
"""


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "export", help="infrared frames of a raw recording as TIFF", description="Write a raw recording's infrared frames as TIFF files.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("recording", metavar="FILE", help="a file made by edgefuse run --record-raw")
    p.add_argument("--tiff", metavar="DIR", required=True, help="folder to write to; files of the same names are replaced")
    p.add_argument("--json", action="store_true", help="print what was written as JSON")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    from edgefuse.sources.rawfile import RawReader
    from edgefuse.util import images

    path, folder = expand(args.recording), expand(args.tiff)
    listed: list[dict[str, Any]] = []
    failures: list[FrameError] = []
    last = None
    with closing(RawReader(path)) as reader:
        files.check_folder(folder)
        progress = Progress("exporting", reader.pairs)
        while True:
            try:
                pair = reader.read()
            except FrameError as e:
                failures.append(e)
                continue
            if pair is None:
                break
            progress.update(reader.pairs_read)
            frame = pair.infrared
            if frame is last or pair.missing == "infrared":
                # a frame reused for another visible one, or blank
                continue
            last, name = frame, f"{len(listed):06d}.tiff"
            files.write_atomic(folder / name, images.encode(frame.data, ".tiff"))
            law = frame.radiometry.facts() if frame.radiometry else None
            listed.append({"file": name, "name": frame.name, "time_ns": frame.time_ns, "radiometry": law})
        progress.close()
    facts = {"recording": str(path), "frames": listed}
    files.write_atomic(folder / "frames.json", (json.dumps(facts, indent=1) + "\n").encode())
    degrees = sum(1 for f in listed if f["radiometry"] and f["radiometry"]["scale"] is not None)
    print(json.dumps(facts, indent=1) if args.json else _line(folder, len(listed), degrees))
    if failures:
        rest = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise SourceError(f"{failures[0]}{rest}")
    return 0


def _line(folder: Path, frames: int, degrees: int) -> str:
    return f"{frames} infrared frames in {folder}, {degrees} of them with a law of degrees (frames.json)"
