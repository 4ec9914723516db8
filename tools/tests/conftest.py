"""Fixtures: small synthetic photographs with masks, and pairs, because the real data may not be redistributed."""

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
    """A folder like coco128: 40 images, with masks for all but the last."""
    root = tmp_path / "coco"
    for d in ("images", "masks"):
        (root / d).mkdir(parents=True)
    for k in range(40):
        image, mask = _picture(k)
        cv2.imwrite(str(root / "images" / f"{k}.jpg"), image)
        if k < 39:
            cv2.imwrite(str(root / "masks" / f"{k}.png"), mask)
    return root


def scene(k: int, size: tuple[int, int] = (330, 400)) -> tuple[np.ndarray, np.ndarray]:
    """Return (visible, infrared) with different textures, and an upright hot body in the right half of the infrared frame."""
    rng = np.random.default_rng(k)
    visible = cv2.GaussianBlur(rng.integers(0, 256, size, np.uint8), (0, 0), 2)
    infrared = cv2.GaussianBlur(rng.integers(60, 120, size, np.uint8), (0, 0), 3)
    cv2.ellipse(infrared, (250 + 10 * (k % 5), 160), (10, 24), 0, 0, 360, 235, -1)
    return visible, cv2.GaussianBlur(infrared, (0, 0), 1)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pairs in visible/ and infrared/."""
    root = tmp_path_factory.mktemp("made_up")
    for d in ("visible", "infrared"):
        (root / d).mkdir()
    for k in range(12):
        for d, frame in zip(("visible", "infrared"), scene(k), strict=True):
            cv2.imwrite(str(root / d / f"{k:02}.png"), frame)
    return root
