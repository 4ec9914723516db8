"""Makes fusion pairs with a ground truth from photographs (MobileFuse, section III-B): multi-focus and multi-lighting.

Multi-focus: the background is blurred in one source, the foreground in the other. Multi-lighting: one source is over-saturated, the other
darkened. In both cases the photograph is the ground truth. The roles of the sources are random, so that the network does not learn to
prefer one of its inputs.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from tools.data.photographs import Photograph


@dataclass(frozen=True)
class Batch:
    """Pairs, float32 (N, 1, S, S) in [0, 1] each. mask: the ideal map, defined where `focus` (bool (N,)) is set."""

    visible: np.ndarray
    infrared: np.ndarray
    truth: np.ndarray
    mask: np.ndarray
    focus: np.ndarray


def split(photographs: list[Photograph], seed: int = 0) -> dict[str, list[Photograph]]:
    """Split 80/10/10 by a hash of the name, so that additional photographs do not move others to another part."""
    parts: dict[str, list[Photograph]] = {"train": [], "validation": [], "test": []}
    for p in photographs:
        bucket = zlib.crc32(f"{seed}:{p.name}".encode()) % 10
        parts["test" if bucket == 0 else "validation" if bucket == 1 else "train"].append(p)
    return parts


def _crop(photograph: Photograph, size: int, rng: np.random.Generator, masked: bool) -> tuple[np.ndarray, np.ndarray]:
    luma, mask = photograph.luma, photograph.foreground
    mask = np.zeros_like(luma) if mask is None else mask
    # a random scale, for objects and noise of different sizes
    scale = max(rng.uniform(0.5, 1.2), (size + 1) / min(luma.shape))
    luma = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mask = cv2.resize(mask, luma.shape[::-1], interpolation=cv2.INTER_NEAREST)
    for _ in range(8):
        y, x = (int(rng.integers(0, n - size + 1)) for n in luma.shape)
        part = mask[y : y + size, x : x + size]
        if not masked or 0.05 < part.mean() < 0.95:
            break
    luma = luma[y : y + size, x : x + size]
    if rng.random() < 0.5:
        luma, part = luma[:, ::-1], part[:, ::-1]
    return luma.astype(np.float32) / 255, part.astype(np.float32)


def _sensors(luma: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the photograph as seen by two sensors: identical in half of the cases, else each with its own gamma and polarity.

    Without this the network would decide by brightness, which differs between visible and infrared frames. The contrast is unchanged,
    because the network has to learn which source is sharper or better lit.
    """
    if rng.random() < 0.5:
        return luma, luma

    def seen() -> np.ndarray:
        x = luma ** rng.uniform(0.7, 1.4)
        return 1 - x if rng.random() < 0.25 else x

    return seen(), seen()


def _badly_lit(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an over-saturated or darkened version, clipped to [0, 1], in which whole regions are white or black."""
    if rng.random() < 0.4:
        return np.clip(x * rng.uniform(1.2, 4.0) + rng.uniform(0.0, 0.5), 0, 1)
    return np.clip(x * rng.uniform(0.05, 0.7) - rng.uniform(0.0, 0.25), 0, 1)


def _softened(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur a little, as a thermal camera's optics do: the network must prefer well lit but soft to sharp but dark."""
    return cv2.GaussianBlur(x, (0, 0), rng.uniform(0.5, 1.5)) if rng.random() < 0.4 else x


def multi_focus(luma: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (source with sharp foreground, source with sharp background, truth), float32 (S, S). mask: 1 in the foreground."""
    a, b = _sensors(luma, rng)
    sigma = rng.uniform(1.0, 5.0)
    first = a * mask + cv2.GaussianBlur(a, (0, 0), sigma) * (1 - mask)
    second = b * (1 - mask) + cv2.GaussianBlur(b, (0, 0), sigma) * mask
    return first, second, a * mask + b * (1 - mask)


def multi_lighting(luma: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (first, second, truth), float32 (S, S). With a mask, each source is badly lit on one side of it; without, one source is
    over-saturated and the other darkened everywhere.
    """
    if mask.any():
        a, b = (_softened(x, rng) for x in _sensors(luma, rng))
        first = a * mask + _badly_lit(a, rng) * (1 - mask)
        second = b * (1 - mask) + _badly_lit(b, rng) * mask
        return first, second, a * mask + b * (1 - mask)
    over = np.clip(luma * rng.uniform(1.0, 3.0) + rng.uniform(0.0, 0.2), 0, 1)
    dark = np.clip(luma * rng.uniform(0.05, 0.95) - rng.uniform(0.0, 0.1), 0, 1)
    return over, dark, luma


def batch(photographs: list[Photograph], n: int, size: int, rng: np.random.Generator) -> Batch:
    """Draw `n` pairs of `size` x `size` pixels, half of them multi-focus and half multi-lighting."""
    masked = [p for p in photographs if p.foreground is not None]
    if not masked:
        raise ValueError("no photograph has a foreground mask; multi-focus pairs need some")
    out = Batch(*(np.empty((n, 1, size, size), np.float32) for _ in range(4)), focus=np.zeros(n, bool))
    for k in range(n):
        focus = k % 2 == 0
        # lighting: mostly with a mask, each source badly lit on one side of it; else one over-saturated and one darkened everywhere
        pool = masked if focus or rng.random() < 0.7 else photographs
        luma, mask = _crop(pool[int(rng.integers(len(pool)))], size, rng, focus)
        make = multi_focus if focus else multi_lighting
        first, second, truth = make(luma, mask, rng)
        if rng.random() < 0.5:
            first, second, mask = second, first, 1 - mask
        if rng.random() < 0.4:
            # night: the same scene with little light in both
            gain = np.exp(rng.uniform(np.log(0.06), np.log(0.7)))
            first, second, truth = first * gain, second * gain, truth * gain
        out.visible[k, 0], out.infrared[k, 0], out.truth[k, 0], out.mask[k, 0] = first, second, truth, mask
        out.focus[k] = focus
    return out
