"""The temperatures of the levels that gain control makes."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.frames import Radiometry
from edgefuse.thermal.agc import AgcKind
from edgefuse.thermal.grey import ToGrey
from edgefuse.thermal.levels import Levels

COUNTS = np.tile(np.linspace(28000, 32000, 160).round().astype(np.uint16), (120, 1))
LAW = Radiometry("test", 0.01, -273.15)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("kind", ["percentile", "off"])
def test_a_level_between_the_ends_shows_its_pixels_temperature(kind: AgcKind, inverted: bool) -> None:
    grey = ToGrey(kind, "black-hot" if inverted else "auto")
    picture = grey(COUNTS)
    levels = Levels.of(grey.limits, LAW)
    assert levels is not None
    assert levels.celsius
    assert (levels.low > levels.high) == inverted
    shown = levels.low + (levels.high - levels.low) * picture[60, 20:140] / 255
    step = abs(levels.high - levels.low) / 255
    assert np.abs(shown - (COUNTS[60, 20:140] * 0.01 - 273.15)).max() <= 1.01 * step


def test_levels_without_temperatures_are_counts_and_some_have_neither() -> None:
    grey = ToGrey()
    assert grey.limits is None
    grey(COUNTS)
    levels = Levels.of(grey.limits, Radiometry("test"))
    assert levels is not None
    assert not levels.celsius
    assert 28000 <= levels.low < levels.high <= 32000
    grey(np.zeros((4, 6), np.uint8))
    assert grey.limits is None
    local = ToGrey("clahe")
    local(COUNTS)
    assert local.limits is None
    assert Levels.of(None, LAW) is None


def test_a_blank_frame_has_the_least_span_of_gain_control() -> None:
    grey = ToGrey()
    grey(np.full((4, 6), 30000, np.uint16))
    assert grey.limits == (29968, 30032)
