"""The README's pictures, from our own demo scene: `python docs/make_pictures.py`. Writes docs/images/*.jpg."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import edgefuse

OUT = Path(__file__).resolve().parent / "images"
MOMENTS = (("day", 48), ("cycle", 118), ("night", 194))
LABELS = ("visible", "infrared", "blending map", "fused")


def labelled(image: np.ndarray, text: str) -> np.ndarray:
    """`image` as BGR with `text` in its corner."""
    bgr = image.copy() if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(bgr, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, width, cv2.LINE_AA)
    return bgr


def row(fuser: edgefuse.Fuser, scene: str, index: int) -> np.ndarray:
    """visible | infrared | map | fused of one moment."""
    with edgefuse.open_source(f"demo?scene={scene}") as source:
        for _ in range(index):
            source.read()
        pair = source.read()
    assert pair is not None
    fused = fuser.fuse(pair)
    assert fused.blending_map is not None
    pictures = (pair.visible.data, pair.infrared.data, np.round(fused.blending_map * 255).astype(np.uint8), fused.data)
    return np.hstack([labelled(p, t) for p, t in zip(pictures, LABELS, strict=True)])


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with edgefuse.load() as fuser:
        sheet = np.vstack([row(fuser, *moment) for moment in MOMENTS])
    half = cv2.resize(sheet, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUT / "demo.jpg"), half, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
