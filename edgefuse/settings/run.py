"""[run]: input, model and output of a run.

[run]
source = "folder:/srv/pairs"
record = "fused.mp4"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgefuse.cameras import AUTO_CAMERAS
from edgefuse.cameras.pairing import DEFAULT_SKEW_MS
from edgefuse.errors import SettingsError
from edgefuse.fusion.options import DEFAULT_SHARPNESS, SHARPEST, Colour
from edgefuse.settings.check import check
from edgefuse.thermal.agc import AgcKind, Polarity
from edgefuse.thermal.palettes import Palette
from edgefuse.views.options import DEFAULT_VIEW, OverlayPart

Precision = Literal["int8", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Settings of `edgefuse run`. Field names are the settings file's keys and, with dashes, the command line's options."""

    source: str = field(
        default="", metadata={"help": "source of the pairs: folder:DIR, video:VISIBLE,INFRARED, demo (docs/reference/sources.md)"}
    )
    camera: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "a live camera, as visible=CAMERA and again as infrared=CAMERA; without a value: the settings file's, or those attached"
        },
    )
    max_skew: float = field(
        default=DEFAULT_SKEW_MS,
        metadata={"help": "longest time in milliseconds between the two captures of a pair", "min": 0, "max": 60000.0},
    )
    delay: float = field(
        default=0.0,
        metadata={"help": "milliseconds by which infrared time stamps lag behind visible ones", "min": -60000, "max": 60000.0},
    )
    fresh: bool = field(default=False, metadata={"help": "never reuse a frame: run at the rate of the slower camera"})
    pass_through: bool = field(default=False, metadata={"help": "while a camera is missing, show the other camera's picture"})
    calibration: str | None = field(
        default=None, metadata={"help": "calibration file made by edgefuse calibrate, which registers infrared frames with visible ones"}
    )
    model: str = field(
        default="mobilefuse-edge", metadata={"help": "model name (see edgefuse models), or a folder with a card.toml: ./NAME"}
    )
    runtime: str = field(
        default="auto", metadata={"help": "auto (the fastest found by bench --tune, else the first installed), onnx, litert or numpy"}
    )
    precision: Precision | None = field(default=None, metadata={"help": "int8 or fp32 (default: the model's own)"})
    threads: int | None = field(
        default=None,
        metadata={"help": "threads of the network (default: as tuned, else the number of cores up to 4)", "min": 1, "max": 64},
    )
    colour: Colour = field(
        default="balanced", metadata={"help": "visible chroma: keep it, weight it by the map (balanced), or blend it too (benchmark)"}
    )
    sharpness: float = field(
        default=DEFAULT_SHARPNESS,
        metadata={"help": "gain of fine details, 1 (none) to 2; above 1 sharpens", "min": 1, "max": SHARPEST},
    )
    targets: float = field(
        default=1.0,
        metadata={
            "help": "how readily warm objects that the blend would lose are taken from infrared, 0 (never) to 2 (always)",
            "min": 0,
            "max": 2.0,
        },
    )
    steady: Literal["auto", "on", "off"] = field(
        default="auto", metadata={"help": "stabilise the blending map in static areas: on, off, or for all sources but folders (auto)"}
    )
    agc: AgcKind = field(
        default="percentile",
        metadata={"help": "conversion of 16-bit infrared to 8: percentile limits, with local contrast (clahe), or the full range (off)"},
    )
    infrared_polarity: Polarity = field(
        default="auto", metadata={"help": "black-hot where the infrared camera shows warm things dark; auto takes grey frames as white-hot"}
    )
    view: str = field(
        default=DEFAULT_VIEW,
        metadata={
            "help": "picture to show, record and stream: fused, edges, highlight, inset or side-by-side (docs/how-to/views.md)",
        },
    )
    palette: Palette = field(default="ironbow", metadata={"help": "colours of infrared in the other views"})
    isotherm: float | None = field(
        default=None,
        metadata={
            "help": "degrees from which the view highlight tints, in the unit of --unit (default: what is far warmer than the rest)",
            "min": -273.15,
            "max": 5000.0,
        },
    )
    overlay: tuple[OverlayPart, ...] = field(
        default=(), metadata={"help": "draw these into the picture: scale, spots, regions, people, time, name; separated by commas"}
    )
    camera_name: str = field(default="", metadata={"help": "name that the overlay name shows (default: the host name)"})
    save: str | None = field(default=None, metadata={"help": "write each fused frame to DIR/NAME.png"})
    save_format: Literal["png", "jpg"] = field(default="png", metadata={"help": "file format of --save"})
    record: str | None = field(default=None, metadata={"help": "write the fused frames to a video: .mp4, .mkv, .mov or .avi"})
    record_raw: str | None = field(
        default=None, metadata={"help": "write the unprocessed pairs, lossless, for replay:FILE (docs/reference/raw.md)"}
    )
    sink: tuple[str, ...] = field(default=(), metadata={"help": "another sink by URI; may be repeated"})
    unattended: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={"help": "keep running while an output fails, and retry it: on, off, or for endless sources (auto)"},
    )
    report: str | None = field(default=None, metadata={"help": "write the report to this JSON file"})
    frames: int | None = field(default=None, metadata={"help": "stop after N pairs", "min": 1, "max": 10**12})


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return `lower` overridden by `upper`.

    A source in `upper` replaces cameras in `lower`, and vice versa; `--camera` without a value keeps those of `lower`.
    """
    lower, upper = dict(lower), dict(upper)
    if upper.get("camera") == (AUTO_CAMERAS,) and "camera" in lower:
        del upper["camera"]
        lower.pop("source", None)
    elif upper.keys() & {"source", "camera"}:
        lower = {k: v for k, v in lower.items() if k not in ("source", "camera")}
    return {**lower, **upper}


def make(file: Mapping[str, Any], command_line: Mapping[str, Any], source_required: bool = True) -> RunSettings:
    """Merge the checked settings file and the command line, which has precedence. source_required: refuse settings without a source."""
    given = check(RunSettings, command_line, "--", dashes=True)
    if "source" in given and "camera" in given:
        raise SettingsError("--source and --camera: give only one of them")
    values = merge(file, given)
    if "source" in values and "camera" in values:
        raise SettingsError("the settings file has both source and camera; remove one, or give --source or --camera")
    settings = RunSettings(**values)
    if source_required and not settings.source and not settings.camera:
        raise SettingsError("no source; give --source URI, such as --source demo or --source folder:DIR, or --camera for live cameras")
    return settings
