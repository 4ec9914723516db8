"""The table [cubes] for `edgefuse run --source cubes:DIR`.

[run]
source = "cubes:/srv/incoming"
save = "/srv/outgoing"

[cubes]
watch = true
bpppc = 0.25
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgefuse.hyperspectral.quality import ALLOW_MISS_HELP, HOW, NODATA_HELP, TARGETS, Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class CubesSettings:
    """The table [cubes], for runs of `cubes:DIR`; [run] has the model and output folder. `quality` combines the model and the first 7."""

    bpppc: float | None = field(default=None, metadata={**HOW["bpppc"], "option": "bpppc", "metavar": "R"})
    psnr: float | None = field(default=None, metadata={**HOW["psnr"], "option": "psnr", "metavar": "D"})
    max_error: float | None = field(default=None, metadata={**HOW["max_error"], "option": "max-error", "metavar": "E"})
    relative_error: float | None = field(default=None, metadata={**HOW["relative_error"], "option": "relative-error", "metavar": "R"})
    peak: float | None = field(default=None, metadata={**HOW["peak"], "option": "peak", "metavar": "V"})
    nodata: str | None = field(default=None, metadata={"help": NODATA_HELP, "option": "nodata", "metavar": "VALUE"})
    allow_miss: bool = field(default=False, metadata={"help": ALLOW_MISS_HELP, "option": "allow-miss"})
    watch: bool = field(default=False, metadata={"help": "keep running, and compress cubes that arrive in the folder", "option": "watch"})
    delete_originals: bool = field(
        default=False,
        metadata={"help": "delete each cube once its .efz was read back from the disk and decoded", "option": "delete-originals"},
    )
    memory_mb: int = field(
        default=512, metadata={"help": "memory in MB that opening or compressing one cube may allocate", "min": 64, "max": 1 << 20}
    )
    stall_s: float = field(
        default=60.0, metadata={"help": "seconds without progress, after which a cube is set aside", "min": 1, "max": 86400}
    )
    time_s: float = field(
        default=7200.0, metadata={"help": "seconds that compressing one cube may take, after which it is set aside", "min": 1, "max": 1e7}
    )

    def quality(self, model: str | None) -> Quality:
        """Return the compression target. Raises SettingsError for an invalid one."""
        return Quality.from_options({"model": model, **{name: getattr(self, name) for name in (*TARGETS, "peak", "nodata", "allow_miss")}})
