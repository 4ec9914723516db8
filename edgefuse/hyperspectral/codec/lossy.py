"""One tile, lossy: spectral basis, wavelet, quantiser, coder. `Analysis` is the encoder, `Lossy` what it sends."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder, klt, rate_model, samples, wavelet
from edgefuse.hyperspectral.codec.basis import Basis, projection, quantised, scores, spectra, sums, units, vector_bits
from edgefuse.hyperspectral.codec.entropy_tables import ONE
from edgefuse.hyperspectral.efz import VERSION
from edgefuse.util.arrays import Float64Array, Int32Array

_HEAD = struct.Struct("<BII")  # levels, 65536ths of the basis's step in a step, bytes of the basis

_KEPT = 0.03, 0.35  # of a squared step: the variance from which on a component is looked at, where few are and where many are
_FEW = 40
_NEAR = 1.35  # a basis that was made for so much more, or less, of a step is taken for it
_TRIES = 8
_PRICE = 0.05  # bits that a component must be worth beyond those it takes, for a pixel: it takes time, too
_FINE = 4  # components are measured anew where they were in so much more than a step
_TOLERANCE = 0.03  # of the bytes that were asked for may stay unused
_RANGE = 2.0**18  # steps that a component may span: more would pass 32 bits
_MEAN_RANGE = 2.0**26  # and the mean, in its steps


@dataclass(frozen=True)
class Lossy:
    basis: Basis
    scale: int
    """65536 times the basis's step, in steps of the quantiser."""
    levels: int
    height: int
    width: int
    planes: bytes
    version: int = VERSION

    def to_bytes(self) -> bytes:
        basis = self.basis.encoded
        return _HEAD.pack(self.levels, self.scale, len(basis)) + basis + self.planes

    @classmethod
    def from_bytes(cls, data: bytes, shape: tuple[int, int, int], version: int) -> Lossy:
        """Raises InputError for what `to_bytes` never wrote."""
        if len(data) < _HEAD.size:
            raise InputError("a tile is cut short")
        levels, scale, size = _HEAD.unpack_from(data)
        begin = _HEAD.size + size
        if levels > wavelet.MOST_LEVELS or not scale or begin > len(data):
            raise InputError("a tile is damaged")
        return cls(Basis.from_bytes(data[_HEAD.size : begin], shape[2], version), scale, levels, shape[0], shape[1], data[begin:], version)

    @property
    def step(self) -> float:
        """Of the quantiser, in the cube's units."""
        return self.basis.step * 65536 / self.scale

    def spectra(self) -> Iterator[tuple[slice, Float64Array]]:
        """The pixels (h w, B), strip by strip; a strip is valid until the next is asked for."""
        return spectra(self._components(), self.basis, self.step)

    def whole(self, out: NDArray[np.integer], least: int, most: int) -> None:
        """Write the pixels to `out` (h w, B), rounded, within `least` and `most`."""
        mean, unit = units(self.basis, self.step)
        for strip, part in sums(self._components(), self.basis):
            samples.fill(out[strip], part, mean, unit, least, most)

    def _components(self) -> Int32Array:
        shape = self.height, self.width, len(self.basis.numbers)
        made = entropy_coder.decode(self.planes, shape, self.levels, self.version) if shape[2] else np.zeros(shape, np.int32)
        wavelet.transform(made, self.levels, inverse=True)
        return made.reshape(self.height * self.width, shape[2])


class _Places(NamedTuple):
    """What the encoder knows of the principal components' coefficients, place by place."""

    coefficients: Int32Array
    """(h, w, K), transformed, in 256ths of `step`."""
    step: float
    covariances: Float64Array
    """(m, K, K), in the cube's units."""
    counts: Float64Array


@dataclass(frozen=True)
class _Fit:
    """A basis, and what the encoder knows of the components in it."""

    basis: Basis
    coefficients: Int32Array
    """(h, w, K), transformed, in 256ths of the basis's step."""
    magnitudes: Float64Array
    """Theirs, as `local.magnitudes` has them."""
    samples: int
    """Of the tile."""

    def step_for(self, size: float, step: float, took: int | None = None) -> float:
        """About the step with which `size` bytes are taken, as `took` are with `step`."""
        steps = step * np.geomspace(1 / 8, 8, 49)
        taken = self.taken(steps)
        fixed = len(self.basis.encoded)
        if took is not None:
            taken = fixed + (taken - fixed) * max(took - fixed, 1) / max(taken[24] - fixed, 1)
        return float(np.exp(np.interp(-size, -taken, np.log(steps))))

    def taken(self, steps: Float64Array) -> Float64Array:
        """About the bytes that each of `steps` takes."""
        return rate_model.counted(self.magnitudes, steps / self.basis.step, self.samples) + len(self.basis.encoded)


class Analysis:
    """A tile that is encoded: pixels (h w, B) of any real type, all finite."""

    def __init__(self, pixels: NDArray[np.generic], height: int, width: int) -> None:
        self.pixels, self.height, self.width = pixels, height, width
        self.levels = wavelet.levels_for(height, width)
        self.mean, self.variances, self.vectors = klt.principal(pixels)
        largest = float(np.sqrt(self.variances[:1].sum()))
        middle = float(np.abs(self.mean).max(initial=0))
        self.least_step = max(8 * largest / _RANGE, middle * np.sqrt(len(pixels)) / _MEAN_RANGE, 1e-12)
        self.most_step = 64 * largest + middle + 2 * self.least_step
        self._places: _Places | None = None
        self._fitted: _Fit | None = None

    def at(self, step: float) -> Lossy:
        """Encoded with a quantiser of `step`."""
        step = max(step, self.least_step)
        return self._coded(self._fit(step), step)

    def _coded(self, fit: _Fit, step: float) -> Lossy:
        scale = min(max(round(fit.basis.step / step * 65536), 1), 1 << 31)
        sent = entropy_coder.encode(fit.coefficients, self.levels, scale / 65536) if fit.coefficients.shape[2] else b""
        return Lossy(fit.basis, scale, self.levels, self.height, self.width, sent)

    def within(self, size: int) -> Lossy:
        """Encoded in `size` bytes at most, and few fewer; in as few as possible where that is too little."""
        size = max(size, 1)
        best, fewest = None, None
        # a lower step needs more components, a higher one leaves some out
        wanted = self.guessed(size) * 0.8
        for _ in range(3):
            step, places = wanted, self._measured(wanted)
            steps = step * np.geomspace(1 / 8, 8, 49)
            diagonals = np.einsum("mkk->mk", places.covariances)
            wanted = float(np.exp(np.interp(-size, -rate_model.size(diagonals, places.counts, steps, self.pixels.size), np.log(steps))))
            if self._count(wanted) <= diagonals.shape[1]:
                break
        fit = self._fit(wanted)
        wanted = fit.step_for(size * (1 - _TOLERANCE / 2), wanted)
        low, high = 0.0, np.inf  # steps that take too many bytes, and that don't
        points: list[tuple[float, float]] = []  # logarithms of steps and bytes
        step = wanted
        for _ in range(_TRIES):
            step = min(max(step, self.least_step), self.most_step)
            made = self._coded(fit, step)
            took = len(made.to_bytes())
            if fewest is None or took < fewest[0]:
                fewest = took, made
            if took <= size:
                high = min(high, step)
                if best is None or took > best[0]:
                    best = took, made
                if took >= size * (1 - _TOLERANCE) or step <= self.least_step:
                    break
            elif step >= self.most_step:
                break
            if took > size:
                low = max(low, step)
            aim = np.log(size * (1 - _TOLERANCE / 2))
            points.append((float(np.log(step)), float(np.log(took))))
            if len(points) > 1 and points[-1][1] != points[-2][1]:
                (x0, y0), (x1, y1) = points[-2:]
                step = float(np.exp(x1 + np.clip((aim - y1) * (x1 - x0) / (y1 - y0), -2, 2)))
            else:
                step = fit.step_for(float(np.exp(aim)), step, took)
            if not low < step < high:
                step = float(np.sqrt(low * high)) if high < np.inf and low else (low * 1.5 if low else high / 1.5)
        chosen = best or fewest
        assert chosen is not None
        return chosen[1]

    def with_error(self, error: float) -> Lossy:
        """Encoded with a mean squared error of at most `error`, in the cube's units, and little less."""
        variances = np.concatenate([self.variances, [0.0]])
        steps = np.geomspace(self.least_step, self.most_step, 256)
        pixels, bands = self.pixels.shape
        expected = np.minimum(variances, np.square(steps)[:, None] / 9).sum(1) / bands + np.square(steps) / (6 * pixels)
        step = float(np.exp(np.interp(np.log(error), np.log(expected), np.log(steps))))
        best: tuple[float, Lossy] | None = None
        points: list[tuple[float, float]] = []
        for _ in range(_TRIES):
            step = min(max(step, self.least_step), self.most_step)
            made = self.at(step)
            found = max(self.error(made), 1e-300)
            if found <= error and (best is None or step > best[0]):
                best = step, made
            if error * (1 - _TOLERANCE) <= found <= error or (step <= self.least_step):
                best = best or (step, made)
                break
            points.append((float(np.log(step)), float(np.log(found))))
            slope = 1.3
            if len(points) > 1 and abs(points[-1][0] - points[-2][0]) > 1e-6:
                slope = min(4.0, max(0.3, (points[-1][1] - points[-2][1]) / (points[-1][0] - points[-2][0])))
            step *= float((error * (1 - _TOLERANCE / 2) / found) ** (1 / slope))
        return best[1] if best else made

    def error(self, made: Lossy) -> float:
        """The mean squared error of what is decoded, in the cube's units, before it is rounded to its type."""
        total = 0.0
        for strip, decoded in made.spectra():
            decoded -= self.pixels[strip].astype(np.float64)
            total += float(np.vdot(decoded, decoded))
        return total / self.pixels.size

    def sizes(self, steps: Float64Array) -> Float64Array:
        """About the bytes that a tile takes with each of `steps`."""
        places = self._measured(max(float(steps.min()), self.least_step))
        return rate_model.size(np.einsum("mkk->mk", places.covariances), places.counts, steps, self.pixels.size)

    def guessed(self, size: int) -> float:
        """About the step that takes `size` bytes, by the components' variances alone."""
        some = self.variances[self.variances > 0][None]
        if not some.size:
            return self.least_step
        steps = np.geomspace(np.sqrt(some.max()) / _RANGE + self.least_step, 64 * np.sqrt(some.max()), 64)
        # what the formula sees of the bits, by how many there are for a sample
        share = np.clip(0.56 - 0.126 * np.log2(8 * size / self.pixels.size), 0.3, 1.2)
        taken = rate_model.bits(some * _SMOOTH, np.array([len(self.pixels)]), steps) / 8
        return float(np.exp(np.interp(-size * share, -taken, np.log(steps))))

    def _fit(self, step: float) -> _Fit:
        """A basis for about this step, and the transformed components in 256ths of its own."""
        if self._fitted and 1 / _NEAR < self._fitted.basis.step / step < _NEAR:
            return self._fitted
        places, count = self._measured(step), self._count(step)
        found = places.covariances[:, :count, :count] / step**2
        turn = klt.rotation(found, places.counts, 1.0)
        variances = np.einsum("ki,mki->mi", turn, found @ turn)
        deviations = np.sqrt(np.square(turn).T @ self.variances[:count])
        order = np.argsort(-deviations, kind="stable")
        # a component must be worth its vector's bytes
        price = vector_bits(len(self.vectors), len(self.pixels), deviations / step) + _PRICE * len(self.pixels)
        worth = rate_model.worth(variances, places.counts) > price
        order = order[worth[order]]
        basis = quantised(self.mean, self.vectors[:, :count] @ turn[:, order], deviations[order], len(self.pixels), step)
        # what it can show of the components that were measured: all that matters
        matrix = (self.vectors[:, : places.coefficients.shape[2]].T @ projection(basis)) * (places.step / step)
        shown = scores(places.coefficients.reshape(len(self.pixels), -1), matrix, np.zeros(len(order)))
        coefficients = shown.reshape(self.height, self.width, len(order))
        self._fitted = _Fit(basis, coefficients, rate_model.magnitudes(coefficients, self.levels), self.pixels.size)
        return self._fitted

    def _count(self, step: float) -> int:
        few, many = (int((self.variances > kept * step**2).sum()) for kept in _KEPT)
        return max(many, min(few, _FEW))

    def _measured(self, step: float) -> _Places:
        """Of the principal components that a quantiser of `step` needs, at least."""
        count = self._count(step)
        if self._places is None or self._places.covariances.shape[1] < count or self._places.step > _FINE * step:
            matrix = self.vectors[:, :count] * (ONE / step)
            made = scores(self.pixels, matrix, self.mean @ matrix).reshape(self.height, self.width, count)
            wavelet.transform(made, self.levels)
            found, counts = rate_model.covariances(made, self.levels) if count else (np.zeros((1, 0, 0)), np.ones(1))
            self._places = _Places(made, step, found * step**2, counts)
        return self._places


_SMOOTH = 0.25  # of a component's variance, about, is what its coefficients' logarithms amount to
