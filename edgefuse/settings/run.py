"""What a run is told: a TOML file and the command line, made into one typed, validated object.

The command line beats the file, the file beats the defaults. The file holds a table [run] whose keys are the field names below:

    [run]
    source = "folder:/srv/pairs"
    record = "fused.mp4"
"""

from __future__ import annotations

import math
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgefuse.errors import SettingsError
from edgefuse.uri import safe

Colour = Literal["keep", "balanced", "benchmark"]
Precision = Literal["int8", "fp32"]
AgcKind = Literal["percentile", "clahe", "off"]
DEFAULT_SHARPNESS, SHARPEST = 1.375, 2.0
DEFAULT_SKEW_MS = 150.0  # longer than the 115 ms between two frames of an 8.7 Hz camera
AUTO_CAMERAS = "auto"  # what `--camera` alone stands for


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Settings of `edgefuse run`. Field names are the settings file's keys and, with dashes, the command line's options."""

    source: str = field(default="", metadata={"help": "where pairs come from: folder:DIR, video:VISIBLE,INFRARED, demo (docs/sources.md)"})
    camera: tuple[str, ...] = field(
        default=(),
        metadata={"help": "a live camera, once visible=CAMERA and once infrared=CAMERA; alone: the settings file's, or those attached"},
    )
    max_skew: float = field(
        default=DEFAULT_SKEW_MS, metadata={"help": "most milliseconds between the captures of a pair", "min": 0, "max": 60000.0}
    )
    delay: float = field(
        default=0.0,
        metadata={"help": "milliseconds by which infrared frames are stamped later than visible ones", "min": -60000, "max": 60000.0},
    )
    fresh: bool = field(default=False, metadata={"help": "fuse no frame twice: the pace of the slower camera"})
    pass_through: bool = field(default=False, metadata={"help": "while a camera is gone, show the other one's picture alone"})
    calibration: str | None = field(
        default=None, metadata={"help": "calibration file, made by edgefuse calibrate: puts infrared frames on the visible grid"}
    )
    model: str = field(
        default="mobilefuse-edge", metadata={"help": "a model's name (edgefuse models), or a folder with a card.toml: ./NAME"}
    )
    runtime: str = field(
        default="auto", metadata={"help": "auto (what bench --tune remembered, else the first installed), onnx, litert or numpy"}
    )
    precision: Precision | None = field(default=None, metadata={"help": "int8 or fp32 (default: the model's own)"})
    threads: int | None = field(
        default=None,
        metadata={"help": "threads of the network (default: as tuned, else the cores there are, 4 at most)", "min": 1, "max": 64},
    )
    colour: Colour = field(
        default="balanced", metadata={"help": "visible chroma: keep all, weigh it by the map (balanced), or blend it too (benchmark)"}
    )
    sharpness: float = field(
        default=DEFAULT_SHARPNESS,
        metadata={"help": "gain of the details, 1 (only what a camera saw) to 2; above 1 sharpens", "min": 1, "max": SHARPEST},
    )
    targets: float = field(
        default=1.0,
        metadata={"help": "how readily a warm target pulls the picture to infrared, 0 (certain) to 2 (in doubt)", "min": 0, "max": 2.0},
    )
    steady: Literal["auto", "on", "off"] = field(
        default="auto", metadata={"help": "hold the blending map still where the scene is: on, off, or for all but folders (auto)"}
    )
    agc: AgcKind = field(
        default="percentile",
        metadata={"help": "16-bit infrared to 8: percentile limits, with local contrast (clahe), or the full range (off)"},
    )
    save: str | None = field(default=None, metadata={"help": "write each fused frame to DIR/NAME.png"})
    save_format: Literal["png", "jpg"] = field(default="png", metadata={"help": "file format of --save"})
    record: str | None = field(default=None, metadata={"help": "write the fused frames to a video: .mp4, .mkv, .mov or .avi"})
    record_raw: str | None = field(
        default=None, metadata={"help": "write the pairs as they came, lossless, for replay:FILE (docs/recording.md)"}
    )
    sink: tuple[str, ...] = field(default=(), metadata={"help": "another sink by URI; may be given again"})
    report: str | None = field(default=None, metadata={"help": "write the report to this JSON file"})
    frames: int | None = field(default=None, metadata={"help": "stop after N pairs", "min": 1, "max": 10**12})


def load_file(path: Path) -> dict[str, Any]:
    """The [run] table of a settings file, checked. Raises SettingsError naming file, key and what was expected."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise SettingsError(f"cannot read {path}: {e.strerror}; give an existing settings file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise SettingsError(f"{path}: not valid TOML ({e})") from None
    for table in raw:
        if table != "run":
            raise SettingsError(f"{path}: unknown table or key '{table}'; there is [run]")
    run = raw.get("run", {})
    if not isinstance(run, dict):
        raise SettingsError(f"{path}: 'run' is to be a table: [run]")
    return check(run, f"{path}: run.")


def make(file: Mapping[str, Any], command_line: Mapping[str, Any]) -> RunSettings:
    """One object of both, the command line first. Both are checked already or come from typed options."""
    given = check(command_line, "--", dashes=True)
    if "source" in given and "camera" in given:
        raise SettingsError("--source and --camera: give one of them")
    file = dict(file)
    if given.get("camera") == (AUTO_CAMERAS,) and "camera" in file:
        del given["camera"]
        file.pop("source", None)
    elif given.keys() & {"source", "camera"}:
        file = {k: v for k, v in file.items() if k not in ("source", "camera")}
    if "source" in file and "camera" in file:
        raise SettingsError("the settings file has both source and camera; take one out, or give --source or --camera")
    settings = RunSettings(**{**file, **given})
    if not settings.source and not settings.camera:
        raise SettingsError("no source; give --source URI, such as --source demo or --source folder:DIR, or --camera for live cameras")
    return settings


def check(values: Mapping[str, Any], where: str, dashes: bool = False) -> dict[str, Any]:
    """`values` with lists made tuples. Raises SettingsError for an unknown key or a value of the wrong type or range."""
    hints, known = get_type_hints(RunSettings), {f.name: f for f in fields(RunSettings)}
    checked = {}
    for key, value in values.items():
        shown = where + (key.replace("_", "-") if dashes else key)
        if key not in known:
            raise SettingsError(f"{shown}: unknown key; there is {', '.join(known)}")
        if isinstance(value, list):
            value = tuple(value)
        expected = _mismatch(value, hints[key])
        low, high = known[key].metadata.get("min"), known[key].metadata.get("max")
        if expected is None and low is not None and value is not None and not low <= value <= high:
            expected = (
                f"{'a number' if hints[key] is float else 'a whole number'} from {low} to {f'{high:g}' if hints[key] is float else high}"
            )
        if expected is None and (value == "" or (isinstance(value, tuple) and "" in value)):
            expected = "some text"
        if expected is not None:
            raise SettingsError(f"{shown} = {safe(repr(value))}: expected {expected}")
        checked[key] = value
    return checked


def _mismatch(value: Any, hint: Any) -> str | None:
    """None where `value` is of the type `hint`, else what was expected, in words."""
    if get_origin(hint) in (Union, types.UnionType):
        wrong = [_mismatch(value, h) for h in get_args(hint)]
        return None if None in wrong else wrong[0]
    if get_origin(hint) is Literal:
        return None if value in get_args(hint) else f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) is tuple:
        return None if isinstance(value, tuple) and all(isinstance(v, str) for v in value) else "a list of texts"
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    if hint is float:
        return None if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else "a number"
    if hint is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if hint is str:
        return None if isinstance(value, str) else "a text"
    return None if value is None else "nothing"
