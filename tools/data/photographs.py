"""Loads photographs: luma and, if there is one, the foreground mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

IMAGES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class Photograph:
    """A photograph. luma: uint8 (H, W). foreground: uint8 (H, W) of 0 and 1, or None without an annotation."""

    name: str
    luma: np.ndarray
    foreground: np.ndarray | None


def _read(image: Path, mask: Path | None) -> Photograph:
    luma = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)
    if luma is None:
        raise ValueError(f"{image}: not a readable image")
    foreground = None
    if mask is not None and mask.is_file():
        # in both VOC's palette and COCO's label maps 0 is background; VOC's 255 is the object's outline
        labels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        labels = labels if labels.ndim == 2 else labels.max(axis=2)
        if labels.shape == luma.shape and labels.any():
            foreground = (labels > 0).astype(np.uint8)
    return Photograph(image.stem, luma, foreground)


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)


def coco128(root: Path) -> Iterator[Photograph]:
    """Load images/NAME.jpg with masks/NAME.png, label 0 for the background (../shared/data/natural/coco128)."""
    return (_read(p, root / "masks" / f"{p.stem}.png") for p in _images(root / "images"))


def voc(root: Path) -> Iterator[Photograph]:
    """Load a Pascal VOC year: JPEGImages/ with SegmentationObject/ (as in the paper), else SegmentationClass/."""
    folder = next((root / d for d in ("SegmentationObject", "SegmentationClass") if (root / d).is_dir()), None)
    if folder is None:
        raise ValueError(f"{root}: no SegmentationObject/ or SegmentationClass/ inside; give the VOC year's folder")
    return (_read(root / "JPEGImages" / f"{m.stem}.jpg", m) for m in _images(folder))


def photos(root: Path) -> Iterator[Photograph]:
    """Load a folder of photographs without masks, which are suitable only for multi-lighting pairs."""
    return (_read(p, None) for p in _images(root))


def coco(root: Path, most: int = 4000) -> Iterator[Photograph]:
    """Load unpacked COCO (train2017/, val2017/ or another split): at most `most` evenly chosen images, because all would take 20 GB."""
    files = [p for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name != "annotations" for p in _images(folder)]
    return (_read(p, None) for p in files[:: max(1, len(files) // most)][:most])


LOADERS = {"coco": coco, "coco128": coco128, "voc": voc, "photos": photos}


def crops(photographs: list[Photograph], count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` random squares of luma, float32 (count, 1, size, size) in [0, 1]; scaled by 0.5 to 1.2, half of them mirrored."""
    made = np.empty((count, 1, size, size), np.float32)
    for k in range(count):
        luma = photographs[int(rng.integers(len(photographs)))].luma
        scale = max(rng.uniform(0.5, 1.2), (size + 1) / min(luma.shape))
        luma = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        y, x = (int(rng.integers(0, n - size + 1)) for n in luma.shape)
        made[k, 0] = luma[y : y + size, x : x + size][:, :: -1 if rng.random() < 0.5 else 1]
    made /= 255
    return made


def load(uris: list[str]) -> list[Photograph]:
    """Load all given URIs: `coco:DIR`, `coco128:DIR`, `voc:DIR` or `photos:DIR`. Raises ValueError for what can't be read."""
    loaded: list[Photograph] = []
    for uri in uris:
        kind, _, folder = uri.partition(":")
        if kind not in LOADERS or not folder or not Path(folder).is_dir():
            raise ValueError(f"{uri}: expected KIND:FOLDER with KIND one of {', '.join(LOADERS)} and an existing folder")
        try:
            loaded += LOADERS[kind](Path(folder))
        except OSError as e:
            raise ValueError(f"{uri}: {e.strerror}: {e.filename}") from None
    if not loaded:
        raise ValueError(f"no photographs in {', '.join(uris)}")
    return loaded
