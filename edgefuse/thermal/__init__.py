"""What a thermal camera delivers: layouts and degrees (`sensors`), gain control (`agc`), shutter stalls (`ffc`), palettes (`palettes`)."""

from __future__ import annotations

from edgefuse.thermal.agc import PercentileAgc

__all__ = ["PercentileAgc"]
