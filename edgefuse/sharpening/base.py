"""Interface of sharpeners: `prepare` fits a scene, which is then sharpened tile by tile. Registered in `edgefuse.sharpeners`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edgefuse import registry
from edgefuse.sharpening.pair import Mask, Pair, Samples
from edgefuse.sharpening.trend import Trend

Beat = Callable[[int, int], None]  # progress callback: tiles done, tiles in all

SIDE = 16  # side of a tile in low-resolution pixels
SIDES = 6, 48  # allowed range
COMPONENTS = 32  # principal components kriged, at most


class Output(Protocol):
    """Destination of windows of samples: a NumPy array or a `CubeSink`."""

    def __setitem__(self, key: Any, samples: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a sharpener.

    fwhm: of the cube's point spread function, in its own pixels; None estimates it. register: estimate shift, rotation and scale between
    the two. side: of a tile, in low-resolution pixels. coarse: evaluate covariances on cells of half a low-resolution pixel instead of a
    quarter (never less than a pixel of the image): faster, less accurate. components: principal components of the residual, at most.
    threads: 0 for one per core. mask: (H, W), pixels of the image that are not used but interpolated from the cube.
    offset: rows and columns, in pixels of the image, by which the image's grid differs from one that begins where the cube does (`Psf`).
    """

    fwhm: float | None = 1.0
    register: bool = True
    side: int = SIDE
    coarse: bool = False
    components: int = COMPONENTS
    threads: int = 0
    mask: Mask | None = None
    offset: tuple[float, float] = (0.0, 0.0)


class Scene(Protocol):
    """A registered and fitted pair of cube and image, ready to sharpen. count: tiles. tile_s: seconds per tile, measured on one.
    prepared_s: seconds that the preparation took."""

    @property
    def pair(self) -> Pair: ...

    @property
    def trend(self) -> Trend: ...

    @property
    def count(self) -> int: ...

    @property
    def tile_s(self) -> float: ...

    @property
    def prepared_s(self) -> float: ...

    def sharpen(self, out: Output, uncertainty: Output | None = None, beat: Beat | None = None) -> None:
        """Write the high-resolution cube (h r, w r, B) into `out`, and into `uncertainty` (h r, w r, 1) the standard deviation of a
        sample's error. NaN where the image's pixel or the cube's is missing. Raises SettingsError where the method has no uncertainty."""


class Sharpener(ABC):
    """A sharpening method; one subclass each."""

    @abstractmethod
    def prepare(
        self, cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
    ) -> Scene:
        """Register and fit cube (h, w, B) and image (h r, w r, b), in any units. Raises CubeError where they can't be sharpened,
        SettingsError for options that the method does not have, MissingDependencyError."""


def sharpener(name: str) -> Sharpener:
    """Return the sharpener called `name`. Raises SettingsError for an unknown one."""
    instance: Sharpener = registry.get("edgefuse.sharpeners", name)()
    return instance
