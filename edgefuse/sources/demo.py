"""demo?scene=cycle&size=640x480&seed=0&frames=250&fps=25&depth=8: a procedurally drawn street by day, at dusk and at night.

scene: cycle (day to night), day or night. seed: another street and other people. frames: number of pairs, 0 for no end. depth: bits of
the infrared; 16 gives counts of 0.01 kelvin, 8 shows -14 to 36 degrees Celsius. Nothing is read from disk, and pair k is the same in
every run.
"""

from __future__ import annotations

from typing import Self

from edgefuse.demoscene.scene import DemoScene
from edgefuse.frames import Frame, FramePair, Radiometry
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.util.uri import Uri, choice, real, size, whole

SMALLEST, LARGEST = 64, (1920, 1080)


class DemoSource(Source):
    """Pairs of a synthetic street: registered visible uint8 (H, W, 3) BGR and infrared uint8 or uint16 (H, W)."""

    OPTIONS = ("scene", "size", "seed", "frames", "fps", "depth")

    def __init__(self, scene: DemoScene, uri: str) -> None:
        """scene: the scene to render; public, so that a reader can query the ground truth."""
        self.scene = scene
        self.info = SourceInfo(uri, scene.frames or None, scene.fps)
        self._index = 0

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        """Create the scene of the URI. Raises SettingsError for an invalid option."""
        uri.paths(0)
        scene = DemoScene(
            size=uri.option("size", (640, 480), _size),
            scene=uri.option("scene", "cycle", choice("cycle", "day", "night")),
            seed=uri.option("seed", 0, whole(0, 2**31 - 1)),
            frames=uri.option("frames", 250, whole(0, 10**9)),
            fps=uri.option("fps", 25.0, real(0.1, 1000)),
            depth=int(uri.option("depth", "8", choice("8", "16"))),
        )
        return cls(scene, uri.text)

    def read(self) -> FramePair | None:
        """Return the next pair with times index / fps; None after the last."""
        index = self._index
        if self.info.pairs is not None and index >= self.info.pairs:
            return None
        visible, infrared = self.scene.render(index)
        self._index += 1
        name, time_ns = f"demo_{index:05d}", round(index * 1e9 / self.info.fps)
        law = Radiometry("demo", 0.01, -273.15) if self.scene.depth == 16 else None
        return FramePair(Frame(visible, "visible", time_ns, name), Frame(infrared, "infrared", time_ns, name, law), index)


def _size(text: str) -> tuple[int, int]:
    width, height = size(text)
    if not (SMALLEST <= width <= LARGEST[0] and SMALLEST <= height <= LARGEST[1]):
        raise ValueError(f"expected {SMALLEST}x{SMALLEST} to {LARGEST[0]}x{LARGEST[1]} pixels")
    return width, height
