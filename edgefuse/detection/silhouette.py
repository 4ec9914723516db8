"""How much a region of an infrared picture looks like a standing person: correlation with a drawn figure of head, trunk and legs."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from edgefuse.detection.blobs import Blobs
from edgefuse.util.arrays import Float32Array, UInt8Array

_WIDTH, _HEIGHT, _MARGIN = 12, 28, 4  # pixels of the figure, and of the background around it
_FINE = 8  # times larger: the drawing that the figure is reduced from
_BLUR = 1.2  # pixels, standard deviation
_NOISE = 36.0  # levels, added to a patch's deviation, so that noise does not look like anything


@cache
def figure() -> Float32Array:
    """Return the figure with its margin, float32 (36, 20), of mean 0 and norm 1."""
    height, width = _HEIGHT * _FINE, _WIDTH * _FINE
    drawn = np.zeros((height, width), np.uint8)
    middle = width // 2
    cv2.circle(drawn, (middle, round(0.10 * height)), round(0.085 * height), (255,), -1)
    cv2.ellipse(drawn, (middle, round(0.33 * height)), (round(0.36 * width), round(0.17 * height)), 0, 0, 360, (255,), -1)
    cv2.rectangle(drawn, (round(0.2 * width), round(0.25 * height)), (round(0.8 * width), round(0.52 * height)), (255,), -1)
    legs = np.array(
        [(0.2 * width, 0.5 * height), (0.8 * width, 0.5 * height), (0.72 * width, 0.98 * height), (0.28 * width, 0.98 * height)]
    )
    cv2.fillConvexPoly(drawn, legs.astype(np.int32), (255,))
    small = cv2.resize(drawn, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    framed = cv2.copyMakeBorder(small, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_CONSTANT, value=(0,))
    made = np.asarray(cv2.GaussianBlur(framed, (0, 0), _BLUR), np.float32)
    made -= made.mean()
    return made / np.float32(np.linalg.norm(made))


def likeness(picture: UInt8Array, blobs: Blobs) -> Float32Array:
    """Return each region's correlation with the figure, float32 (N,), at most 1. The figure is as high as the region, in its middle."""
    wanted = figure()
    made = np.zeros(len(blobs), np.float32)
    for n in range(len(blobs)):
        scale = float(blobs.height[n]) / _HEIGHT
        x = float(blobs.left[n] + blobs.width[n] / 2) - scale * (wanted.shape[1] - 1) / 2 - 0.5
        y = float(blobs.top[n] + blobs.height[n] / 2) - scale * (wanted.shape[0] - 1) / 2 - 0.5
        place = np.array([[scale, 0, x], [0, scale, y]])
        patch = cv2.warpAffine(
            picture, place, wanted.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)  # fmt: skip
        patch -= patch.mean()
        made[n] = float((patch * wanted).sum()) / (float(np.linalg.norm(patch)) + _NOISE)
    return made
