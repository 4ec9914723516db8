"""Opens the components of a run from its settings: calibration, source, sinks, fuser, raw recording."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefuse.calibration import registration
from edgefuse.calibration.registration import Calibration, Registration
from edgefuse.errors import CalibrationError, EdgeFuseError, OutputError, SettingsError, SourceError
from edgefuse.events import Event
from edgefuse.fusion.fuser import Fuser, load
from edgefuse.settings import RunSettings, Settings
from edgefuse.settings.thermal import ThermalSettings
from edgefuse.sinks import Sink, open_sink
from edgefuse.sources import Source, open_source
from edgefuse.sources.record_raw import RecordedSource
from edgefuse.thermal import units
from edgefuse.util import files, shape
from edgefuse.util.uri import expand
from edgefuse.views import display as views
from edgefuse.views.base import ViewOptions
from edgefuse.views.display import Display
from edgefuse.views.marks import MarkSource

Size = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class LoadedCalibration:
    """A calibration and its file's bytes, which show whether the file has changed."""

    data: bytes = b""
    calibration: Calibration | None = field(default=None, compare=False)

    @classmethod
    def from_settings(cls, s: RunSettings) -> LoadedCalibration:
        """Load the calibration of the settings, if any. Raises CalibrationError."""
        if not s.calibration:
            return cls()
        path = expand(s.calibration)
        loaded = registration.load(path)
        try:
            return cls(path.read_bytes(), loaded)
        except OSError as e:
            raise CalibrationError(f"cannot read {path}: {e.strerror}; edgefuse calibrate makes a calibration file") from None


def source(s: RunSettings, calibration: Calibration | None) -> Source:
    """Open the source. Raises SettingsError, SourceError, CameraError, CalibrationError."""
    if not s.camera:
        opened = open_source(s.source)
        try:
            opened.delay_infrared(s.delay / 1000)
        except EdgeFuseError:
            opened.close()
            raise
        return opened
    from edgefuse.sources.cameras import CamerasSource, PairingOptions

    cameras = CamerasSource(s.camera, PairingOptions(s.max_skew, s.delay, s.fresh, s.pass_through))
    try:
        # check once at the start instead of failing for every pair
        check_sizes(calibration, cameras)
    except EdgeFuseError:
        cameras.close()
        raise
    return cameras


def check_sizes(calibration: Calibration | None, source: Source) -> None:
    """Check that the cameras' frame sizes match each other or the calibration. Other sources are checked pair by pair."""
    visible, infrared = getattr(source, "sizes", (None, None))
    if visible is None or infrared is None:
        return
    if calibration:
        Registration(calibration, visible, infrared)
    elif visible != infrared:
        sizes = "visible is {}x{}, infrared {}x{}".format(*visible, *infrared)
        raise SourceError(f"{sizes}; run edgefuse calibrate once, then give --calibration FILE")


def check_regions(tables: Mapping[str, Any], source: Source) -> None:
    """Raise SettingsError for a region, or an alarm's zone, beyond the infrared frames of a source that knows their size."""
    _, size = getattr(source, "sizes", (None, None))
    if size is not None:
        check_regions_in(tables, size)


def check_regions_in(tables: Mapping[str, Any], size: tuple[int, int]) -> None:
    """Raise SettingsError for a region, or an alarm's zone, beyond infrared frames of `size` (width, height)."""
    places = [(f"region.{name}.shape", r.shape) for name, r in tables.get("region", {}).items()]
    places += [(f"alarm.{name}.zone", a.zone) for name, a in tables.get("alarm", {}).items()]
    for setting, text in places:
        if shape.area(shape.parse(text), (size[1], size[0])) is None:
            raise SettingsError(f"{setting} = {text!r} lies outside the infrared frame of {size[0]}x{size[1]} pixels; give a place in it")


def fuser(s: RunSettings, calibration: Calibration | None, sequence: bool) -> Fuser:
    """Load the fuser. sequence: the source's pairs are frames of one video. Raises ModelError, SettingsError, MissingDependencyError."""
    steady = sequence if s.steady == "auto" else s.steady == "on"
    return load(
        s.model, s.runtime, s.precision, s.threads, s.colour, s.sharpness, s.targets, steady, s.agc, calibration, s.infrared_polarity
    )


def display(given: Settings, calibration: Calibration | None, live: bool, people: MarkSource | None = None) -> Display | None:
    """Make what draws the picture; None where the fused picture is shown as it is. live: of the source. people: makes their marks.
    Raises SettingsError."""
    s, thermal = given.run, given.tables.get("thermal") or ThermalSettings()
    if "people" in s.overlay and "detect" not in given.tables:
        raise SettingsError("the overlay shows people, but nothing looks for them; add --detect, or [detect] to the settings file")
    regions = {name: shape.parse(region.shape) for name, region in given.tables.get("region", {}).items()}
    isotherm = None if s.isotherm is None else units.celsius_of(s.isotherm, thermal.unit)
    options, name = ViewOptions(s.palette, isotherm), s.camera_name or socket.gethostname()
    return views.make(s.view, options, s.overlay, name, live, calibration, regions, thermal.unit, people)


@dataclass(frozen=True, slots=True)
class Output:
    """Identity of a sink: on reload, a sink whose spec is unchanged stays open.

    option: save, record or sink. extension: of the pictures that save writes.
    """

    option: str
    target: str
    extension: str = ""


def outputs(s: RunSettings) -> list[Output]:
    """Return the specs of all sinks in the settings."""
    saved = [Output("save", s.save, f".{s.save_format}")] if s.save else []
    recorded = [Output("record", s.record)] if s.record else []
    return [*saved, *recorded, *(Output("sink", uri) for uri in s.sink)]


def sink(output: Output, fps: float) -> Sink:
    """Open a sink. Raises SettingsError, OutputError."""
    from edgefuse.sinks.folder import FolderSink
    from edgefuse.sinks.video import VideoSink

    if output.option == "save":
        return FolderSink(expand(output.target), output.extension)
    return VideoSink(expand(output.target), fps) if output.option == "record" else open_sink(output.target, fps)


def with_raw_recording(source: Source, s: RunSettings, emit: Callable[[Event], None], new_name: bool = False) -> Source:
    """Return `source` with raw recording if the settings ask for it.

    new_name: use a free file name, because the existing file may be this run's. Raises SettingsError, OutputError.
    """
    if not s.record_raw:
        return source
    path = expand(s.record_raw)
    return RecordedSource(source, files.unused(path) if new_name else path, keep_going(s, source), emit)


def keep_going(s: RunSettings, source: Source) -> bool:
    """Whether the run continues when an output fails."""
    return s.unattended == "on" or (s.unattended == "auto" and source.info.pairs is None and s.frames is None)


def inputs(s: RunSettings, source: Source) -> tuple[Path, ...]:
    """Return the files and folders that the run reads."""
    return (*source.info.paths, *([expand(s.calibration)] if s.calibration else []))


def check_outputs(s: RunSettings, inputs: tuple[Path, ...]) -> None:
    """Raise OutputError where an output is also an input, or the report file is not writable."""
    taken = {os.path.realpath(p) for p in inputs}
    for option, text in (("--save", s.save), ("--record", s.record), ("--record-raw", s.record_raw), ("--report", s.report)):
        if text and os.path.realpath(expand(text)) in taken:
            raise OutputError(f"{option} {text} is an input of this run; choose another place")
    if s.report:
        files.check_file(expand(s.report))
