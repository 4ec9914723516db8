"""Target of a compression: a rate, a PSNR or a largest error, and the value of missing samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from edgefuse.errors import SettingsError
from edgefuse.hyperspectral.cube import as_nodata

TARGETS = ("bpppc", "psnr", "max_error", "relative_error")
AUTO = "auto"
# wherever they are given: options, settings, Python
LIMITS: dict[str, tuple[float, float]] = {
    "bpppc": (1e-4, 64.0), "psnr": (1.0, 200.0), "max_error": (0, 1e9), "relative_error": (1e-9, 0.5), "peak": (1e-30, 1e30)
}  # fmt: skip
_HELP = {
    "bpppc": "for cubes: most bits per pixel and channel, of the whole file, such as 0.25",
    "psnr": "for cubes: least PSNR in dB over the valid samples, such as 45",
    "max_error": "for cubes: largest error of any sample, in its own units, such as 5 counts or 0.0001; 0: lossless (default)",
    "relative_error": "for cubes: largest error of any sample as a share of its magnitude, such as 0.001; floats, 32-bit integers",
    "peak": "for cubes: peak of --psnr in the samples' unit (default: 10000, 8-bit integers 255, floats 1)",
}
HOW: dict[str, dict[str, Any]] = {name: {"help": _HELP[name], "min": low, "max": high} for name, (low, high) in LIMITS.items()}
NODATA_HELP = "for cubes: value of missing samples, as --nodata=-9999, instead of the one in the file; auto: the likeliest fill value"
ALLOW_MISS_HELP = "for cubes: keep a file that misses --bpppc or --psnr, with a warning instead of an error"


def nodata_of(text: str | None) -> float | None:
    """Return the value of missing samples that a user named; None for none, and for "auto". Raises SettingsError for any other text."""
    if text is None or text == AUTO:
        return None
    try:
        return as_nodata(text)
    except ValueError:
        raise SettingsError(f"--nodata {text}: expected a number or {AUTO}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Target of a compression: at most one of bpppc, psnr, max_error, relative_error; none is lossless. Raises SettingsError.

    peak: of psnr; None: by the sample type (`cube.peak_of`). nodata: value of missing samples as text, instead of the file's, or "auto".
    allow_miss: warn of a missed bpppc or psnr rather than raise an error.
    """

    model: str = field(default="spectral-edge", metadata={"help": "spectral-edge, or sscnet (the network of the paper, at its own rates)"})
    bpppc: float | None = field(default=None, metadata=HOW["bpppc"])
    psnr: float | None = field(default=None, metadata=HOW["psnr"])
    max_error: float | None = field(
        default=None, metadata={**HOW["max_error"], "help": HOW["max_error"]["help"].removeprefix("for cubes: ")}
    )
    relative_error: float | None = field(
        default=None, metadata={**HOW["relative_error"], "help": HOW["relative_error"]["help"].removeprefix("for cubes: ")}
    )
    peak: float | None = field(default=None, metadata=HOW["peak"])
    nodata: str | None = field(default=None, metadata={"help": NODATA_HELP})
    allow_miss: bool = field(default=False, metadata={"help": ALLOW_MISS_HELP})

    def __post_init__(self) -> None:
        given = {name: value for name in TARGETS if (value := getattr(self, name)) is not None}
        if len(given) > 1:
            raise SettingsError(f"{' and '.join('--' + n.replace('_', '-') for n in given)}: give only one of them")
        for name, value in (given | ({} if self.peak is None else {"peak": self.peak})).items():
            low, high = LIMITS[name]
            if not low <= value <= high:
                raise SettingsError(f"--{name.replace('_', '-')} {value:g}: expected a number from {low:g} to {high:g}")
        self.nodata_value  # noqa: B018

    @property
    def nodata_value(self) -> float | None:
        """Value of missing samples that was asked for; None for none, and for "auto". Raises SettingsError for any other text."""
        return nodata_of(self.nodata)

    @property
    def bound(self) -> float | None:
        """Largest error of a sample, of integers its whole part: 0 without a target, None for a target of another kind.

        sscnet guarantees no error bound; without a target it uses its own rate.
        """
        if self.max_error is not None:
            return self.max_error
        return 0 if all(getattr(self, name) is None for name in TARGETS) and self.model != "sscnet" else None

    def as_json(self) -> dict[str, Any]:
        """Return the target, without the fields that are not set."""
        asked = {k: v for k, v in asdict(self).items() if v is not None and v is not False}
        return asked if self.max_error is not None or self.bound is None else asked | {"max_error": 0}

    @classmethod
    def from_options(cls, given: Mapping[str, Any]) -> Self:
        """Make a target from command-line options; None and missing options are defaults."""
        return cls(**{f.name: given[f.name] for f in fields(cls) if given.get(f.name) is not None})
