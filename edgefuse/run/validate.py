"""Validation of a run's settings beyond their types: `check_parts` for every run and reload, `check` for `edgefuse config check`.

Nothing is made, and no camera, port, broker or server is opened: those may be in use by the service that the settings are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgefuse import registry
from edgefuse.cameras import AUTO_CAMERAS
from edgefuse.errors import OutputError, SettingsError
from edgefuse.run import attachments, build
from edgefuse.run.build import LoadedCalibration
from edgefuse.settings import RunSettings, Settings
from edgefuse.sinks.video import CODECS
from edgefuse.sources import cameras as camera_source
from edgefuse.sources import open_source
from edgefuse.sources.record_raw import EXTENSION
from edgefuse.util import files
from edgefuse.util.uri import expand, parse


def check_parts(given: Settings) -> None:
    """Check cameras, view, outputs and the attachments' tables. Raises EdgeFuseError."""
    build.display(given, None, live=False)
    if given.run.camera:
        camera_source.check(given.run.camera)
    _check_outputs(given.run)
    attachments.check(placed(given))


def placed(given: Settings) -> dict[str, Any]:
    """Return the tables beside [run], with alarms' regions resolved. Raises SettingsError for an unknown region."""
    tables = dict(given.tables)
    if "alarm" in tables:
        from edgefuse.settings import alarm

        tables["alarm"] = alarm.placed(tables["alarm"], tables.get("region", {}), "detect" in tables)
    return tables


def check(given: Settings) -> None:
    """Check all that a run would refuse, also by opening calibration, source (unless live) and model. Raises EdgeFuseError."""
    check_parts(given)
    s = given.run
    calibration = LoadedCalibration.from_settings(s)
    with ExitStack() as stack:
        inputs: tuple[Path, ...] = ()
        sequence = True
        if s.source and not s.camera:
            uri = parse(s.source)
            if uri.kind == "cameras":
                camera_source.check(uri.targets or (AUTO_CAMERAS,))
            else:
                source = stack.enter_context(open_source(s.source))
                inputs, sequence = build.inputs(s, source), source.info.sequence
                build.check_sizes(calibration.calibration, source)
        _check_inputs(given, inputs)
        stack.enter_context(build.fuser(s, calibration.calibration, sequence))


def targets(given: Settings) -> Iterator[tuple[str, Path]]:
    """Yield (setting, path) of every file or folder that the run writes to."""
    s = given.run
    for option, text in (("run.save", s.save), ("run.record", s.record), ("run.record_raw", s.record_raw), ("run.report", s.report)):
        if text:
            yield option, expand(text)
    for sink in s.sink:
        uri = parse(sink)
        if uri.kind in ("folder", "video"):
            yield "run.sink", uri.paths(1)[0]
    for table, key in (("recording", "folder"), ("telemetry", "file")):
        if table in given.tables and (name := getattr(given.tables[table], key)) != "-":
            yield f"{table}.{key}", expand(name)


def _check_outputs(s: RunSettings) -> None:
    for text, extensions in ((s.record, tuple(CODECS)), (s.record_raw, (EXTENSION,))):
        if text:
            path = expand(text)
            if path.suffix.lower() not in extensions:
                kind = "a video needs one of the extensions" if text == s.record else "a raw recording needs the extension"
                raise SettingsError(f"{path}: {kind} {', '.join(extensions)}")
            files.check_target(path)
    if s.save:
        files.check_place(expand(s.save))
    if s.report:
        files.check_target(expand(s.report))
    for sink in s.sink:
        uri = parse(sink)
        kind = registry.get("edgefuse.sinks", uri.kind)
        uri.allow(*kind.OPTIONS)
        if uri.kind in ("folder", "video"):
            (files.check_place if uri.kind == "folder" else files.check_target)(uri.paths(1)[0])


def _check_inputs(given: Settings, inputs: tuple[Path, ...]) -> None:
    taken = {path.resolve() for path in inputs}
    for setting, path in targets(given):
        if path.resolve() in taken:
            raise OutputError(f"{setting} = {str(path)!r} is an input of this run; choose another place")


def check_writable_below(given: Settings, roots: tuple[Path, ...], where: str) -> None:
    """Raise OutputError for an output outside `roots`. where: how to allow more."""
    for setting, path in targets(given):
        if not any(path.resolve().is_relative_to(root) for root in roots):
            shown = ", ".join(map(str, roots)) or "nowhere"
            raise OutputError(f"{setting} = {str(path)!r}: the service may write only below {shown}; choose a place there, or {where}")
