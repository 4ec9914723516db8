"""Thermal cameras: raw layouts and temperatures (`sensors`), gain control (`agc`), shutter pauses (`ffc`), palettes (`palettes`)."""

from __future__ import annotations

from edgefuse.thermal.agc import PercentileAgc

__all__ = ["PercentileAgc"]
