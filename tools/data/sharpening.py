"""Pairs to learn to sharpen from: scenes degraded as benchmarks/sharpen.py does, as if other cameras had seen them.

Each `Pair` is a part of a scene, turned, its image of 3 to 8 bands anywhere in the spectrum, with or without noise; all up to the kernel
is solved by edgefuse.sharpening.
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
from tools.kernel.network import MARGIN

RATIO = 4
COMPONENTS = 32
PARIS = "paris_hs", "paris_ms"  # a real pair: nobody knows its truth
_MOST_ASKED = 18  # low-resolution pixels to a side that noise is estimated on


@dataclass(frozen=True)
class Pair:
    """whitened (b, H, W); planes (AXES + LEFT, H + 2 MARGIN, W + 2 MARGIN): the network's; rest (h, w, k): of the trend, at low resolution,
    by components; truth (H, W, k): at high resolution. components (B, k). noise (k,): levels. error (B,): mean square of what the fixed
    kernel leaves of a band."""

    whitened: Tensor
    planes: Tensor
    rest: Tensor
    truth: Tensor
    components: Tensor
    noise: np.ndarray
    error: Tensor
    psf: Psf


def read(root: Path) -> dict[str, list[np.ndarray]]:
    """Of each scene in a folder (NAME.npz, with an array `cube`) its parts (H, W, B) in [0, 1]."""
    found = {}
    for path in sorted(root.glob("*.npz")):
        if path.stem in PARIS:
            continue
        cube = np.load(path)["cube"].astype(np.float32)
        cube = np.clip(cube if cube.max() <= 2 else cube / 10000, 0, 1)
        found[path.stem] = list(cube) if cube.ndim == 4 else [cube]
    return found


def degraded(cube: np.ndarray) -> np.ndarray:
    sigma = RATIO / 2.355
    size = 2 * int(np.ceil(3 * sigma)) + 1
    bands = [cv2.GaussianBlur(band, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101) for band in np.moveaxis(cube, 2, 0)]
    return np.ascontiguousarray(np.stack(bands, 2)[RATIO // 2 :: RATIO, RATIO // 2 :: RATIO])


def seen(cube: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """As a camera of few bands sees it: the benchmark's half of the time, else any 3 to `most`."""
    bands = cube.shape[2]
    if rng.random() < 0.5:
        ranges: list[tuple[float, float]] = list(RANGES[: rng.choice([n for n in (4, 6) if n <= most])])
    else:
        middles = np.sort(rng.uniform(0.03, 0.95, rng.integers(3, most + 1)))
        widths = rng.uniform(0.02, 0.1, len(middles))
        ranges = [(max(0.0, m - w / 2), min(1.0, m + w / 2)) for m, w in zip(middles, widths, strict=True)]
    return np.stack([cube[..., int(a * bands) : max(int(a * bands) + 1, int(b * bands))].mean(2) for a, b in ranges], 2)


def resized(cube: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the time as seen from a little further away, or with other sides."""
    if rng.random() < 0.5 or min(cube.shape[:2]) < 64:
        return cube
    height, width = (max(48, int(n * rng.uniform(0.6, 1))) for n in cube.shape[:2])
    bands = [cv2.resize(band, (width, height), interpolation=cv2.INTER_AREA) for band in np.moveaxis(cube, 2, 0)]
    return np.ascontiguousarray(np.stack(bands, 2))


def drawn(scenes: Sequence[list[np.ndarray]], rng: np.random.Generator, most: int = 8) -> Pair:
    parts = scenes[rng.integers(len(scenes))]
    cube = resized(parts[rng.integers(len(parts))], rng) ** rng.uniform(0.75, 1.3)
    sides = [min(n, int(rng.choice([48, 64, 80, 100]))) // RATIO * RATIO for n in cube.shape[:2]]
    top, left = (int(rng.integers(0, n - side + 1)) for n, side in zip(cube.shape[:2], sides, strict=True))
    cube = np.rot90(cube[top : top + sides[0], left : left + sides[1]], int(rng.integers(4)))
    cube = np.ascontiguousarray(cube[::-1] if rng.random() < 0.5 else cube)
    low, image = degraded(cube), seen(cube, rng, most)
    if rng.random() < 0.4:
        loud = 10 ** (-rng.uniform(28, 48) / 20)
        low, image = (
            (x + rng.normal(size=x.shape) * np.sqrt(np.square(x, dtype=np.float64).mean((0, 1))) * loud).astype(np.float32)
            for x in (low, image)
        )
    return prepared(cube, low, image, rng)


def prepared(cube: np.ndarray, low: np.ndarray, image: np.ndarray, rng: np.random.Generator) -> Pair:
    # every RATIO'th pixel of the blurred is half a pixel off the middle
    psf = Psf(RATIO, 1.0, 0.5, 0.5)
    both = Both(low, image, psf)
    trend = fitted(both, COMPONENTS)
    h, w, bands = low.shape
    few = image.shape[2]
    kernel = fixed(few)
    kriging = Kriging(both, trend, kernel, np.zeros(trend.components.shape[1]), 2)
    size = min(h, _MOST_ASKED), min(w, _MOST_ASKED)
    spans = tuple(((n - s) // 2, (n - s) // 2 + s) for n, s in zip((h, w), size, strict=True))
    levels, _ = noise.estimated(kriging, [Tile(spans, spans)])  # type: ignore[arg-type]
    kriging = replace(kriging, noise=levels)
    everything = both.low((0, h), (0, w))
    rest = trend.residual(everything.spectra.reshape(-1, bands), everything.image.reshape(-1, few)).reshape(h, w, -1)
    left = (cube.reshape(-1, bands) - trend.spectra(image.reshape(-1, few))).reshape(cube.shape)
    truth = left @ trend.analysis
    found = np.empty_like(truth)
    for tile in tiles(low.shape, 16, shared=0):
        (top, bottom), (first, last) = ((a * RATIO, b * RATIO) for a, b in tile.core)
        found[top:bottom, first:last] = kriging.carried(tile, kriging.seen(tile), False)[0]
    whitened = np.moveaxis(kernel.whitened(trend, image), 2, 0)
    left = np.moveaxis(cubic.enlarged(trend.leading(rest, LEFT), ((0, h), (0, w)), ((0, h * RATIO), (0, w * RATIO)), (h, w), psf), 2, 0)
    # which way an axis points is nothing that counts
    whitened, left = (x * rng.choice([-1, 1], (len(x), 1, 1)).astype(np.float32) for x in (whitened, left))
    error = np.square((truth - found) @ trend.components.T).mean((0, 1)) + np.float32(1e-12)
    held = (torch.from_numpy(np.ascontiguousarray(x)) for x in (whitened, planes(whitened, left), rest, truth, trend.components))
    return Pair(*held, levels, torch.from_numpy(error), psf)


def planes(whitened: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(b, H, W), (LEFT, H, W) -> (AXES + LEFT, H + 2 MARGIN, W + 2 MARGIN), as `KernelNetwork` takes them."""
    few = min(len(whitened), AXES)
    found = np.zeros((AXES + LEFT, *whitened.shape[1:]), np.float32)
    found[:few], found[AXES:] = np.arcsinh(whitened[:few]), np.arcsinh(left)
    return np.pad(found, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="reflect")
