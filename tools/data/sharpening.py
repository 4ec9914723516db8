"""Training pairs for the kernel network: scenes degraded as in benchmarks/sharpen.py, with random cameras.

Each `Pair` is a rotated or flipped part of a scene with an image of 3 to 8 bands anywhere in the spectrum, with or without noise.
edgefuse.sharpening computes everything before the kernel: registration, trend, noise levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from edgefuse.sharpening import cubic, noise
from edgefuse.sharpening.csakd import RANGES
from edgefuse.sharpening.kernel import fixed
from edgefuse.sharpening.kernel_network import AXES, LEFT
from edgefuse.sharpening.kriging import Kriging, Tile, tiles
from edgefuse.sharpening.pair import Pair as Both
from edgefuse.sharpening.psf import Psf
from edgefuse.sharpening.trend import fitted
from tools.data.wald import RATIO, degraded
from tools.kernel.network import MARGIN

COMPONENTS = 32
PARIS = "paris_hs", "paris_ms"  # a real pair, without ground truth
_NOISE_SIDE = 18  # largest side, in low-resolution pixels, of the window that noise is estimated on


@dataclass(frozen=True)
class Pair:
    """A training pair with everything that is computed before the kernel.

    whitened: (b, H, W), the image's principal components. planes: (AXES + LEFT, H + 2 MARGIN, W + 2 MARGIN), the network's inputs.
    rest: (h, w, k), the trend's residual at low resolution, by components. truth: (H, W, k), the same at high resolution.
    components: (B, k). noise: (k,), noise levels. error: (B,), mean squared error of each band with the fixed kernel.
    """

    whitened: Tensor
    planes: Tensor
    rest: Tensor
    truth: Tensor
    components: Tensor
    noise: np.ndarray
    error: Tensor
    psf: Psf


def read(root: Path) -> dict[str, list[np.ndarray]]:
    """Return the parts (H, W, B), in [0, 1], of each scene in a folder (NAME.npz with an array `cube`), by name."""
    scenes = {}
    for path in sorted(root.glob("*.npz")):
        if path.stem in PARIS:
            continue
        cube = np.load(path)["cube"].astype(np.float32)
        cube = np.clip(cube if cube.max() <= 2 else cube / 10000, 0, 1)
        scenes[path.stem] = list(cube) if cube.ndim == 4 else [cube]
    return scenes


def multispectral(cube: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Simulate a camera of few wide bands: the benchmark's bands in half of the cases, else 3 to `most` random ones."""
    bands = cube.shape[2]
    if rng.random() < 0.5:
        ranges: list[tuple[float, float]] = list(RANGES[: rng.choice([n for n in (4, 6) if n <= most])])
    else:
        middles = np.sort(rng.uniform(0.03, 0.95, rng.integers(3, most + 1)))
        widths = rng.uniform(0.02, 0.1, len(middles))
        ranges = [(max(0.0, m - w / 2), min(1.0, m + w / 2)) for m, w in zip(middles, widths, strict=True)]
    return np.stack([cube[..., int(a * bands) : max(int(a * bands) + 1, int(b * bands))].mean(2) for a, b in ranges], 2)


def resized(cube: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In half of the cases, reduce the cube by random factors, different along both axes: as seen from a greater distance."""
    if rng.random() < 0.5 or min(cube.shape[:2]) < 64:
        return cube
    height, width = (max(48, int(n * rng.uniform(0.6, 1))) for n in cube.shape[:2])
    bands = [cv2.resize(band, (width, height), interpolation=cv2.INTER_AREA) for band in np.moveaxis(cube, 2, 0)]
    return np.ascontiguousarray(np.stack(bands, 2))


def random_pair(scenes: Sequence[list[np.ndarray]], rng: np.random.Generator, most: int = 8) -> Pair:
    parts = scenes[rng.integers(len(scenes))]
    cube = resized(parts[rng.integers(len(parts))], rng) ** rng.uniform(0.75, 1.3)
    sides = [min(n, int(rng.choice([48, 64, 80, 100]))) // RATIO * RATIO for n in cube.shape[:2]]
    top, left = (int(rng.integers(0, n - side + 1)) for n, side in zip(cube.shape[:2], sides, strict=True))
    cube = np.rot90(cube[top : top + sides[0], left : left + sides[1]], int(rng.integers(4)))
    cube = np.ascontiguousarray(cube[::-1] if rng.random() < 0.5 else cube)
    low, image = degraded(cube), multispectral(cube, rng, most)
    if rng.random() < 0.4:
        noise_level = 10 ** (-rng.uniform(28, 48) / 20)
        low, image = (
            (x + rng.normal(size=x.shape) * np.sqrt(np.square(x, dtype=np.float64).mean((0, 1))) * noise_level).astype(np.float32)
            for x in (low, image)
        )
    return prepared(cube, low, image, rng)


def prepared(cube: np.ndarray, low: np.ndarray, image: np.ndarray, rng: np.random.Generator) -> Pair:
    # `degraded` samples half a pixel off the centre of each low-resolution pixel
    psf = Psf(RATIO, 1.0, 0.5, 0.5)
    both = Both(low, image, psf)
    trend = fitted(both, COMPONENTS)
    h, w, bands = low.shape
    few = image.shape[2]
    kernel = fixed(few)
    kriging = Kriging(both, trend, kernel, np.zeros(trend.components.shape[1]), 2)
    size = min(h, _NOISE_SIDE), min(w, _NOISE_SIDE)
    spans = tuple(((n - s) // 2, (n - s) // 2 + s) for n, s in zip((h, w), size, strict=True))
    levels, _ = noise.estimated(kriging, [Tile(spans, spans)])  # type: ignore[arg-type]
    kriging = replace(kriging, noise=levels)
    everything = both.low((0, h), (0, w))
    rest = trend.residual(everything.spectra.reshape(-1, bands), everything.image.reshape(-1, few)).reshape(h, w, -1)
    left = (cube.reshape(-1, bands) - trend.spectra(image.reshape(-1, few))).reshape(cube.shape)
    truth = left @ trend.analysis
    predicted = np.empty_like(truth)
    for tile in tiles(low.shape, 16, shared=0):
        (top, bottom), (first, last) = ((a * RATIO, b * RATIO) for a, b in tile.core)
        predicted[top:bottom, first:last] = kriging.predict(tile, kriging.observe(tile), False)[0]
    whitened = np.moveaxis(kernel.whitened(trend, image), 2, 0)
    left = np.moveaxis(cubic.enlarged(trend.leading(rest, LEFT), ((0, h), (0, w)), ((0, h * RATIO), (0, w * RATIO)), (h, w), psf), 2, 0)
    # random signs, because the sign of an axis is arbitrary
    whitened, left = (x * rng.choice([-1, 1], (len(x), 1, 1)).astype(np.float32) for x in (whitened, left))
    error = np.square((truth - predicted) @ trend.components.T).mean((0, 1)) + np.float32(1e-12)
    held = (torch.from_numpy(np.ascontiguousarray(x)) for x in (whitened, planes(whitened, left), rest, truth, trend.components))
    return Pair(*held, levels, torch.from_numpy(error), psf)


def planes(whitened: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return the inputs of `KernelNetwork` (AXES + LEFT, H + 2 MARGIN, W + 2 MARGIN) from whitened (b, H, W) and left (LEFT, H, W)."""
    few = min(len(whitened), AXES)
    padded = np.zeros((AXES + LEFT, *whitened.shape[1:]), np.float32)
    padded[:few], padded[AXES:] = np.arcsinh(whitened[:few]), np.arcsinh(left)
    return np.pad(padded, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="reflect")
