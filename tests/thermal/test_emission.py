"""Tests of the correction for emissivity, reflections and air, against published figures and an independent integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import SettingsError
from edgefuse.settings.thermal import ThermalSettings
from edgefuse.thermal.emission import Conditions, radiance, transmittance

STEFAN_BOLTZMANN = 5.670374419e-8


@pytest.mark.parametrize(
    ("kelvin", "below_8", "below_14"),
    # fractions of a black body's radiation below a wavelength, at 8 and 14 micrometres times the temperature: Incropera and DeWitt,
    # Fundamentals of Heat and Mass Transfer, table 12.1 (2400 and 4200 um K; 3200 and 5600 um K; 4000 and 7000 um K)
    [(300, 0.140256, 0.516014), (400, 0.318102, 0.701046), (500, 0.480877, 0.808109)],
)
def test_a_black_bodys_radiance_in_the_band_is_the_tabulated_share(kelvin: float, below_8: float, below_14: float) -> None:
    share = math.pi * float(radiance(kelvin - 273.15)) / (STEFAN_BOLTZMANN * kelvin**4)
    assert share == pytest.approx(below_14 - below_8, abs=1e-4)


def test_flirs_worked_example_of_the_measurement_formula() -> None:
    # FLIR's manuals, "The measurement formula": 4.5 V measured, emissivity 0.75, transmittance 0.92, and 0.5 V of foreign radiation
    # are 4.5 / 0.75 / 0.92 - 0.5 = 6.0 V of a black body. With radiance for voltage: a black body of 6.0 times a unit.
    unit = float(radiance(60.0)) / (4.5 / 0.75 / 0.92 - 0.5)
    conditions = Conditions(0.75, reflected_celsius=20.0)
    apparent = np.asarray(0.75 * radiance(60.0) + 0.25 * radiance(20.0))
    corrected = np.interp(apparent, radiance(np.arange(0, 100, 0.01)), np.arange(0, 100, 0.01))
    assert float(conditions.apparent_celsius(np.asarray(60.0))) == pytest.approx(float(corrected), abs=0.01)
    assert unit * 6.0 == pytest.approx(float(radiance(60.0)), rel=0.005)


def _slowly(celsius: float) -> float:
    um = np.linspace(8, 14, 20001)
    spectral = 1.191042972e8 / um**5 / np.expm1(1.438776877e4 / (um * (celsius + 273.15)))
    return float(((spectral[1:] + spectral[:-1]) / 2 * np.diff(um)).sum())


@pytest.mark.parametrize("celsius", [-100.2, -20.1, 36.6, 99.9, 500.3, 999.9])
def test_the_table_keeps_to_the_integral_within_a_hundredth_of_a_degree(celsius: float) -> None:
    step = float(radiance(celsius + 0.5) - radiance(celsius - 0.5))
    assert abs(float(radiance(celsius)) - _slowly(celsius)) / step < 0.002


def test_an_emissivity_of_one_without_air_changes_nothing() -> None:
    apparent = np.array([-40.0, 0.0, 36.6, 150.0, 500.0])
    assert Conditions().surface_celsius(apparent) == pytest.approx(apparent, abs=1e-6)
    assert ThermalSettings().conditions is None
    assert ThermalSettings(reflected_celsius=5).conditions is None


def test_a_surface_at_the_temperature_of_its_surroundings_looks_like_them_whatever_its_emissivity() -> None:
    for emissivity in (0.1, 0.5, 0.95):
        seen = Conditions(emissivity, 23.0, 50.0, 23.0).apparent_celsius(np.array([23.0]))
        assert seen == pytest.approx([23.0], abs=1e-6)


def test_polished_metal_is_hotter_than_it_looks() -> None:
    # independent: bisection on the slow integral. 80 degrees apparent, emissivity 0.3, 20 degrees reflected
    target = (_slowly(80) - 0.7 * _slowly(20)) / 0.3
    low, high = 80.0, 400.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _slowly(middle) < target else (low, middle)
    assert Conditions(0.3, 20.0).surface_celsius(np.array([80.0])) == pytest.approx([low], abs=0.01)
    assert low > 170


def test_what_no_surface_explains_has_no_temperature() -> None:
    # in a room of 20 degrees a mirror of emissivity 0.1 can't look colder than 12 degrees: it reflects more than that
    assert np.isnan(Conditions(0.1, 20.0).surface_celsius(np.array([10.0]))).all()
    assert np.isnan(Conditions(0.9, 20.0).surface_celsius(np.array([-200.0, 3000.0]))).all()


@given(st.floats(0.1, 1.0), st.floats(-40, 60), st.floats(0, 30), st.floats(-10, 30), st.floats(-40, 500))
def test_both_directions_are_inverse_and_rise(emissivity: float, reflected: float, distance: float, air: float, surface: float) -> None:
    conditions = Conditions(emissivity, reflected, distance, air)
    there = conditions.apparent_celsius(np.array([surface, surface + 1]))
    assert there[1] > there[0]
    assert conditions.surface_celsius(there) == pytest.approx([surface, surface + 1], abs=0.02)


def test_air_absorbs_more_with_distance_warmth_and_humidity() -> None:
    assert transmittance(0, 20, 50) == 1
    # the published fit's constants by hand: 20 degrees, 50 % are 8.66 of water; 10 m
    water = 0.5 * math.exp(1.5587 + 0.06939 * 20 - 0.00027816 * 400 + 6.8455e-7 * 8000)
    root = math.sqrt(10)
    by_hand = 1.9 * math.exp(-root * (0.006569 - 0.002276 * math.sqrt(water))) - 0.9 * math.exp(
        -root * (0.01262 - 0.00667 * math.sqrt(water))
    )
    assert transmittance(10, 20, 50) == pytest.approx(by_hand, abs=1e-9)
    assert 0.97 < by_hand < 0.99
    assert transmittance(10, 20, 50) > transmittance(100, 20, 50) > transmittance(100, 30, 50) > transmittance(100, 30, 90)


def test_air_beyond_the_model_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"500 m of air at 40 degrees Celsius and 100 % humidity pass .* no model"):
        ThermalSettings(distance_m=500, air_celsius=40, humidity_percent=100)
    conditions = ThermalSettings(distance_m=10, emissivity=0.9).conditions
    assert conditions == Conditions(0.9, 20.0, 10.0, 20.0, 50.0)
