"""The blending map in closed form: where one frame departs further from its mean and varies more, it takes the base.

With A and B the visible and the infrared luma at an eighth of the size, 0 to 255, and sigma the deviation over 5 x 5,

    M = blur(sigmoid(0.744 |A - mean A| - 1.053 |B - mean B| + 0.887 sigma_A - 1.778 sigma_B - 1.045))

blurred by 13 x 13 twice, then drawn in to [0.10, 0.97]. Ours; the constants were fitted by tools/mobilefuse/fit_map.py on RoadScene and
MSRS. The wide blur leaves few borders that follow nothing in the scene.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgefuse.util.arrays import Float32Array, UInt8Array

DEPARTURE, DEVIATION, BIAS = (0.744, 1.053), (0.887, 1.778), -1.045
WINDOW, BLUR = (5, 5), (13, 13)
# neither source is ever left out for its looks alone: there is always something of both
SHARES = (0.10, 0.97)


class ClosedForm:
    """Maps of one size, in buffers made once."""

    def __init__(self, shape: tuple[int, int]) -> None:
        """shape: (rows, columns) of an eighth of the padded frame."""
        self._planes = [np.empty(shape, np.float32) for _ in range(4)]
        self._other, self._zero = np.empty(shape, np.float32), np.zeros(shape, np.float32)

    def __call__(self, visible: UInt8Array, infrared: UInt8Array) -> Float32Array:
        """visible, infrared: uint8 of `shape`. Returns the visible frame's share, float32 in [0.10, 0.97], overwritten by the next."""
        z = self._standing_out(visible, DEPARTURE[0], DEVIATION[0], self._planes[0])
        np.subtract(z, self._standing_out(infrared, DEPARTURE[1], DEVIATION[1], self._planes[1]), out=z)
        # sigmoid(z) as (1 + tanh(z / 2)) / 2, which can't overflow
        np.add(z, np.float32(BIAS), out=z)
        np.multiply(z, np.float32(0.5), out=z)
        np.tanh(z, out=z)
        cv2.blur(z, BLUR, dst=self._other)
        cv2.blur(self._other, BLUR, dst=z)
        low, high = SHARES
        np.multiply(z, np.float32((high - low) / 2), out=z)
        return np.add(z, np.float32((high + low) / 2), out=z)

    def _standing_out(self, image: UInt8Array, departure: float, deviation: float, out: Float32Array) -> Float32Array:
        """departure |x - mean x| + deviation sigma(x), into `out`."""
        mean, square = self._planes[2:]
        np.copyto(out, image)
        # about the frame's mean, so that squares stay small enough for float32
        np.subtract(out, np.float32(cv2.mean(image)[0]), out=out)
        cv2.blur(out, WINDOW, dst=mean)
        np.multiply(out, out, out=square)
        cv2.blur(square, WINDOW, dst=square)
        np.multiply(mean, mean, out=mean)
        np.subtract(square, mean, out=square)
        # rounding may leave a flat region a little below 0
        cv2.max(square, self._zero, dst=square)
        cv2.sqrt(square, dst=square)
        np.multiply(square, np.float32(deviation), out=square)
        np.abs(out, out=out)
        np.multiply(out, np.float32(departure), out=out)
        return np.add(out, square, out=out)
