"""The image with its covered pixels interpolated from the cube."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.sharpening import cubic
from edgefuse.sharpening.clouds import Covered
from edgefuse.sharpening.pair import Pair, grown


class Filled:
    """Reads the image of a pair in windows; covered pixels whose cube is known are interpolated from it."""

    def __init__(self, pair: Pair, covered: Covered) -> None:
        self._pair, self._covered, self.shape = pair, covered, pair.image.shape

    def __getitem__(self, key: Any) -> NDArray[Any]:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        (top, bottom, _), (left, right, _) = rows.indices(self.shape[0]), columns.indices(self.shape[1])
        samples = self._pair.image[top:bottom, left:right]
        mask = self._covered.mask[top:bottom, left:right]
        down, across = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not down.size:
            return samples
        # the smallest window that holds all covered pixels
        high = (top + int(down[0]), top + int(down[-1]) + 1), (left + int(across[0]), left + int(across[-1]) + 1)
        ratio, counts = self._pair.psf.ratio, self._pair.low_shape[:2]
        low = [grown((a // ratio, -(-b // ratio)), cubic.REACH + 1, count) for (a, b), count in zip(high, counts, strict=True)]
        predicted = self._covered.prediction(self._pair.spectra(low[0], low[1])[0])
        filling = cubic.enlarged(predicted, (low[0], low[1]), high, counts, self._pair.psf)
        filled = samples.astype(np.float32)
        window = slice(high[0][0] - top, high[0][1] - top), slice(high[1][0] - left, high[1][1] - left)
        filled[window] = np.where(mask[window][..., None], filling, filled[window])
        return filled
