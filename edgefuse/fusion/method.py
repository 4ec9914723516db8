"""What a way of fusing is: a prepared pair in, a picture out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MethodResult:
    """data: uint8, the visible frame's shape. blending_map: float32 in [0, 1], 1 / `scale` of its size, or None. stages_ns: time spent.
    targets: the mask of targets, float32 in [0, 1], 1 / `target_scale` of the picture's size, or None."""

    data: NDArray[np.uint8]
    blending_map: NDArray[np.float32] | None
    scale: int
    stages_ns: Mapping[str, int]
    targets: NDArray[np.float32] | None = None
    target_scale: int = 1


class Method(ABC):
    """Fuses pairs of one stream. STAGES: the keys of what `make` reports in `stages_ns`, in order."""

    STAGES: ClassVar[tuple[str, ...]]

    @abstractmethod
    def make(self, visible: NDArray[np.uint8], infrared: NDArray[np.uint8], time_ns: int) -> MethodResult:
        """visible: uint8 (H, W) or BGR (H, W, 3); infrared: uint8 (H, W); time_ns: of the pair."""

    def close(self) -> None:
        """End threads; safe to call twice."""
