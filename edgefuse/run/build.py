"""What a run is made of, opened as its settings say: calibration, source, sinks, fuser, raw recording."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgefuse.calibration import registration
from edgefuse.calibration.registration import Calibration, Registration
from edgefuse.errors import CalibrationError, EdgeFuseError, OutputError, SourceError
from edgefuse.events import Event
from edgefuse.fusion.fuser import Fuser, load
from edgefuse.settings import RunSettings
from edgefuse.sinks import Sink, open_sink
from edgefuse.sources import Source, open_source
from edgefuse.sources.recorded import RecordedSource
from edgefuse.util import files
from edgefuse.util.uri import expand

Size = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration and the file's bytes, which tell whether it is still the same."""

    data: bytes = b""
    made: Calibration | None = field(default=None, compare=False)

    @classmethod
    def of(cls, s: RunSettings) -> Calibrated:
        """Raises CalibrationError."""
        if not s.calibration:
            return cls()
        path = expand(s.calibration)
        made = registration.load(path)
        try:
            return cls(path.read_bytes(), made)
        except OSError as e:
            raise CalibrationError(f"cannot read {path}: {e.strerror}; edgefuse calibrate makes a calibration file") from None


def source(s: RunSettings, calibration: Calibration | None) -> Source:
    """Raises SettingsError, SourceError, CameraError, CalibrationError."""
    if not s.camera:
        return open_source(s.source)
    from edgefuse.sources.cameras import CamerasSource, PairingOptions

    made = CamerasSource(s.camera, PairingOptions(s.max_skew, s.delay, s.fresh, s.pass_through))
    try:
        # said now: later it would be said of every pair, for as long as it runs
        check_sizes(calibration, made)
    except EdgeFuseError:
        made.close()
        raise
    return made


def check_sizes(calibration: Calibration | None, source: Source) -> None:
    """Do the cameras' frames fit each other, or the calibration? Other sources' are looked at one by one."""
    visible, infrared = getattr(source, "sizes", (None, None))
    if visible is None or infrared is None:
        return
    if calibration:
        Registration(calibration, visible, infrared)
    elif visible != infrared:
        told = "visible is {}x{}, infrared {}x{}".format(*visible, *infrared)
        raise SourceError(f"{told}; run edgefuse calibrate once, then give --calibration FILE")


def fuser(s: RunSettings, calibration: Calibration | None, sequence: bool) -> Fuser:
    """sequence: whether the source's pairs are frames of one video. Raises ModelError, SettingsError, MissingDependencyError."""
    steady = sequence if s.steady == "auto" else s.steady == "on"
    return load(s.model, s.runtime, s.precision, s.threads, s.colour, s.sharpness, s.targets, steady, s.agc, calibration)


@dataclass(frozen=True, slots=True)
class Output:
    """What a sink is made of: two that are equal are one. option: save, record or sink. extension: of the pictures that save writes."""

    option: str
    target: str
    extension: str = ""


def outputs(s: RunSettings) -> list[Output]:
    """The sinks that settings ask for."""
    saved = [Output("save", s.save, f".{s.save_format}")] if s.save else []
    recorded = [Output("record", s.record)] if s.record else []
    return [*saved, *recorded, *(Output("sink", uri) for uri in s.sink)]


def sink(output: Output, fps: float) -> Sink:
    """Raises SettingsError, OutputError."""
    from edgefuse.sinks.folder import FolderSink
    from edgefuse.sinks.video import VideoSink

    if output.option == "save":
        return FolderSink(expand(output.target), output.extension)
    return VideoSink(expand(output.target), fps) if output.option == "record" else open_sink(output.target, fps)


def tapped(source: Source, s: RunSettings, tell: Callable[[Event], None], anew: bool = False) -> Source:
    """`source`, recorded where that is asked for. anew: the file may be this run's, and stays. Raises SettingsError, OutputError."""
    if not s.record_raw:
        return source
    path = expand(s.record_raw)
    return RecordedSource(source, files.unused(path) if anew else path, keep_going(s, source), tell)


def keep_going(s: RunSettings, source: Source) -> bool:
    """Does the run go on where an output fails?"""
    return s.unattended == "on" or (s.unattended == "auto" and source.info.pairs is None and s.frames is None)


def inputs(s: RunSettings, source: Source) -> tuple[Path, ...]:
    """What the run reads from."""
    return (*source.info.paths, *([expand(s.calibration)] if s.calibration else []))


def check_outputs(s: RunSettings, inputs: tuple[Path, ...]) -> None:
    """Raises OutputError where an output is an input, or the report can't be written."""
    taken = {os.path.realpath(p) for p in inputs}
    for option, text in (("--save", s.save), ("--record", s.record), ("--record-raw", s.record_raw), ("--report", s.report)):
        if text and os.path.realpath(expand(text)) in taken:
            raise OutputError(f"{option} {text} is what this run reads from; choose another place")
    if s.report:
        files.check_file(expand(s.report))
