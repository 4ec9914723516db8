"""`edgefuse run`: fuses a source's pairs with a model into sinks, and prints a report."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from edgefuse import settings
from edgefuse.cameras import AUTO_CAMERAS
from edgefuse.cli import watch
from edgefuse.cli.progress import Progress, log_lines
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import EdgeFuseError, SourceError
from edgefuse.settings import RunSettings, Settings, tables
from edgefuse.settings.check import hints
from edgefuse.util import files
from edgefuse.util.printable import line, lines
from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.fusion.fuser import Fuser
    from edgefuse.run.session import RunSession
    from edgefuse.telemetry.report_types import ModelFacts, Report

_EPILOG = """\
sources (docs/reference/sources.md):
  folder:DIR                  DIR/visible and DIR/infrared, paired by name     folder:VISIBLE_DIR,INFRARED_DIR
  video:VISIBLE,INFRARED      two video files, paired by time
  replay:FILE.efr             a recording of --record-raw, unchanged            replay:FILE.efr?loop=0
  cubes:DIR                   hyperspectral cubes, compressed to *.efz in the --save folder (docs/reference/cubes.md)
  demo                        a synthetic scene                                demo?scene=night&size=320x240&seed=7

cameras (docs/how-to/cameras.md):
  --camera                                             the settings file's pair, or the attached one
  --camera visible=picamera2:0 --camera infrared=v4l2:1e4e:0100
  --camera visible=rtsp://user:password@host/stream --camera infrared=v4l2:/dev/video2?size=256x384

examples:
  edgefuse run --camera --record fused.mp4 --pass-through
  edgefuse run --source folder:pairs --save fused --report report.json
  edgefuse run --source video:day.mp4,thermal.mp4 --record fused.mp4 --frames 500
  edgefuse run --source replay:night.efr --agc clahe --save fused
  edgefuse run --source folder:pairs --calibration calibration.toml --save fused
  edgefuse run --camera --recordings /srv/edgefuse --recordings-mode alarm
  edgefuse run --camera --stream rtsp://server:8554/edgefuse
  edgefuse run --camera --view edges --overlay scale,spots --record edges.mp4
  edgefuse run --source demo --runtime numpy --json
  edgefuse run --source cubes:incoming --watch --save outgoing --bpppc 0.25 --delete-originals
  edgefuse run --config edgefuse.toml --threads 2
  edgefuse run --camera --mqtt mqtts://cam-1@broker.example --telemetry state.jsonl
"""
_METAVARS = {
    "source": "URI",
    "calibration": "FILE",
    "camera": "MODALITY=CAMERA",
    "max_skew": "MS",
    "delay": "MS",
    "model": "NAME",
    "runtime": "NAME",
    "threads": "N",
    "sharpness": "GAIN",
    "targets": "N",
    "view": "NAME",
    "isotherm": "DEGREES",
    "overlay": "PART[,PART...]",
    "camera_name": "TEXT",
    "save": "DIR",
    "record": "FILE",
    "record_raw": "FILE",
    "sink": "URI",
    "report": "FILE",
    "frames": "N",
}


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "run", help="fuse pairs from a source", description="Fuse visible and infrared pairs; write pictures, a video and a report.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    for f in fields(RunSettings):
        how = _option(RunSettings, f)
        if f.name == "camera":
            how |= {"nargs": "?", "const": AUTO_CAMERAS}
        p.add_argument(f"--{f.name.replace('_', '-')}", metavar=_METAVARS.get(f.name), **how)
    for table, f in tables.options():
        how = _option(tables.kind(table), f)
        if "const" in f.metadata:
            how |= {"nargs": "?", "const": f.metadata["const"]}
        p.add_argument(f"--{f.metadata['option']}", metavar=f.metadata.get("metavar"), dest=f"{table}.{f.name}", **how)
    p.add_argument("--config", metavar="FILE", type=Path, help="settings file (docs/reference/settings.md); options given here override it")
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.set_defaults(command=command)


def _option(kind: type[Any], f: Field[Any]) -> dict[str, Any]:
    """Return argparse's parameters for a setting. An option that is not given stays unset, so that the file's value applies."""
    hint = hints(kind)[f.name]
    kinds = get_args(hint) or (hint,)
    text = f.metadata["help"] + (f" (default: {f.default})" if isinstance(f.default, str | float) and f.default else "")
    how: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
    if get_origin(hint) is tuple and get_origin(kinds[0]) is Literal:
        return how | {"type": _words}
    if literal := next((k for k in (hint, *kinds) if get_origin(k) is Literal), None):
        return how | {"choices": get_args(literal)}
    if bool in kinds:
        return how | {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is tuple:
        return how | {"action": "append"}
    return how | ({"type": int} if int in kinds else {"type": float} if float in kinds else {})


def _words(text: str) -> tuple[str, ...]:
    """Split a list of words, separated by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def command(args: argparse.Namespace) -> int:
    given = {"run": {f.name: getattr(args, f.name) for f in fields(RunSettings) if hasattr(args, f.name)}}
    for table, f in tables.options():
        if hasattr(args, f"{table}.{f.name}"):
            given.setdefault(table, {})[f.name] = getattr(args, f"{table}.{f.name}")

    def read() -> Settings:
        return settings.load(args.config, os.environ, given)

    made = read()
    if watch.takes(made):
        return watch.run(made, args.json)
    return run(made, args.json, read if args.config else None, args.config)


def run(given: Settings, as_json: bool, reread: Callable[[], Settings] | None = None, file: Path | None = None) -> int:
    """Run the settings. Returns 0, or raises the run's error after sinks are closed and the report is written.

    reread: returns the current settings, for SIGHUP and reload requests. file: the settings file, which the page may change.
    """
    from edgefuse.run.calibrating import register_changes
    from edgefuse.run.reload import Reloader
    from edgefuse.run.session import RunSession, model_facts
    from edgefuse.run.systemd import Heartbeat, notify, stop_on_signals
    from edgefuse.telemetry.report import as_text
    from edgefuse.util.memory import release_unused, share_heap

    share_heap()
    telemetry_lines = given.tables.get("telemetry")
    # with --telemetry - standard output has only the lines
    out = sys.stderr if telemetry_lines and telemetry_lines.file == "-" else sys.stdout
    failures: list[EdgeFuseError] = []
    with ExitStack() as stack:
        stack.enter_context(log_lines())
        running = stack.enter_context(RunSession(given))
        warn(running.fuser)
        info = running.source.info
        if info.warning and (info.sequence or given.run.calibration is None):
            print(f"edgefuse: {line(info.warning)}", file=sys.stderr)
        if not as_json:
            print(f"model      {model_line(model_facts(running.fuser))}", file=out, flush=True)
            if info.layout:
                print(f"layout     {line(info.layout)}", file=out, flush=True)
        heartbeat, telemetry = Heartbeat(), running.telemetry
        reloader = stack.enter_context(Reloader(running, reread, heartbeat))
        register_changes(running, file, reread)
        progress = Progress("fusing", min((n for n in (running.source.info.pairs, given.run.frames) if n is not None), default=None))

        def show() -> None:
            heartbeat.beat(telemetry.frames_fused, running.live.failing.values())
            progress.update(telemetry.frames_fused + telemetry.frames_dropped, f"{telemetry.fps or 0:.1f} FPS  {telemetry.thermal.note}")

        # signal handlers stay until all is written, so that a signal cannot interrupt closing a video
        with stop_on_signals(running.stop) as signals, reloader.on_hangup():
            release_unused()
            with _collect(failures):
                running.run(show)
            show()
            notify("STOPPING=1")
            progress.close()
            reloader.close()
            failures += running.close()
            report = running.report()
            report["interrupted"] = bool(signals)
            text = json.dumps(report, indent=1)
            if path := running.settings.run.report:
                with _collect(failures):
                    files.write_atomic(expand(path), (text + "\n").encode())
        print(text if as_json else lines(as_text(report)), file=out)
    if failures:
        raise failures[0]
    _check_losses(running, report)
    return 0


def _check_losses(running: RunSession, report: Report) -> None:
    """Raise SourceError if pairs were not fused. A live source always drops some, which is not an error where others were fused."""
    telemetry = running.telemetry
    lost = telemetry.frames_dropped
    if lost and (not running.source.info.live or telemetry.frames_fused == 0):
        rest = f" (and {lost - 1} more; --report lists them)" if lost > 1 else ""
        raise SourceError(f"{lost} of {report['frames']['in']} pairs of {report['source']} not fused: {telemetry.first_loss}{rest}")


@contextmanager
def _collect(failures: list[EdgeFuseError]) -> Iterator[None]:
    """Collect an expected error, so that everything else is still closed and written."""
    try:
        yield
    except EdgeFuseError as e:
        failures.append(e)


def warn(fuser: Fuser) -> None:
    """Warn on standard error if the tuned choice is not followed."""
    if fuser.choice.warning:
        print(f"edgefuse: {line(fuser.choice.warning)}", file=sys.stderr)


def model_line(model: ModelFacts) -> str:
    """Format `model_facts` as a line."""
    threads = f"{model['threads']} thread{'s' if model['threads'] > 1 else ''}"
    return f"{model['name']} {model['precision']} on {model['runtime']} {model['version']}, {threads} ({model['why']})"
