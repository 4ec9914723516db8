"""Small photographs with masks, made up; the real ones are not the project's to redistribute."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.data.photographs import Photograph


def _picture(k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(k)
    image = cv2.GaussianBlur(rng.integers(0, 256, (120, 150, 3), np.uint8), (0, 0), 1.5)
    mask = np.zeros((120, 150), np.uint8)
    cv2.circle(mask, (75, 60), 35, 7, -1)
    image[mask > 0] = 255 - image[mask > 0]
    return image, mask


@pytest.fixture
def photographs() -> list[Photograph]:
    return [Photograph(f"p{k}", image[..., 1], (mask > 0).astype(np.uint8)) for k in range(40) for image, mask in [_picture(k)]]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A folder like coco128: 40 images, masks for all but the last."""
    root = tmp_path / "coco"
    for d in ("images", "masks"):
        (root / d).mkdir(parents=True)
    for k in range(40):
        image, mask = _picture(k)
        cv2.imwrite(str(root / "images" / f"{k}.jpg"), image)
        if k < 39:
            cv2.imwrite(str(root / "masks" / f"{k}.png"), mask)
    return root
