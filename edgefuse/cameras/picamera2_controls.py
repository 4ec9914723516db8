"""Settings of a Raspberry Pi camera: exposure, gain, white balance, focus, tuning file, as libcamera's controls.

Names and values are those of libcamera's control_ids_core.yaml; picamera2's manual, appendix C, lists them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgefuse.errors import SettingsError
from edgefuse.util.uri import Uri, expand, real, whole

OPTIONS = ("exposure", "gain", "white-balance", "colour-gains", "focus", "tuning")
# the numbers of libcamera's AwbMode and AfMode
_BALANCES = {"auto": 0, "incandescent": 1, "tungsten": 2, "fluorescent": 3, "indoor": 4, "daylight": 5, "cloudy": 6}
_AF_MANUAL, _AF_CONTINUOUS = 0, 2
_OPTION_OF = {
    "ExposureTime": "exposure", "AnalogueGain": "gain", "AwbMode": "white-balance", "ColourGains": "colour-gains",
    "AfMode": "focus", "LensPosition": "focus",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PiControls:
    """values: libcamera's control -> value, as picamera2's set_controls takes them. tuning: a tuning file, None for the sensor's own."""

    values: Mapping[str, int | float | bool | tuple[float, float]] = field(default_factory=dict)
    tuning: Path | None = None

    def fault(self, offered: Mapping[str, tuple[Any, Any, Any]]) -> str | None:
        """Return why a camera with these controls, name -> (minimum, maximum, default), can't apply the settings; None if it can."""
        for name, value in self.values.items():
            option = _OPTION_OF.get(name)
            if option is None:
                continue  # AeEnable and AwbEnable only follow from the others
            if name not in offered:
                return f"has no {name}; leave {option}= out"
            low, high, _ = offered[name]
            leaves = value if isinstance(value, tuple) else (value,)
            # libcamera gives 0 for a bound that it doesn't know
            if low is not None and high and any(not low <= leaf <= high for leaf in leaves):
                return f"takes {name} from {low:g} to {high:g}; change {option}="
        return None


def from_uri(uri: Uri, fps: float) -> PiControls:
    """Parse the options of a camera's URI. Raises SettingsError."""
    values: dict[str, int | float | bool | tuple[float, float]] = {}
    longest = int(1e6 / fps)
    if exposure := uri.option("exposure", 0, whole(1, 10**9)):
        if exposure > longest:
            raise SettingsError(
                f"{uri.text}: exposure={exposure} microseconds is longer than a frame; give at most {longest}, or a lower fps="
            )
        values["ExposureTime"] = exposure
    if gain := uri.option("gain", 0.0, real(1, 64)):
        values["AnalogueGain"] = gain
    if exposure and gain:
        values["AeEnable"] = False  # nothing is left to control
    values |= _balance(uri)
    values |= _focus(uri)
    return PiControls(values, _tuning(uri))


def _balance(uri: Uri) -> dict[str, int | float | bool | tuple[float, float]]:
    mode, gains = uri.options.get("white-balance"), uri.options.get("colour-gains")
    if mode is not None and gains is not None:
        raise SettingsError(f"{uri.text}: white-balance and colour-gains: give only one of them")
    if gains is not None:
        red, _, blue = gains.partition(",")
        try:
            return {"AwbEnable": False, "ColourGains": (real(0.1, 32)(red), real(0.1, 32)(blue))}
        except ValueError:
            raise SettingsError(f"{uri.text}: colour-gains={gains}: expected RED,BLUE, 0.1 to 32 each, such as 1.8,1.5") from None
    if mode is None:
        return {}
    if mode not in _BALANCES:
        raise SettingsError(f"{uri.text}: option white-balance={mode}: expected one of {', '.join(_BALANCES)}")
    return {"AwbEnable": True, "AwbMode": _BALANCES[mode]}


def _focus(uri: Uri) -> dict[str, int | float | bool | tuple[float, float]]:
    text = uri.options.get("focus")
    if text is None:
        return {}
    if text == "auto":
        return {"AfMode": _AF_CONTINUOUS}
    try:
        dioptres = real(0, 32)(text)
    except ValueError:
        raise SettingsError(f"{uri.text}: option focus={text}: expected auto, or dioptres from 0 (far) to 32: 1 / metres") from None
    return {"AfMode": _AF_MANUAL, "LensPosition": dioptres}


def _tuning(uri: Uri) -> Path | None:
    if "tuning" not in uri.options:
        return None
    path = expand(uri.options["tuning"])
    try:
        read = json.loads(path.read_text("utf-8"))
    except OSError as e:
        raise SettingsError(f"cannot read {path}: {e.strerror}; give a tuning file (/usr/share/libcamera/ipa/rpi/*/*.json)") from None
    except ValueError as e:
        raise SettingsError(f"{path}: not valid JSON ({e}); give one of libcamera's tuning files") from None
    if not isinstance(read, dict) or not ("algorithms" in read or "rpi.agc" in read):
        raise SettingsError(f"{path}: no tuning file of a Raspberry Pi camera; give one of /usr/share/libcamera/ipa/rpi/*/*.json")
    return path
