"""Tests of what is opened from settings."""

from __future__ import annotations

import pytest

from edgefuse.run import build
from edgefuse.settings import RunSettings, Settings
from edgefuse.settings.thermal import ThermalSettings


def test_the_isotherm_is_in_the_unit_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float | None] = []
    monkeypatch.setattr(build.views, "make", lambda view, options, *rest: given.append(options.isotherm))
    for unit in ("celsius", "fahrenheit"):
        settings = Settings(RunSettings(source="demo", view="highlight", isotherm=104.0), {"thermal": ThermalSettings(unit=unit)})
        build.display(settings, None, live=False)
    assert given == [104.0, pytest.approx(40.0)]
