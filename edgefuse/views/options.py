"""Options of the views that settings name; imports nothing, so that reading settings stays quick."""

from __future__ import annotations

from typing import Literal

OverlayPart = Literal["scale", "spots", "regions", "people", "time", "name"]
DEFAULT_VIEW = "fused"
