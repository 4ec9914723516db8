"""Channels of pictures with derived arrays that several metrics share; each is computed once, on first use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.metrics import contrast
from edgefuse.metrics.contrast import Spectrum, ratio
from edgefuse.util.arrays import Float64Array

Image = NDArray[np.uint8]
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
VIF_WINDOWS = (17, 9, 5, 3)  # one per scale
_DIFFERENCE, _SMOOTH = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0])


class Plane:
    """A channel, uint8 (H, W). Derived arrays are float64 in levels of 255 unless stated otherwise; do not modify them."""

    def __init__(self, data: Image) -> None:
        self.data = data

    @cached_property
    def real(self) -> Float64Array:
        return self.data.astype(np.float64)

    @cached_property
    def histogram(self) -> Float64Array:
        """Relative frequencies of the 256 levels, (256,), with sum 1."""
        return np.bincount(self.data.ravel(), minlength=256) / self.data.size

    @cached_property
    def stretched(self) -> Image:
        """uint8, stretched to 0..255 as VIFB does before MI, Qcb and Qcv; a constant channel becomes 0."""
        low, high = int(self.data.min()), int(self.data.max())
        if low == high:
            return np.zeros_like(self.data)
        levels = np.clip((np.arange(256.0) - low) / (high - low), 0, 1) * 255
        return np.floor(levels + 0.5).astype(np.uint8)[self.data]

    @cached_property
    def spectrum(self) -> Spectrum:
        """numpy's rfft2 of `stretched`, (H, W // 2 + 1)."""
        return np.fft.rfft2(self.stretched)

    @cached_property
    def masked_contrast(self) -> Float64Array:
        """Masked contrast of `stretched`, without unit (`edgefuse.metrics.contrast`)."""
        return contrast.masked_contrast(self.spectrum, self.data.shape)

    @cached_property
    def framed_strength(self) -> Float64Array:
        """Magnitude of the Sobel gradient with zero padding, as MATLAB's conv2."""
        return np.hypot(*self._framed)

    @cached_property
    def framed_orientation(self) -> Float64Array:
        """atan(up / right) of that gradient, radians in (-pi/2, pi/2]; pi/2 where it has no rightward part."""
        right, down = self._framed
        # VIFB's angles do not wrap, so the sign of the vertical axis matters
        angle = np.arctan(ratio(-down, right, 0.0))
        angle[right == 0] = np.pi / 2
        return angle

    @cached_property
    def _framed(self) -> tuple[Float64Array, Float64Array]:
        return sobel(self.real, cv2.BORDER_CONSTANT)

    @cached_property
    def strength(self) -> Float64Array:
        """Magnitude of the Sobel gradient with the border replicated, so that the picture's border is no edge."""
        return np.hypot(*self._gradient)

    @cached_property
    def orientation(self) -> Float64Array:
        """atan(down / right) of that gradient, radians in [-pi/2, pi/2]; 0 where there is none."""
        right, down = self._gradient
        angle = np.arctan(ratio(down, right, 0.0))
        upright = right == 0
        angle[upright] = np.pi / 2 * np.sign(down[upright])
        return angle

    @cached_property
    def _gradient(self) -> tuple[Float64Array, Float64Array]:
        return sobel(self.real, cv2.BORDER_REPLICATE)

    @cached_property
    def local(self) -> tuple[Float64Array, Float64Array]:
        """Mean and variance (levels squared) in SSIM's Gaussian window, (H - 10, W - 10) each."""
        return moments(self.real, SSIM_WINDOW, SSIM_SIGMA)

    @cached_property
    def scales(self) -> list[tuple[Float64Array, Float64Array, Float64Array]]:
        """The channel at VIF's four scales, each as (image, local mean, local variance in levels squared)."""
        image = self.real
        scales: list[tuple[Float64Array, Float64Array, Float64Array]] = []
        for size in VIF_WINDOWS:
            if scales:
                image = np.ascontiguousarray(window(image, size, size / 5)[::2, ::2])
            scales.append((image, *moments(image, size, size / 5)))
        return scales


def sobel(image: Float64Array | Image, border: int) -> tuple[Float64Array, Float64Array]:
    """Sobel derivatives rightwards and downwards, unscaled, float64 (H, W). border: an OpenCV border type."""
    right: Float64Array = cv2.sepFilter2D(image, cv2.CV_64F, _DIFFERENCE, _SMOOTH, borderType=border)
    down: Float64Array = cv2.sepFilter2D(image, cv2.CV_64F, _SMOOTH, _DIFFERENCE, borderType=border)
    return right, down


def window(image: Float64Array, size: int, sigma: float) -> Float64Array:
    """Local means in a Gaussian window of `size` x `size`, where it lies inside the picture: (H - size + 1, W - size + 1)."""
    kernel: Float64Array = cv2.getGaussianKernel(size, sigma, cv2.CV_64F)
    margin = size // 2
    blurred: Float64Array = cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)
    return blurred[margin : image.shape[0] - margin, margin : image.shape[1] - margin]


def moments(image: Float64Array, size: int, sigma: float) -> tuple[Float64Array, Float64Array]:
    """Local mean and variance in the window of `window`."""
    mean = window(image, size, sigma)
    return mean, window(image * image, size, sigma) - mean * mean


def luma(image: Image) -> Image:
    """Return uint8 (H, W): a BGR picture's luma, a grey picture unchanged."""
    grey: Image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
    return grey


def check(smallest: int = 2, **pictures: Image) -> None:
    """Raises InputError unless all are uint8, (H, W) or (H, W, 3), of one size of at least `smallest` pixels per side."""
    for name, image in pictures.items():
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim < 2 or image.shape[2:] not in ((), (3,)):
            actual = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"the {name} picture is {actual}; metrics take uint8 arrays of (H, W), or (H, W, 3) in BGR order")
    sizes = {name: f"{image.shape[1]}x{image.shape[0]}" for name, image in pictures.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InputError(f"the pictures differ in size ({listed}); metrics take pictures of one size: register and resize them first")
    name, image = next(iter(pictures.items()))
    if min(image.shape[:2]) < smallest:
        raise InputError(f"the pictures are {sizes[name]}; metrics need {smallest}x{smallest} pixels or more")


Triple = tuple[Plane, Plane, Plane]


class Inputs:
    """A visible and an infrared picture; their derived arrays are shared by all fused pictures compared with them.

    uint8 of one size, (H, W) or (H, W, 3) BGR; raises InputError for others.
    """

    def __init__(self, visible: Image, infrared: Image) -> None:
        check(visible=visible, infrared=infrared)
        self._visible, self._infrared = visible, infrared

    def channels(self, fused: Image, smallest: int = 2) -> Iterator[Triple]:
        """Yield planes (visible, infrared, fused) to compare, one triple per channel of the fused picture. Raises InputError as `check`.

        For a colour fused picture a grey input is used for each channel; for a grey one the luma of a colour input is used.
        """
        check(smallest, visible=self._visible, infrared=self._infrared, fused=fused)
        if fused.ndim == 2:
            yield (*self._lumas, Plane(fused))
            return
        for k, (visible, infrared) in zip((2, 1, 0), self._channels, strict=True):
            yield visible, infrared, Plane(np.ascontiguousarray(fused[..., k]))

    def lumas(self, fused: Image, smallest: int = 2) -> Triple:
        """Return the planes of the three lumas. Raises InputError as `check`."""
        check(smallest, visible=self._visible, infrared=self._infrared, fused=fused)
        return (*self._lumas, Plane(luma(fused)))

    @cached_property
    def _lumas(self) -> tuple[Plane, Plane]:
        return Plane(luma(self._visible)), Plane(luma(self._infrared))

    @cached_property
    def _channels(self) -> list[tuple[Plane, Plane]]:
        """Red, green, blue planes; for a grey picture the same plane three times, so that derived arrays are computed once."""
        columns = []
        for image, grey in zip((self._visible, self._infrared), self._lumas, strict=True):
            columns.append([grey] * 3 if image.ndim == 2 else [Plane(np.ascontiguousarray(image[..., k])) for k in (2, 1, 0)])
        return list(zip(*columns, strict=True))
