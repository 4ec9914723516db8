"""Temperature of a surface from its apparent temperature: emissivity, reflected radiation and the air between.

A radiometric camera gives the temperature of a black body that sends as much radiation in its band. With W the radiance of a black body
from 8 to 14 micrometres, as the sensors here see it, the measurement formula of thermography is

    W(apparent) = e t W(surface) + (1 - e) t W(reflected) + (1 - t) W(air)

(FLIR Systems, "The measurement formula", in its cameras' manuals; W. Minkina, S. Dudzik, Infrared Thermography: Errors and Uncertainties,
2009). W is Planck's law integrated with a flat response, so it is an approximation of a sensor whose response is not flat. t is FLIR's
fit of the atmosphere's transmittance in that band (as published in G. Tattersall, Thermimage, 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BAND_UM = (8.0, 14.0)
_ZERO_K = 273.15
_C1L, _C2 = 1.191042972e8, 1.438776877e4  # radiation constants: W um^4 / (m^2 sr), um K (CODATA 2018)
_GRID_K = np.arange(120.0, 2500.5, 0.5)  # interpolation between is within 0.001 K from -100 to 1000 degrees C
# the fit of transmittance: water vapour in g/m^3 from air temperature, and two exponential terms
_VAPOUR = (1.5587, 6.939e-2, -2.7816e-4, 6.8455e-7)
LEAST_TRANSMITTANCE = 0.7  # below, the fit is outside its range (it gets negative in hot, moist air)
_X, _ALPHA, _BETA = 1.9, (0.006569, 0.012620), (-0.002276, -0.006670)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Emissivity of a surface, its surroundings, and the air before it; implements `edgefuse.frames.Correction`.

    emissivity: of the surface, in the band. reflected_celsius: mean temperature of what it mirrors. distance_m: length of the air between.
    air_celsius, humidity_percent: of that air.
    """

    emissivity: float = 1.0
    reflected_celsius: float = 20.0
    distance_m: float = 0.0
    air_celsius: float = 20.0
    humidity_percent: float = 50.0

    def surface_celsius(self, apparent: Values) -> Values:
        """Return the surface's temperature for apparent ones, any shape; NaN where no surface would look so, or beyond -153 to 2200."""
        t = transmittance(self.distance_m, self.air_celsius, self.humidity_percent)
        own = (radiance(apparent) - self._foreign(t)) / (self.emissivity * t)
        grid = _radiances()
        kelvin = np.interp(own, grid, _GRID_K, left=np.nan, right=np.nan)
        return np.asarray(kelvin - _ZERO_K, np.float64)

    def apparent_celsius(self, surface: Values) -> Values:
        """Return the apparent temperature of a surface: the inverse. Temperatures are limited to -153 to 2200 degrees Celsius."""
        t = transmittance(self.distance_m, self.air_celsius, self.humidity_percent)
        inside = np.clip(surface, _GRID_K[0] - _ZERO_K, _GRID_K[-1] - _ZERO_K)
        kelvin = np.interp(self.emissivity * t * radiance(inside) + self._foreign(t), _radiances(), _GRID_K)
        return np.asarray(kelvin - _ZERO_K, np.float64)

    def _foreign(self, t: float) -> float:
        """Return the radiance that does not come from the surface."""
        reflected, air = (float(radiance(np.float64(c))) for c in (self.reflected_celsius, self.air_celsius))
        return (1 - self.emissivity) * t * reflected + (1 - t) * air


def transmittance(distance_m: float, air_celsius: float, humidity_percent: float) -> float:
    """Return the share of radiation from 8 to 14 micrometres that passes the air."""
    vapour = humidity_percent / 100 * math.exp(sum(c * air_celsius**k for k, c in enumerate(_VAPOUR)))
    first, second = (math.exp(-math.sqrt(distance_m) * (a + b * math.sqrt(vapour))) for a, b in zip(_ALPHA, _BETA, strict=True))
    return min(1.0, _X * first + (1 - _X) * second)


def radiance(celsius: Any) -> Values:
    """Return the radiance of a black body from 8 to 14 micrometres in W / (m^2 sr); NaN beyond -153 to 2200 degrees C."""
    return np.asarray(np.interp(np.asarray(celsius, np.float64) + _ZERO_K, _GRID_K, _radiances(), left=np.nan, right=np.nan), np.float64)


@cache
def _radiances() -> Values:
    """Return the radiance at each temperature of the grid, by Gauss-Legendre quadrature of Planck's law."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    half = (BAND_UM[1] - BAND_UM[0]) / 2
    um = BAND_UM[0] + half * (nodes + 1)
    spectral = _C1L / um**5 / np.expm1(_C2 / (um * _GRID_K[:, None]))
    return np.asarray(spectral @ weights * half, np.float64)
