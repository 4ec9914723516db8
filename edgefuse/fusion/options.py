"""What may be chosen of a fused picture."""

from __future__ import annotations

from typing import Literal

Colour = Literal["keep", "balanced", "benchmark"]  # colour.py says what each does
DEFAULT_SHARPNESS, SHARPEST = 1.5625, 2.0  # gain of the details
