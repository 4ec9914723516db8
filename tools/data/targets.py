"""Pseudo-labels of warm targets (hot, compact, locally salient regions of infrared frames), and labelled crops for training."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgefuse.frames import Frame, FramePair
from edgefuse.fusion.fuser import Fuser
from edgefuse.fusion.fuser import load as load_fuser
from tools.data.photographs import IMAGES

SMALLEST, LARGEST_SHARE = 30, 0.02  # size of a target: pixels, share of the frame
RING, GAP = np.ones((31, 31), np.uint8), np.ones((5, 5), np.uint8)  # surroundings of a target, without its own soft edge
LOST = 0.95  # share of a target's infrared contrast; targets of which the plain blend keeps more are no labels
CERTAIN, POSSIBLE = 2.2, 1.5  # contrast from which a region is a target, or is doubtful and ignored in training
WIDENED = np.ones((37, 37), np.uint8)  # labels are widened to the target and the ring around it


@dataclass(frozen=True)
class Pair:
    """A registered pair: uint8 luma and infrared, and the pseudo-targets of each as int32 labels, 0 for none."""

    name: str
    visible: np.ndarray
    infrared: np.ndarray
    targets: dict[str, np.ndarray]


@dataclass(frozen=True)
class Crops:
    """Crops of pairs, uint8 (N, 2, h, w) at a quarter of the size; labels bool (N, 2, h / 2, w / 2): target, and ignored."""

    pairs: np.ndarray
    labels: np.ndarray


def load(folders: list[Path]) -> dict[str, list[Pair]]:
    """Load the pairs of all folders (with visible/ and infrared/) by part: train and validation (`part_of`), without those held back."""
    parts: dict[str, list[Pair]] = {"train": [], "validation": []}
    for folder in folders:
        for path in _files(folder / "visible"):
            if part_of(f"{folder.name}/{path.stem}") == "held back":
                continue
            frames = [cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in (path, _partner(folder / "infrared", path))]
            if any(f is None for f in frames) or frames[0].shape != frames[1].shape:
                raise ValueError(f"{path}: expected a readable infrared frame of the same name and size")
            targets = {name: find(f) for name, f in zip(("visible", "infrared"), frames, strict=True)}
            pair = Pair(f"{folder.name}/{path.stem}", frames[0], frames[1], targets)
            parts[part_of(pair.name)].append(pair)
    for part, pairs in parts.items():
        if not pairs:
            raise ValueError(f"no pair in {', '.join(map(str, folders))} falls to {part}; more pairs are needed")
    return parts


def part_of(name: str) -> str:
    """Return the part of the pair "FOLDER/NAME" by a hash of its name: "train", "validation" or, for a third of all, "held back".

    Pairs that are held back are never trained on, and no constant is chosen by them.
    """
    third, rest = zlib.crc32(name.encode()) % 3, zlib.crc32(name.encode()) // 3
    return "held back" if third == 0 else "validation" if rest % 6 == 0 else "train"


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give folders with visible/ and infrared/ inside")
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)


def _partner(folder: Path, path: Path) -> Path:
    return next(iter(sorted(folder.glob(f"{path.stem}.*"))), folder / path.name)


def _regions(smooth: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """Return compact connected regions above each of several thresholds, away from the frame's edge, with their bounding boxes."""
    height, width = smooth.shape
    for level in range(int(np.median(smooth)), 252, 8):
        count, labels, stats, _ = cv2.connectedComponentsWithStats((smooth > level).astype(np.uint8))
        for k in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[k])
            if not SMALLEST <= area <= LARGEST_SHARE * height * width or max(w, h) > 0.4 * min(height, width):
                continue
            if x <= 1 or y <= 1 or x + w >= width - 1 or y + h >= height - 1:
                continue
            # people are upright and cars wide, but roads and wires are neither
            if area >= 0.3 * w * h and w <= 3 * h and h <= 6 * w:
                yield labels == k, (x, y, w, h)


def find(frame: np.ndarray, most: int = 20) -> np.ndarray:
    """Label (int32, 0 for none) the `most` regions of a uint8 frame with the highest contrast, without overlaps."""
    height, width = frame.shape
    candidates = []
    for region, (x, y, w, h) in _regions(cv2.GaussianBlur(frame, (0, 0), 1.0)):
        window = np.s_[max(0, y - 16) : y + h + 16, max(0, x - 16) : x + w + 16]
        inside = region[window].astype(np.uint8)
        near = cv2.dilate(inside, GAP)
        ring = (cv2.dilate(inside, RING) > near).astype(np.uint8)
        if cv2.countNonZero(ring) < 50:
            continue
        part = frame[window]
        mean, (around, deviation) = cv2.mean(part, mask=inside)[0], (float(v[0, 0]) for v in cv2.meanStdDev(part, mask=ring))
        contrast = (mean - around) / (deviation + 4)
        if mean - around >= 25 and contrast >= POSSIBLE:
            candidates.append((contrast * min(1.0, (cv2.countNonZero(inside) / 100) ** 0.5), window, inside, near))
    labels = np.zeros((height, width), np.int32)
    count = 0
    for _, window, inside, near in sorted(candidates, key=lambda f: -f[0]):
        if labels[window][near > 0].any():
            continue
        count += 1
        labels[window][inside > 0] = count
        if count == most:
            break
    return labels


def contrast(x: np.ndarray, target: np.ndarray, ring: np.ndarray) -> float:
    """Return the contrast of a target: (mean(target) - mean(ring)) / (standard deviation(ring) + 4)."""
    around = x[ring]
    return float((x[target].mean() - around.mean()) / (around.std() + 4))


def sensor(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate another camera: random gamma, contrast, brightness, focus and noise; uint8."""
    y = x.astype(np.float32) / 255
    if rng.random() < 0.7:
        y **= np.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.7:
        gain = np.exp(rng.uniform(-0.7, 0.3))
        y = (y - 0.5) * gain + 0.5 + rng.uniform(-0.2, 0.2) * (1 - gain if gain < 1 else 0.3)
    if rng.random() < 0.3:
        y = cv2.GaussianBlur(y, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.3:
        y = y + rng.normal(size=y.shape).astype(np.float32) * rng.uniform(0, 0.03)
    return np.round(np.clip(y, 0, 1) * 255).astype(np.uint8)


def part(pair: Pair, size: tuple[int, int], rng: np.random.Generator, swap: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (visible, infrared, labels) of a random part of `size` (height, width) at a random scale, each frame with a random `sensor`.

    With probability `swap` the sources are exchanged, and bright compact objects of the visible frame are the targets, so that the network
    learns what stands out in the second source and not how a thermal frame looks.
    """
    height, width = size
    visible, infrared, labels = pair.visible, pair.infrared, pair.targets["infrared"]
    if rng.random() < swap:
        visible, infrared, labels = infrared, visible, pair.targets["visible"]
    scale = max(np.exp(rng.uniform(np.log(0.8), np.log(1.8))), (height + 1) / visible.shape[0], (width + 1) / visible.shape[1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    frames = [cv2.resize(f, None, fx=scale, fy=scale, interpolation=how) for f in (visible, infrared)]
    labels = cv2.resize(labels.astype(np.float32), frames[0].shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int32)
    for _ in range(4):
        y, x = (int(rng.integers(n - m + 1)) for n, m in zip(labels.shape, size, strict=True))
        if (labels[y : y + height, x : x + width] > 0).sum() > 40:
            break
    window = np.s_[y : y + height, x : x + width]
    step = -1 if rng.random() < 0.5 else 1
    v, i = (sensor(np.ascontiguousarray(f[window][:, ::step]), rng) for f in frames)
    return v, i, np.ascontiguousarray(labels[window][:, ::step])


def crop(pair: Pair, size: tuple[int, int], rng: np.random.Generator, swap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a random `part` as in `Crops`: (2, h / 4, w / 4) uint8, and labels (2, h / 8, w / 8) bool of the targets in it."""
    height, width = size
    v, i, labels = part(pair, size, rng, swap)
    marked = [cv2.dilate(m, WIDENED) for m in _sorted_out(v, i, labels, blended(v, i))]
    small = [cv2.resize(f, (width // 4, height // 4), interpolation=cv2.INTER_AREA) for f in (v, i)]
    cells = [cv2.resize(m.astype(np.float32), (width // 8, height // 8), interpolation=cv2.INTER_AREA) > 0.4 for m in marked]
    return np.stack(small), np.stack(cells)


def blended(visible: np.ndarray, infrared: np.ndarray) -> np.ndarray:
    """Return the plain blend of the pair, without targets and gain; uint8."""
    frames = (Frame(visible, "visible", 0, "crop"), Frame(infrared, "infrared", 0, "crop"))
    return _plain().fuse(FramePair(*frames, 0)).data


@functools.cache
def _plain() -> Fuser:
    return load_fuser("blend-classic", threads=1, sharpness=1.0)


def _sorted_out(
    visible: np.ndarray, infrared: np.ndarray, labels: np.ndarray, plain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return masks (uint8) of the targets that the blend `plain` would lose, and of regions to ignore: doubtful, or not lost."""
    certain, possible = np.zeros(labels.shape, np.uint8), np.zeros(labels.shape, np.uint8)
    everything = (labels > 0).astype(np.uint8)
    clear = cv2.dilate(everything, GAP) == 0
    hot = infrared.mean() + 0.7 * infrared.std()
    for k in np.unique(labels[labels > 0]):
        target = labels == k
        ring = (cv2.dilate(target.astype(np.uint8), RING) > 0) & clear
        if target.sum() < 20 or ring.sum() < 50:
            continue
        own = contrast(infrared, target, ring)
        good = own > CERTAIN and own > abs(contrast(visible, target, ring)) and infrared[target].mean() > hot
        lost = contrast(plain, target, ring) < LOST * own
        (certain if good and lost else possible)[target] = 1
    return certain, possible


def _drawn(pairs: list[Pair], count: int, seed: int) -> Iterator[tuple[Pair, np.random.Generator]]:
    """Draw `count` pairs, every third one from the smallest folder, so that it is not underrepresented."""
    by_folder: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_folder.setdefault(pair.name.split("/")[0], []).append(pair)
    pools = sorted(by_folder.values(), key=len)
    for k in range(count):
        rng = np.random.default_rng((seed, k))
        pool = pools[0] if k % 3 == 0 else pairs
        yield pool[int(rng.integers(len(pool)))], rng


def crops(pairs: list[Pair], count: int, size: tuple[int, int], seed: int, swap: float) -> Crops:
    made = [crop(pair, size, rng, swap) for pair, rng in _drawn(pairs, count, seed)]
    return Crops(np.stack([m[0] for m in made]), np.stack([m[1] for m in made]))


def full_crops(pairs: list[Pair], count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Draw crops at full resolution, never swapped: uint8 (count, 2, h, w)."""
    return np.stack([part(pair, size, rng)[:2] for pair, rng in _drawn(pairs, count, seed)])
