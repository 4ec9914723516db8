"""Types and limits of the fusion's options."""

from __future__ import annotations

from typing import Literal

Colour = Literal["keep", "balanced", "benchmark"]  # see colour.py
DEFAULT_SHARPNESS, SHARPEST = 1.5625, 2.0  # gain of the details
