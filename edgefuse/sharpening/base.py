"""What a sharpener is: it prepares a scene, which is then sharpened tile by tile; known by a name (`edgefuse.sharpeners`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edgefuse import registry
from edgefuse.sharpening.pair import Pair, Samples
from edgefuse.sharpening.trend import Trend

Beat = Callable[[int, int], None]  # tiles done, tiles in all

SIDE = 16  # low-resolution pixels of a tile, to a side
SIDES = 6, 48
COMPONENTS = 32


class Out(Protocol):
    """What windows are written to: a NumPy array, or a `CubeSink`."""

    def __setitem__(self, key: Any, samples: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """fwhm: of the cube's point spread function, in its own pixels; None: as the data tell. register: look for the shift between the two.
    side: low-resolution pixels of a tile. coarse: compare cells of half a low-resolution pixel's side, rather than single pixels (or a
    quarter of its side, where that is more): faster, and worse. threads: 0 for as many as there are cores."""

    fwhm: float | None = 1.0
    register: bool = True
    side: int = SIDE
    coarse: bool = False
    components: int = COMPONENTS
    threads: int = 0


class Scene(Protocol):
    """A cube and an image about which all is known but the high-resolution spectra. count: tiles. tile_s: about what a tile takes, measured
    on one. prepared_s: what it took to know all this."""

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

    def sharpen(self, out: Out, uncertainty: Out | None = None, beat: Beat | None = None) -> None:
        """Write the high-resolution cube (h r, w r, B) into `out`, and into `uncertainty` (h r, w r, 1) the standard deviation of a
        sample's error. Missing where the image's pixel or the cube's is: NaN. Raises SettingsError where the uncertainty isn't known."""


class Sharpener(ABC):
    """One class a way of sharpening."""

    @abstractmethod
    def prepare(
        self, cube: Samples, image: Samples, options: Options, cube_nodata: float | None = None, image_nodata: float | None = None
    ) -> Scene:
        """cube (h, w, B), image (h r, w r, b), in any units. Raises CubeError where they can't be sharpened, SettingsError for options
        that it doesn't have, MissingDependencyError."""


def sharpener(name: str) -> Sharpener:
    """What sharpens under a name. Raises SettingsError for an unknown one."""
    made: Sharpener = registry.get("edgefuse.sharpeners", name)()
    return made
