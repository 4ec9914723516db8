"""Frames whose layout is not what it should be give no degrees: out of step, telemetry first, a wide range."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.errors import FrameError
from edgefuse.frames import Frame
from edgefuse.thermal import supported_cameras
from edgefuse.thermal.spots import spots

RNG = np.random.default_rng(0)


def tc001(celsius: float = 22.0) -> np.ndarray:
    picture = np.empty((192, 256, 2), np.uint8)
    picture[..., 0], picture[..., 1] = RNG.integers(60, 200, (192, 256)), 128
    counts = ((celsius + 273.15) * 64 + RNG.normal(0, 4, (192, 256))).astype("<u2")
    return np.concatenate([picture.reshape(-1), counts.view(np.uint8).reshape(-1)])


@pytest.mark.parametrize("shift", [16, 512, 20 * 512, 96 * 512, 192 * 512, 383 * 512, 17, 511, -16, -512, -30 * 512])
def test_a_tc001_out_of_step_is_refused(shift: int) -> None:
    with pytest.raises(FrameError, match="out of step"):
        supported_cameras.get("tc001").decode(np.roll(tc001(), -shift))


@pytest.mark.parametrize("celsius", [-20, 0, 22, 60, 120, 149])
def test_a_tc001_in_step_gives_degrees(celsius: float) -> None:
    decoded = supported_cameras.get("tc001").decode(tc001(celsius))
    hottest = (spots(Frame(decoded.counts, "infrared", 0, "f", decoded.radiometry)) or (None, None))[1]
    assert hottest is not None
    assert hottest.value == pytest.approx(celsius, abs=0.5)


def test_counts_beyond_the_narrow_range_have_no_degrees() -> None:
    buffer = tc001()
    buffer[192 * 256 * 2 :].view("<u2")[1000:1100] = round((442.7 + 273.15) * 64)
    assert supported_cameras.get("tc001").decode(buffer).radiometry.scale is None


def lepton(base: int, header: bool, tlinear: int = 1) -> np.ndarray:
    words = np.zeros(320, "<u2")
    words[0], words[24], words[3], words[208], words[209] = 0x0E01, 30315, 3 << 4, tlinear, tlinear
    picture = (base + RNG.normal(0, 3, (120, 160))).astype("<u2")
    rows = words.reshape(2, 160)
    return np.vstack([rows, picture] if header else [picture, rows]).view(np.uint8)


@pytest.mark.parametrize("base", [8000, 29500, 29520, 29550, 29600, 29952, 31000])
@pytest.mark.parametrize("header", [True, False])
def test_a_leptons_telemetry_may_come_first(base: int, header: bool) -> None:
    linear = base > 20000
    decoded = supported_cameras.get("lepton").decode(lepton(base, header, int(linear)))
    assert decoded.counts.shape == (120, 160)
    assert abs(float(np.median(decoded.counts)) - base) < 2
    assert decoded.telemetry is not None
    assert (decoded.telemetry.revision, decoded.telemetry.agc, decoded.radiometry.state) == ((14, 1), False, "normal")
    assert decoded.radiometry.scale == (0.01 if linear else None)
    assert decoded.counts.min() > base - 30
