"""One tile, lossy: spectral basis, wavelet, quantiser, coder. `Analysis` is the encoder, `Lossy` what it sends."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral import local, planes, spectrum, wavelet
from edgefuse.hyperspectral.basis import Basis, project, quantised, scores, spectra
from edgefuse.hyperspectral.planes import ONE, Integers

Floats = NDArray[np.float64]

_HEAD = struct.Struct("<BIdI")  # levels, 65536ths of the basis's step in a step, bytes of the basis

_KEPT = 0.08  # of a squared step: the variance from which on a component is sent
_NEAR = 1.35  # a basis that was made for so much more, or less, of a step is taken for it
_TRIES = 8
_TOLERANCE = 0.01  # of the bytes that were asked for may stay unused
_RANGE = 2.0**18  # steps that a component may span: more would pass 32 bits


@dataclass(frozen=True)
class Lossy:
    basis: Basis
    scale: int
    """65536 times the basis's step, in steps of the quantiser."""
    levels: int
    height: int
    width: int
    planes: bytes

    def to_bytes(self) -> bytes:
        basis = self.basis.to_bytes()
        return _HEAD.pack(self.levels, self.scale, 0, len(basis)) + basis + self.planes

    @classmethod
    def from_bytes(cls, data: bytes, shape: tuple[int, int, int]) -> Lossy:
        """Raises InputError for what `to_bytes` never wrote."""
        if len(data) < _HEAD.size:
            raise InputError("a tile is cut short")
        levels, scale, _, size = _HEAD.unpack_from(data)
        begin = _HEAD.size + size
        if levels > wavelet.MOST_LEVELS or not scale or begin > len(data):
            raise InputError("a tile is damaged")
        return cls(Basis.from_bytes(data[_HEAD.size : begin], shape[2]), scale, levels, shape[0], shape[1], data[begin:])

    def spectra(self) -> Iterator[tuple[slice, Floats]]:
        """The pixels (h w, B), strip by strip; a strip is valid until the next is asked for."""
        shape = self.height, self.width, len(self.basis.numbers)
        return self.made(planes.decode(self.planes, shape, self.levels) if shape[2] else np.zeros(shape, np.int32))

    def made(self, coefficients: Integers) -> Iterator[tuple[slice, Floats]]:
        wavelet.transform(coefficients, self.levels, inverse=True)
        pixels = coefficients.reshape(self.height * self.width, -1)
        return spectra(pixels, self.basis, self.basis.step * 65536 / self.scale)


class Analysis:
    """A tile that is encoded: pixels (h w, B) of any real type, all finite."""

    def __init__(self, pixels: NDArray[np.generic], height: int, width: int) -> None:
        self.pixels, self.height, self.width = pixels, height, width
        self.levels = wavelet.levels_for(height, width)
        self.mean, self.variances, self.vectors = spectrum.principal(pixels)
        largest = float(np.sqrt(self.variances[:1].sum()))
        # where everything is one colour, any step will do
        self.least_step = max(8 * largest / _RANGE, 1e-9 * (float(np.abs(self.mean).max(initial=0)) + 1e-12))
        self._fitted: tuple[Basis, Integers] | None = None

    def at(self, step: float, limit: int | None = None) -> Lossy | None:
        """Encoded with a quantiser of `step`; None: that takes more than `limit` bytes."""
        step = max(step, self.least_step)
        basis, coefficients = self._fit(step)
        scale = min(max(round(basis.step / step * 65536), 1), 1 << 31)
        sent = b""
        if coefficients.shape[2]:
            coded = planes.encode(coefficients, self.levels, scale / 65536, limit=limit)
            if coded is None:
                return None
            sent = coded.data
        return Lossy(basis, scale, self.levels, self.height, self.width, sent)

    def within(self, size: int) -> Lossy:
        """Encoded in `size` bytes at most, and few fewer; in as few as possible where that is too little."""
        step, best, fewest = self.step_for(size), None, None
        low, high = 0.0, np.inf  # steps that take too many bytes, and that don't
        for _ in range(_TRIES):
            made = self.at(step)
            assert made is not None
            took = len(made.to_bytes())
            if fewest is None or took < fewest[0]:
                fewest = took, made
            if took <= size:
                high = min(high, step)
                if best is None or took > best[0]:
                    best = took, made
                if took >= size * (1 - _TOLERANCE) or step <= self.least_step:
                    break
            else:
                low = max(low, step)
            # aimed a little below; bits fall by some 1.3 of the step's logarithm
            step *= (took / (size * (1 - _TOLERANCE / 3))) ** 0.75
            if not low < step < high:
                step = float(np.sqrt(low * high)) if high < np.inf and low else (step * 2 if low else step / 2)
        chosen = best or fewest
        assert chosen is not None
        return chosen[1]

    def step_for(self, size: int) -> float:
        """About the step that takes `size` bytes."""
        some = self.variances[self.variances > 0]
        return _solve(lambda step: local.bits(some[None] * _SMOOTH, np.array([len(self.pixels)]), step) / 8 - size, self.least_step)

    def _fit(self, step: float) -> tuple[Basis, Integers]:
        """A basis for about this step, and the transformed components in 256ths of its own."""
        if self._fitted and 1 / _NEAR < self._fitted[0].step / step < _NEAR:
            return self._fitted
        count = int((self.variances > _KEPT * step**2).sum())
        vectors = self.vectors[:, :count]
        deviations = np.sqrt(self.variances[:count])
        if count > 1:
            matrix = vectors * (ONE / step)
            first = self._transformed(scores(self.pixels, matrix, self.mean @ matrix))
            turn = spectrum.rotation(*local.covariances(first, self.levels), 1.0)
            deviations = np.sqrt(np.square(turn).T @ self.variances[:count])
            order = np.argsort(-deviations, kind="stable")
            vectors, deviations = vectors @ turn[:, order], deviations[order]
        basis = quantised(self.mean, vectors, deviations, len(self.pixels), step)
        self._fitted = basis, self._transformed(project(self.pixels, basis))
        return self._fitted

    def _transformed(self, components: Integers) -> Integers:
        shaped = components.reshape(self.height, self.width, -1)
        wavelet.transform(shaped, self.levels)
        return shaped


_SMOOTH = 0.25  # of a component's variance, about, is what its coefficients' logarithms amount to


def _solve(excess, least: float) -> float:  # type: ignore[no-untyped-def]
    low, high = np.log(least), np.log(1e30)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(float(np.exp(middle))) > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


del functools
