"""[cubes]: what `edgefuse run --source cubes:DIR` does.

[run]
source = "cubes:/srv/incoming"
save = "/srv/outgoing"

[cubes]
watch = true
bpppc = 0.25
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgefuse.hyperspectral.quality import HOW, TARGETS, Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class CubesSettings:
    """The table [cubes]: a run of `cubes:DIR`, where [run] says which model and where to save. `quality` is of the first three."""

    bpppc: float | None = field(default=None, metadata={**HOW["bpppc"], "option": "bpppc", "metavar": "R"})
    psnr: float | None = field(default=None, metadata={**HOW["psnr"], "option": "psnr", "metavar": "D"})
    max_error: float | None = field(default=None, metadata={**HOW["max_error"], "option": "max-error", "metavar": "N"})
    watch: bool = field(default=False, metadata={"help": "go on, and compress what lands in the folder of cubes", "option": "watch"})
    delete_originals: bool = field(
        default=False,
        metadata={"help": "delete each cube once its .efz was decoded, and read back from the disk", "option": "delete-originals"},
    )

    def quality(self, model: str | None) -> Quality:
        """Raises SettingsError where it can't be."""
        return Quality.of({"model": model, **{name: getattr(self, name) for name in TARGETS}})
