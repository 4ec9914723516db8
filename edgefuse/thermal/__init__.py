"""Thermal cameras: buffers and temperatures (`supported_cameras`), gain control (`agc`), shutter pauses (`ffc`), palettes (`palettes`)."""

from __future__ import annotations

from edgefuse.thermal.agc import PercentileAgc

__all__ = ["PercentileAgc"]
