"""[run]: where frames come from, what fuses them, where they go.

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
from edgefuse.thermal.agc import AgcKind

Precision = Literal["int8", "fp32"]


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
    record_raw: str | None = field(default=None, metadata={"help": "write the pairs as they came, lossless, for replay:FILE (docs/raw.md)"})
    sink: tuple[str, ...] = field(default=(), metadata={"help": "another sink by URI; may be given again"})
    unattended: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={"help": "go on while an output fails, and try it again: on, off, or for sources that have no end (auto)"},
    )
    report: str | None = field(default=None, metadata={"help": "write the report to this JSON file"})
    frames: int | None = field(default=None, metadata={"help": "stop after N pairs", "min": 1, "max": 10**12})


def merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`lower` with what `upper` has on top of it. A source in `upper` takes the place of cameras in `lower`, and the other way round;
    `--camera` alone stands for those of `lower`."""
    lower, upper = dict(lower), dict(upper)
    if upper.get("camera") == (AUTO_CAMERAS,) and "camera" in lower:
        del upper["camera"]
        lower.pop("source", None)
    elif upper.keys() & {"source", "camera"}:
        lower = {k: v for k, v in lower.items() if k not in ("source", "camera")}
    return {**lower, **upper}


def make(file: Mapping[str, Any], command_line: Mapping[str, Any], whole: bool = True) -> RunSettings:
    """One object of both, the command line first. `file` is checked already. whole: there has to be a source."""
    given = check(RunSettings, command_line, "--", dashes=True)
    if "source" in given and "camera" in given:
        raise SettingsError("--source and --camera: give one of them")
    values = merge(file, given)
    if "source" in values and "camera" in values:
        raise SettingsError("the settings file has both source and camera; take one out, or give --source or --camera")
    settings = RunSettings(**values)
    if whole and not settings.source and not settings.camera:
        raise SettingsError("no source; give --source URI, such as --source demo or --source folder:DIR, or --camera for live cameras")
    return settings
