"""Scenes for tests of the views."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefuse.frames import Frame, FramePair, Modality, Radiometry
from edgefuse.thermal.levels import Levels
from edgefuse.views.base import Scene

LAW = Radiometry("test", 0.01, -273.15)


def scene(size: tuple[int, int] = (64, 48), missing: Modality | None = None, colour: bool = True, **given: Any) -> Scene:
    """A scene with noise in the visible frame, 20 degrees C all over, and a square of 60 degrees from (16, 12) to (24, 20)."""
    width, height = size
    visible = np.random.default_rng(0).integers(60, 180, (height, width, 3) if colour else (height, width), np.uint8)
    counts = np.full((height, width), 29315, np.uint16)
    counts[12:20, 16:24] = 33315
    infrared = np.where(counts > 30000, np.uint8(255), np.uint8(20))
    pair = FramePair(
        Frame(visible, "visible", 5_000_000_000, "a"), Frame(counts, "infrared", 4_000_000_000, "a", LAW), 0, missing
    )  # fmt: skip
    facts: dict[str, Any] = {
        "pair": pair, "fused": visible // 2, "visible": visible, "infrared": None if missing == "infrared" else infrared,
        "levels": Levels(10.0, 60.0, celsius=True), "targets": None, "target_scale": 1, "register": lambda plane: plane,
    }  # fmt: skip
    return Scene(**{**facts, **given})
