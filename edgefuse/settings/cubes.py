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
from typing import TYPE_CHECKING

from edgefuse.errors import SettingsError
from edgefuse.hyperspectral.quality import ALLOW_MISS_HELP, HOW, NODATA_HELP, TARGETS, Quality
from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.hyperspectral.part import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class CubesSettings:
    """The table [cubes], for runs of `cubes:DIR`; [run] has the model and output folder. `quality` combines the model and the
    first 7, `choice` the next 7.
    """

    bpppc: float | None = field(default=None, metadata={**HOW["bpppc"], "option": "bpppc", "metavar": "R"})
    psnr: float | None = field(default=None, metadata={**HOW["psnr"], "option": "psnr", "metavar": "D"})
    max_error: float | None = field(default=None, metadata={**HOW["max_error"], "option": "max-error", "metavar": "E"})
    relative_error: float | None = field(default=None, metadata={**HOW["relative_error"], "option": "relative-error", "metavar": "R"})
    peak: float | None = field(default=None, metadata={**HOW["peak"], "option": "peak", "metavar": "V"})
    nodata: str | None = field(default=None, metadata={"help": NODATA_HELP, "option": "nodata", "metavar": "VALUE"})
    allow_miss: bool = field(default=False, metadata={"help": ALLOW_MISS_HELP, "option": "allow-miss"})
    dataset: str | None = field(
        default=None,
        metadata={
            "help": "for cubes: which array of a .npz, .mat or HDF5 file (default: cube, or the only one)",
            "option": "dataset",
            "metavar": "NAME",
        },
    )
    axes: str | None = field(
        default=None,
        metadata={
            "help": "for cubes: order of the axes in a file that does not say so, as bands,rows,columns",
            "option": "axes",
            "metavar": "A,B,C",
        },
    )
    wavelengths: str | None = field(
        default=None,
        metadata={
            "help": "for cubes: text file with the wavelength of each band in nm, instead of those in the cube", "option": "wavelengths",
            "metavar": "FILE",
        },
    )  # fmt: skip
    window: str | None = field(
        default=None,
        metadata={
            "help": "for cubes: only these rows and columns, in pixels from 0, as 100:164,200:264",
            "option": "window",
            "metavar": "R:R,C:C",
        },
    )
    bands: str | None = field(
        default=None, metadata={"help": "for cubes: only these bands, counted from 0, as 10:20", "option": "bands", "metavar": "B:B"}
    )
    references: bool = field(
        default=False,
        metadata={
            "help": "for cubes: reflectance, by the dark and white references beside them (Specim, Headwall)",
            "option": "references",
        },
    )
    orthorectify: bool = field(
        default=False, metadata={"help": "for cubes: on their map's grid, by the lookup table in EMIT's granules", "option": "orthorectify"}
    )
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

    def choice(self) -> Choice:
        """Return what of each cube is compressed.

        Raises SettingsError for invalid values, and for a part of a cube whose original is to be deleted.
        """
        from edgefuse.hyperspectral.formats import axes
        from edgefuse.hyperspectral.part import Choice, parsed_range, parsed_window

        if self.delete_originals and (part := [name for name in _PARTIAL if getattr(self, name)]):
            raise SettingsError(f"--{part[0]} compresses less than the originals hold, so they can't be deleted; omit --delete-originals")
        return Choice(
            dataset=self.dataset, axes=axes.parsed(self.axes) if self.axes else None,
            wavelengths=expand(self.wavelengths) if self.wavelengths else None,
            window=parsed_window(self.window) if self.window else None, bands=parsed_range(self.bands) if self.bands else None,
            references=self.references, orthorectify=self.orthorectify,
        )  # fmt: skip


_PARTIAL = "window", "bands", "references", "orthorectify"
