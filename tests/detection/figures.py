"""Infrared pictures with drawn people, and looks at them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgefuse.detection import Look
from edgefuse.frames import Frame, FramePair, FusedFrame, Radiometry

KELVIN = Radiometry("lepton", 0.01, -273.15)


def person(picture: Any, x: int, y: int, height: int, level: int) -> None:
    """Draw a person of a height in pixels, the crown of the head at (x, y)."""
    head = max(1, round(0.08 * height))
    cv2.circle(picture, (x, y + head), head, (level,), -1)
    half = max(1, round(0.13 * height))
    cv2.rectangle(picture, (x - half, y + round(0.17 * height)), (x + half, y + round(0.55 * height)), (level,), -1)
    leg = max(1, round(0.09 * height))
    cv2.rectangle(picture, (x - leg, y + round(0.5 * height)), (x + leg, y + height - 1), (level,), -1)


def street(*people: tuple[int, int, int], size: tuple[int, int] = (160, 120), warm: int = 170, seed: int = 0) -> Any:
    """Return a noisy night picture, uint8 (H, W), with people (x, y, height), and a warm wall that is no person."""
    width, height = size
    picture = np.full((height, width), 60, np.uint8)
    cv2.rectangle(picture, (2, height // 2), (width // 4, height // 2 + 12), (110,), -1)
    for x, y, tall in people:
        person(picture, x, y, tall, warm)
    noise = np.random.default_rng(seed).normal(0, 2, picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (3, 3), 0) + noise, 0, 255).astype(np.uint8)


def counts(picture: Any, cold: float = 5.0, degrees_per_level: float = 0.2) -> Any:
    """Return a picture as counts of 0.01 kelvin, uint16."""
    return np.round((cold + picture * degrees_per_level + 273.15) * 100).astype(np.uint16)


def fused(infrared: Any, time_ns: int = 10**9, law: Radiometry | None = None, missing: Any = None, index: int = 0) -> FusedFrame:
    visible = Frame(np.zeros((*infrared.shape[:2], 3), np.uint8), "visible", time_ns, f"f{index}")
    return FusedFrame(visible.data, FramePair(visible, Frame(infrared, "infrared", time_ns, f"f{index}", law), index, missing))


def look(infrared: Any, law: Radiometry | None = None, grey: Any = None) -> Look:
    return Look(infrared if grey is None else grey, fused(infrared, law=law))
