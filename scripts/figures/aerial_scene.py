"""A synthetic aerial scene with 120 bands, for the pictures about sharpening. It contains no third-party data."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.util.arrays import Float32Array

WAVELENGTHS = np.linspace(400, 2450, 120)  # nanometres
_AT = np.array([400, 480, 550, 650, 680, 720, 760, 900, 1150, 1300, 1450, 1650, 1940, 2200, 2450])
# reflectance at these wavelengths, chosen by hand to resemble such surfaces: red edge, water bands, clay
_SPECTRA = {
    "meadow": (0.03, 0.04, 0.09, 0.05, 0.04, 0.20, 0.42, 0.46, 0.42, 0.40, 0.16, 0.28, 0.09, 0.17, 0.08),
    "crop": (0.03, 0.04, 0.07, 0.04, 0.03, 0.17, 0.50, 0.54, 0.48, 0.45, 0.14, 0.24, 0.06, 0.13, 0.06),
    "stubble": (0.09, 0.13, 0.18, 0.24, 0.25, 0.28, 0.31, 0.38, 0.43, 0.45, 0.36, 0.45, 0.27, 0.33, 0.24),
    "soil": (0.06, 0.08, 0.12, 0.17, 0.18, 0.20, 0.21, 0.26, 0.32, 0.35, 0.33, 0.39, 0.31, 0.33, 0.30),
    "wood": (0.02, 0.02, 0.04, 0.03, 0.02, 0.09, 0.24, 0.28, 0.25, 0.23, 0.07, 0.13, 0.03, 0.07, 0.03),
    "water": (0.05, 0.06, 0.06, 0.04, 0.03, 0.025, 0.02, 0.012, 0.006, 0.004, 0.003, 0.003, 0.002, 0.002, 0.002),
    "asphalt": (0.07, 0.08, 0.09, 0.10, 0.10, 0.105, 0.11, 0.12, 0.13, 0.14, 0.14, 0.15, 0.15, 0.15, 0.15),
    "tiles": (0.06, 0.07, 0.10, 0.25, 0.27, 0.29, 0.30, 0.31, 0.36, 0.38, 0.37, 0.40, 0.37, 0.38, 0.36),
    "metal": (0.30, 0.34, 0.36, 0.38, 0.38, 0.39, 0.39, 0.37, 0.42, 0.44, 0.45, 0.47, 0.48, 0.49, 0.49),
}
_NAMES = tuple(_SPECTRA)
_FIELDS = "meadow", "crop", "stubble", "soil", "wood"
_FINER = 4  # drawn at this multiple of the size and averaged, so that pixels at borders are mixtures


def scene(side: int = 192, seed: int = 4) -> Float32Array:
    """Return reflectances (side, side, 120)."""
    rng = np.random.default_rng(seed)
    kinds, lean = _drawn(side * _FINER, rng)
    shares = np.stack([_shrunk((kinds == k).astype(np.float32), side) for k in range(len(_NAMES))], 2)
    # each field is a mixture: grass has bare spots, woods have clearings
    thin = _ripples(side, 2.5, rng)[..., None] * 0.12 + 0.15
    soil = np.eye(len(_NAMES), dtype=np.float32)[_NAMES.index("soil")]
    green = shares[..., [_NAMES.index(n) for n in _FIELDS]].sum(2, keepdims=True)
    shares = shares * (1 - green * thin.clip(0, 0.6)) + green * thin.clip(0, 0.6) * soil
    spectra = np.array([np.interp(WAVELENGTHS, _AT, _SPECTRA[n]) for n in _NAMES], np.float32)
    cube = shares @ cv2.GaussianBlur(spectra, (0, 0), sigmaX=1.5, sigmaY=1e-6)
    # each field differs a little from its material, as drier or younger plants do
    slope = np.linspace(-1, 1, len(WAVELENGTHS), dtype=np.float32)
    cube *= 1 + 0.25 * _shrunk(lean, side)[..., None] * slope
    cube *= (1 + 0.10 * _ripples(side, 1.0, rng) + 0.08 * _ripples(side, 9.0, rng))[..., None]
    cube += rng.normal(0, 0.0005, cube.shape)
    return np.clip(cube, 0, 1).astype(np.float32)


def _drawn(size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Float32Array]:
    """Return the material of each pixel (size, size), and each field's deviation from its material, -1..1."""
    sites = rng.uniform(0, size, (48, 2)).astype(np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    nearest = np.stack([np.square(y - a) + np.square(x - b) for a, b in sites]).argmin(0)
    field = rng.choice([_NAMES.index(n) for n in _FIELDS], 48, p=(0.28, 0.24, 0.16, 0.18, 0.14)).astype(np.uint8)
    kinds, lean = field[nearest], rng.uniform(-1, 1, 48).astype(np.float32)[nearest]
    # rows of crops, roads, houses and a river
    furrows = (kinds == _NAMES.index("crop")) & (((x + 0.4 * y) // (_FINER * 1.5)) % 5 == 0)
    kinds[furrows] = _NAMES.index("soil")
    bends = np.array([[0, 0.62], [0.22, 0.55], [0.45, 0.66], [0.7, 0.58], [1, 0.74]]) * size
    _line(kinds, bends, "water", 9 * _FINER)
    for ends in ([[0.1, 0], [0.34, 1]], [[0, 0.22], [1, 0.35]], [[0.74, 0], [0.62, 1]]):
        _line(kinds, np.array(ends) * size, "asphalt", int(2.2 * _FINER))
    for _ in range(46):
        at, turn = rng.uniform(0.05, 0.95, 2) * size, rng.uniform(0, 90)
        box = cv2.boxPoints((tuple(at), tuple(rng.uniform(4, 9, 2) * _FINER), turn))
        cv2.fillPoly(kinds, [box.astype(np.int32)], _NAMES.index(rng.choice(["tiles", "tiles", "metal"])))
    for _ in range(160):
        cv2.circle(kinds, tuple(rng.integers(0, size, 2).tolist()), int(rng.uniform(0.8, 2.4) * _FINER), _NAMES.index("wood"), -1)
    return kinds, lean


def _line(kinds: NDArray[np.uint8], points: NDArray[np.float64], name: str, width: int) -> None:
    cv2.polylines(kinds, [points.astype(np.int32)], False, _NAMES.index(name), width)


def _shrunk(image: Float32Array, side: int) -> Float32Array:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _ripples(side: int, sigma: float, rng: np.random.Generator) -> Float32Array:
    """Return noise with a standard deviation of 1, smoothed by `sigma` pixels."""
    noise = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), sigma)
    return np.asarray(noise / noise.std(), np.float32)
