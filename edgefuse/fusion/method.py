"""Interface of fusion methods: a prepared pair in, a picture out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MethodResult:
    """Result of a fusion.

    data: the picture, uint8, of the visible frame's shape. blending_map: the visible frame's share, float32 in [0, 1], at 1 / `scale` of
    the picture's size, or None. stages_ns: nanoseconds spent per stage. targets: mask of targets, float32 in [0, 1], at 1 / `target_scale`
    of the picture's size, or None.
    """

    data: NDArray[np.uint8]
    blending_map: NDArray[np.float32] | None
    scale: int
    stages_ns: Mapping[str, int]
    targets: NDArray[np.float32] | None = None
    target_scale: int = 1


class Method(ABC):
    """Fuses the pairs of one stream. STAGES: keys of `MethodResult.stages_ns`, in order."""

    STAGES: ClassVar[tuple[str, ...]]

    @abstractmethod
    def make(self, visible: NDArray[np.uint8], infrared: NDArray[np.uint8], time_ns: int) -> MethodResult:
        """Fuse a pair. visible: uint8 (H, W) or (H, W, 3) BGR; infrared: uint8 (H, W); time_ns: capture time, monotonic nanoseconds."""

    def close(self) -> None:
        """End threads; safe to call twice."""
