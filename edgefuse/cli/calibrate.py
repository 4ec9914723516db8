"""`edgefuse calibrate`: registers the infrared camera with the visible one and saves the result in a file."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import edgefuse
from edgefuse.calibration import registration
from edgefuse.calibration.registration import Array, Calibration, CalibrationMethod, Lens
from edgefuse.cameras import AUTO_CAMERAS
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import CalibrationError, MeasurementError, OutputError, SettingsError
from edgefuse.util import files
from edgefuse.util.printable import line
from edgefuse.util.uri import expand, real, safe, whole

if TYPE_CHECKING:
    from edgefuse.calibration.points import Fit
    from edgefuse.calibration.views import View
    from edgefuse.frames import FramePair
    from edgefuse.sources import Source

_EPILOG = """\
Three ways (docs/how-to/calibration.md):
  automatic     from a few ordinary pairs of a scene with edges that both cameras see; an unreliable result is refused
  by points     given (--points, --point) or clicked on a local page (--click)
  by a target   a checkerboard or a grid of dots, heated by a lamp, seen by both cameras (--target, --dots)

examples:
  edgefuse calibrate --source folder:pairs --distance 12
  edgefuse calibrate --camera visible=picamera2:0 --camera infrared=v4l2:1e4e:0100 --every 10
  edgefuse calibrate --source folder:pairs --click --save calibration.toml --overlay overlay.png
  edgefuse calibrate --source folder:board --target 9x6
  edgefuse calibrate --source folder:pairs --points points.txt      lines of VISIBLE_X VISIBLE_Y INFRARED_X INFRARED_Y
  edgefuse calibrate --check calibration.toml --source folder:pairs --overlay overlay.png
  edgefuse run --source folder:pairs --calibration calibration.toml --save fused
"""
_PAIRS = 8  # of ordinary scenes and of targets; more change little
_DEFAULT_FILE, _DEFAULT_OVERLAY = "calibration.toml", "overlay.png"


@dataclass(frozen=True, slots=True)
class _Made:
    """homography and error_px as in `Calibration`; pairs: number used; notes: lines for people; facts: further JSON values."""

    homography: Array
    error_px: float
    pairs: int
    notes: tuple[str, ...]
    facts: dict[str, Any]


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "calibrate", help="register the infrared camera",
        description="Register infrared frames with visible ones, and save the calibration for edgefuse run --calibration.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    where = p.add_mutually_exclusive_group(required=True)
    where.add_argument("--source", metavar="URI", help="source of the pairs, as for edgefuse run")
    where.add_argument(
        "--camera", metavar="MODALITY=CAMERA", nargs="?", const=AUTO_CAMERAS, action="append",
        help="a live camera, as for edgefuse run: visible=CAMERA and again infrared=CAMERA; without a value: those attached",
    )  # fmt: skip
    how = p.add_mutually_exclusive_group()
    how.add_argument(
        "--points", metavar="FILE", help="file of point pairs, one per line: VISIBLE_X VISIBLE_Y INFRARED_X INFRARED_Y, pixels"
    )
    how.add_argument("--point", metavar="VX,VY=IX,IY", action="append", help="a pair of points; may be repeated")
    how.add_argument("--click", action="store_true", help="mark points of the first pair on a page in this machine's browser")
    how.add_argument("--target", metavar="COLUMNSxROWS", help="a checkerboard, by its inner corners, such as 9x6")
    how.add_argument("--dots", metavar="COLUMNSxROWS", help="a square grid of dots, such as 7x5")
    how.add_argument("--check", metavar="FILE", help="check this calibration: draw its edges and estimate its residual in pixels")
    p.add_argument("--save", metavar="FILE", help=f"the calibration file to write (default: {_DEFAULT_FILE})")
    p.add_argument(
        "--overlay", metavar="FILE.png", help=f"draw the infrared edges on the first visible picture (with --check: {_DEFAULT_OVERLAY})"
    )
    p.add_argument("--distance", metavar="M", help="distance of the scene in metres, for which the calibration holds")
    p.add_argument(
        "--view", metavar="SHARE", help="width of the infrared view relative to the visible one, 0.2 to 4 (default: tries several)"
    )
    p.add_argument("--lenses", metavar="FILE", help="camera matrices and distortions: tables [visible_lens], [infrared_lens] in TOML")
    p.add_argument("--frames", metavar="N", help=f"use N pairs (default: {_PAIRS}, or all)")
    p.add_argument("--every", metavar="N", help="take every Nth pair (default: 1)")
    p.add_argument("--port", metavar="N", help="port of the page of --click (default: any free port)")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(command=command)


def _open_cameras(args: argparse.Namespace) -> Source:
    """Open the cameras, and name them as the source. Raises SettingsError, SourceError, CameraError."""
    from edgefuse.sources.cameras import CamerasSource, PairingOptions

    # no frame twice: a repeated one would be a pair of two moments
    source = CamerasSource(args.camera, PairingOptions(fresh=True))
    args.source = safe(source.info.uri)
    return source


def command(args: argparse.Namespace) -> int:
    """Run the command. Returns 0 or raises; an unreliable calibration is never written."""
    from edgefuse.sources import open_source

    frames, every = (_option(args, key, whole(1, 10**6)) for key in ("frames", "every"))
    distance = _option(args, "distance", real(0.01, 1e6))
    lenses = registration.load_lenses(expand(args.lenses)) if args.lenses else (None, None)
    checked = registration.load(expand(args.check)) if args.check else None
    if checked is not None and args.save:
        raise SettingsError("--check and --save cannot be combined")
    marks = _marks(args)
    with _open_cameras(args) if args.camera else open_source(args.source) as source:
        outputs = _outputs(args, source)
        pairs = _read(source, frames or (1 if marks is not None or args.click else _PAIRS), every or 1)
    begin = time.perf_counter()
    if checked is not None:
        return _check(args, checked, pairs, outputs[1])
    made = _make(args, marks, pairs, lenses)
    seconds = time.perf_counter() - begin
    from edgefuse.calibration import result
    from edgefuse.calibration.views import digests

    method: CalibrationMethod = "points" if marks is not None or args.click else "target" if args.target or args.dots else "automatic"
    calibration = Calibration(
        homography=made.homography, visible_size=pairs[0].visible.size, infrared_size=pairs[0].infrared.size, method=method,
        error_px=made.error_px, made=datetime.date.today(), distance_m=distance, images=digests(pairs), visible_lens=lenses[0],
        infrared_lens=lenses[1],
    )  # fmt: skip
    picture = result.picture(calibration, pairs[0]) if outputs[1] else None
    assert outputs[0] is not None
    registration.save(calibration, outputs[0])
    if picture is not None and outputs[1] is not None:
        files.write_atomic(outputs[1], picture)
    if args.json:
        report = {"edgefuse": edgefuse.__version__, "source": args.source, "saved": str(outputs[0]), "method": method, "pairs": made.pairs,
                  "error_px": round(made.error_px, 4), "seconds": round(seconds, 3), "homography": calibration.homography.tolist(),
                  "visible_size": calibration.visible_size, "infrared_size": calibration.infrared_size, "distance_m": distance,
                  "overlay": str(outputs[1]) if outputs[1] else None, **made.facts}  # fmt: skip
        print(json.dumps(report, indent=1))
    else:
        count = f"{made.pairs} pair{'s' if made.pairs > 1 else ''}"
        print(
            f"saved      {outputs[0]}: {method}, {count}, error {made.error_px:.2f} px of {result.by(calibration.visible_size)}, "
            f"{seconds:.1f} s"
        )
        print(f"placed     {result.placed(calibration)}")
        for note in made.notes:
            print(f"note       {note}")
    return 0


def _option(args: argparse.Namespace, key: str, convert: Any) -> Any:
    text = getattr(args, key)
    if text is None:
        return None
    try:
        return convert(text)
    except ValueError as e:
        raise SettingsError(f"--{key} {text}: {e}") from None


def _marks(args: argparse.Namespace) -> Array | None:
    """Return the given points, float64 (N, 4), or None."""
    from edgefuse.calibration import points

    if args.points:
        return np.array(points.read(expand(args.points)), np.float64).reshape(-1, 4)
    if args.point is None:
        return None
    try:
        return np.array([points.parse(text) for text in args.point], np.float64)
    except ValueError as e:
        raise SettingsError(f"--point: {e}") from None


def _outputs(args: argparse.Namespace, source: Source) -> tuple[Path | None, Path | None]:
    """Return (calibration file or None, overlay or None), checked to be writable and not inputs."""
    overlay = args.overlay or (_DEFAULT_OVERLAY if args.check else None)
    if overlay is not None and not overlay.lower().endswith(".png"):
        raise SettingsError(f"--overlay {overlay}: expected a name ending in .png")
    given = {"--save": None if args.check else args.save or _DEFAULT_FILE, "--overlay": overlay}
    read = {os.path.realpath(p) for p in (*source.info.paths, *(expand(t) for t in (args.check, args.points, args.lenses) if t))}
    for option, text in given.items():
        if text is None:
            continue
        path = expand(text)
        if {os.path.realpath(path), os.path.realpath(path.parent)} & read:
            raise OutputError(f"{option} {text} is an input of this calibration; choose another file")
        files.check_file(path)
    save, overlay = given.values()
    return (expand(save) if save else None), (expand(overlay) if overlay else None)


def _read(source: Source, count: int, every: int) -> list[FramePair]:
    pairs: list[FramePair] = []
    index = 0
    while len(pairs) < count and (pair := source.read()) is not None:
        if index % every == 0:
            pairs.append(pair)
        index += 1
    return pairs


def _make(args: argparse.Namespace, marks: Array | None, pairs: list[FramePair], lenses: tuple[Lens | None, Lens | None]) -> _Made:
    from edgefuse.calibration.views import views

    if args.target or args.dots:
        return _by_target(args, views(pairs), lenses)
    if args.click:
        marks = _clicked(args, views(pairs)[0], lenses)
    if marks is not None:
        return _by_points(views(pairs)[0], marks, lenses)
    return _automatic(args, views(pairs, *lenses))


def _fit(view: View, marks: Array, lenses: tuple[Lens | None, Lens | None]) -> Fit:
    from edgefuse.calibration import points

    return points.fit(marks, view.visible_size, view.infrared_size, *lenses)


def _by_points(view: View, marks: Array, lenses: tuple[Lens | None, Lens | None]) -> _Made:
    fit_ = _fit(view, marks, lenses)
    left_out = [int(k) + 1 for k in np.flatnonzero(~fit_.used)]
    notes = [f"rejected as wrong: point {', '.join(map(str, left_out))}"] if left_out else []
    if len(marks) == 4:
        notes.append("four points fit any two pictures: add more to estimate the error")
    facts = {"points": len(marks), "left_out": left_out, "residuals_px": fit_.residuals_px.round(3).tolist()}
    return _Made(fit_.homography, fit_.error_px, 1, tuple(notes), facts)


def _clicked(args: argparse.Namespace, view: View, lenses: tuple[Lens | None, Lens | None]) -> Array:
    from edgefuse.calibration.clicks import collect

    def announce(address: str) -> None:
        print(f"open {address} in a browser on this machine; Ctrl-C ends without a calibration", file=sys.stderr, flush=True)

    return collect(view, lambda marks: _fit(view, marks, lenses), announce, _option(args, "port", whole(0, 65535)) or 0)


def _by_target(args: argparse.Namespace, views: list[View], lenses: tuple[Lens | None, Lens | None]) -> _Made:
    from edgefuse.calibration import target

    option, text = ("--target", args.target) if args.target else ("--dots", args.dots)
    try:
        columns, rows = (whole(3, 50)(n) for n in text.split("x"))
    except ValueError:
        raise SettingsError(f"{option} {text}: expected COLUMNSxROWS, 3 to 50 each, such as 9x6") from None
    marks, missing = target.find(views, "checkerboard" if args.target else "dots", columns, rows)
    fit_ = _fit(views[0], marks, lenses)
    notes = (f"target not found in {', '.join(missing)}",) if missing else ()
    return _Made(fit_.homography, fit_.error_px, len(views) - len(missing), notes, {"points": len(marks), "not_seen": missing})


def _automatic(args: argparse.Namespace, views: list[View]) -> _Made:
    from edgefuse.calibration.automatic import estimate

    estimate_ = estimate(views, _option(args, "view", real(0.2, 4)))
    if estimate_.doubt is not None:
        raise CalibrationError(
            f"{args.source}: no reliable calibration: {estimate_.doubt}; give more pairs of one set-up with edges that both cameras see, "
            "--view where their views differ much, or use --click or --target"
        )
    facts = {"halves_px": round(estimate_.halves_px, 3), "agreement": round(estimate_.agreement, 4), "lead": round(estimate_.lead, 4)}
    notes = (f"two halves of the pictures differ by {estimate_.halves_px:.2f} px; edges agree to {estimate_.agreement:.2f} (1 is all)",)
    return _Made(estimate_.homography, estimate_.error_px, len(views), notes, facts)


def _check(args: argparse.Namespace, calibration: Calibration, pairs: list[FramePair], overlay: Path | None) -> int:
    from edgefuse.calibration import result
    from edgefuse.calibration.automatic import recheck
    from edgefuse.calibration.views import views

    assert overlay is not None
    looked_at = views(pairs, calibration.visible_lens, calibration.infrared_lens)
    picture = result.picture(calibration, pairs[0])
    files.write_atomic(overlay, picture)
    estimate_, residual = recheck(looked_at, calibration.homography)
    count = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}"
    if estimate_.doubt is not None:
        raise MeasurementError(f"{args.check}: edges drawn to {overlay}, but no reliable residual from {args.source}: {estimate_.doubt}")
    if args.json:
        report = {"edgefuse": edgefuse.__version__, "source": args.source, "calibration": args.check, "pairs": len(pairs),
                  "residual_px": round(residual, 4), "estimate_error_px": round(estimate_.error_px, 4), "error_px": calibration.error_px,
                  "made": calibration.made.isoformat(), "distance_m": calibration.distance_m, "overlay": str(overlay)}  # fmt: skip
        print(json.dumps(report, indent=1))
    else:
        print(f"residual   {residual:.2f} px of {result.by(calibration.visible_size)}, from {count}; good to {estimate_.error_px:.2f} px")
        print(f"made       {calibration.made}, {line(calibration.method)}, error {calibration.error_px:.2f} px"
              + (f", for {calibration.distance_m:g} m" if calibration.distance_m is not None else ""))  # fmt: skip
        print(f"placed     {result.placed(calibration)}")
        print(f"overlay    {overlay}")
        if residual > max(3.0, 3 * (estimate_.error_px + calibration.error_px)):
            print("note       the cameras have moved, or this scene is at another distance: run edgefuse calibrate again")
    return 0
