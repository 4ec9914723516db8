"""Value objects of the pipeline: frames, pairs, fused frames. All are frozen; receivers must not modify their arrays.

Times are `time.monotonic_ns()` at capture, or for recordings the frame's time on the recording's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Modality = Literal["visible", "infrared"]
SensorState = Literal["normal", "calibrating", "frozen"]


class Correction(Protocol):
    """Conversion between the temperature that a surface seems to have and its own (`edgefuse.thermal.emission`); rises, and is hashable."""

    def surface_celsius(self, apparent: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the surface's temperature for apparent ones, any shape; NaN where there is none."""

    def apparent_celsius(self, surface: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the apparent temperature of a surface."""


@dataclass(frozen=True, slots=True)
class Radiometry:
    """Meaning of a raw infrared frame's counts.

    sensor: its name (`edgefuse.thermal.supported_cameras`). scale, offset: apparent degrees Celsius = counts * scale + offset;
    scale is None where the conversion is unknown. state: "calibrating" while the shutter is closed for flat-field correction, "frozen"
    where the picture is unchanged for longer (`edgefuse.thermal.ffc`). correction: for emissivity and surroundings; None: temperatures
    are apparent ones.
    """

    sensor: str
    scale: float | None = None
    offset: float = 0.0
    state: SensorState = "normal"
    correction: Correction | None = None

    def celsius(self, counts: float) -> float | None:
        """Convert counts to degrees Celsius; None where the conversion is unknown, NaN where no surface gives these counts."""
        if self.scale is None:
            return None
        apparent = counts * self.scale + self.offset
        return apparent if self.correction is None else float(self.correction.surface_celsius(np.asarray(apparent, np.float64)))

    def counts(self, celsius: float) -> float:
        """Return the counts of a temperature, not rounded: the inverse. Only where the conversion is known."""
        assert self.scale is not None
        if self.correction is not None:
            celsius = float(self.correction.apparent_celsius(np.asarray(celsius, np.float64)))
        return (celsius - self.offset) / self.scale

    def facts(self) -> dict[str, str | float | None]:
        """Return the sensor's own fields, without the correction, for files."""
        return {"sensor": self.sensor, "scale": self.scale, "offset": self.offset, "state": self.state}


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera's picture.

    data: uint8 or uint16, (H, W) grey or (H, W, 3) in BGR order; full range (0..255, 0..65535), sensor counts for raw infrared.
    modality: "visible" or "infrared".
    time_ns: capture time, nanoseconds.
    name: for messages and file names, without extension.
    radiometry: meaning of raw infrared counts; None where unknown.
    """

    data: NDArray[np.uint8] | NDArray[np.uint16]
    modality: Modality
    time_ns: int
    name: str
    radiometry: Radiometry | None = None

    def __post_init__(self) -> None:
        if self.data.dtype not in (np.uint8, np.uint16) or not (self.data.ndim == 2 or (self.data.ndim == 3 and self.data.shape[2] == 3)):
            raise ValueError(f"frame {self.name}: expected uint8 or uint16 (H, W) or (H, W, 3), got {self.data.dtype} {self.data.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.data.shape[1], self.data.shape[0]

    @property
    def colour(self) -> bool:
        return self.data.ndim == 3


@dataclass(frozen=True, slots=True)
class FramePair:
    """A visible and an infrared frame of one moment. `index` counts the source's pairs from 0, including lost ones.

    missing: the camera without a frame; its frame here is blank (zeros), so only the other one has a picture.
    """

    visible: Frame
    infrared: Frame
    index: int
    missing: Modality | None = None

    @property
    def name(self) -> str:
        return self.visible.name

    @property
    def nbytes(self) -> int:
        """Bytes of both frames, uncompressed: what a network would carry if another machine fused them."""
        return self.visible.data.nbytes + self.infrared.data.nbytes


@dataclass(frozen=True, slots=True)
class FusedFrame:
    """The picture made from a pair.

    data: what is shown, recorded and streamed. The fused picture, uint8, (H, W) where the visible frame is grey, else (H, W, 3) BGR; or
    another view of the pair (`edgefuse.views`), which may have another size and is mostly BGR.
    pair: its input.
    stages_ns: nanoseconds by stage (`Fuser.stages`).
    decided_map: the blending map at the resolution at which the network makes it, 1 / `map_scale` of the frame's; None without a map.
    decided_targets: the mask of targets at the resolution it was decided at, a `target_scale`-th of the frame's; None where a model has
    none.
    Both may reach beyond the frame by its padding.
    beneath: the fused picture where `data` is another view or has an overlay; None where `data` is the fused picture.
    """

    data: NDArray[np.uint8]
    pair: FramePair
    stages_ns: Mapping[str, int] = field(default_factory=dict)
    decided_map: NDArray[np.float32] | None = None
    map_scale: int = 1
    decided_targets: NDArray[np.float32] | None = None
    target_scale: int = 1
    beneath: NDArray[np.uint8] | None = None

    @property
    def fused(self) -> NDArray[np.uint8]:
        """The fused picture, without overlay: uint8, (H, W) where the visible frame is grey, else (H, W, 3) BGR."""
        return self.data if self.beneath is None else self.beneath

    @property
    def name(self) -> str:
        return self.pair.name

    @property
    def blending_map(self) -> NDArray[np.float32] | None:
        """Return the blending map, float32 (H, W) in [0, 1], the visible frame's share of each pixel; None where a model has no map."""
        return self._whole(self.decided_map, self.map_scale)

    @property
    def targets(self) -> NDArray[np.float32] | None:
        """Return the mask of targets, float32 (H, W) in [0, 1]: how much each pixel follows the infrared frame.

        It is 0 everywhere if the blend loses no target. None for models without targets (those that compute the picture at full
        resolution). Computed on access.
        """
        return self._whole(self.decided_targets, self.target_scale)

    def _whole(self, plane: NDArray[np.float32] | None, scale: int) -> NDArray[np.float32] | None:
        """`plane` enlarged to the frame's size."""
        if plane is None or scale == 1:
            return plane
        import cv2

        height, width = (n * scale for n in plane.shape)
        whole = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        return whole[: self.fused.shape[0], : self.fused.shape[1]]
