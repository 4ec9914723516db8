"""Lossy coding of a tile: spectral basis, wavelet, quantiser, entropy coder. `Analysis` is the encoder, `Lossy` the encoded tile."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import InputError
from edgefuse.hyperspectral.codec import entropy_coder, klt, rate_model, samples, wavelet
from edgefuse.hyperspectral.codec.basis import SCORES, Basis, projection, quantised, scores, spectra, sums, units, vector_bits
from edgefuse.hyperspectral.codec.entropy_tables import ONE
from edgefuse.hyperspectral.efz import VERSION
from edgefuse.util.arrays import Float64Array, Int32Array

_HEAD = struct.Struct("<BII")  # wavelet levels, 65536 * basis step / quantiser step, bytes of the basis

_THRESHOLDS = 0.03, 0.35  # variance thresholds in squared steps: all components above 0.35 are kept, and up to 40 above 0.03
_MAX_WEAK = 40
_BASIS_REUSE = 1.35  # reuse the cached basis while its step is within this factor of the requested one
_TRIES = 8
_MIN_BENEFIT = 0.05  # minimum net benefit of a component in bits per pixel, for its decoding time
_REMEASURE = 4  # measure again if the cached measurement's step exceeds the requested one by more than this factor
_TOLERANCE = 0.03  # accepted shortfall from the requested size or error
_LEAST_ERROR = -0.0225  # accepted logarithm of an error as a share of the requested one: 0.098 dB
_ROUNDED_ERROR = 1e-3  # share of an error by which the estimate without rounding may be off
_NARROW = 0.02  # steps, in their logarithm, between which none is looked for
_COARSE = 1.1  # largest step of a basis, as a multiple of the quantiser step, where an error is looked for
_SPATIAL_SHARE = 0.25  # geometric mean of the coefficients' variances as a share of the component's
_COMPONENT_RANGE = 2.0**18  # range of a component in steps, as 8 deviations; the actual range limits the step further
_MEASURED_RANGE = SCORES / 2  # maximum of a measured component: its wavelet coefficients are up to 7.5 times as large
_PRECISE = 4  # steps up to this multiple of the smallest one are computed in float64
_FINE = 4.0  # steps of integer tiles up to which the error is measured after rounding
_MEAN_RANGE = 2.0**26  # maximum of the mean spectrum in its steps
_LEAST_STEP = 1e-20  # in the cube's units


@dataclass(frozen=True)
class Lossy:
    """An encoded tile."""

    basis: Basis
    scale: int
    """65536 * basis step / quantiser step."""
    levels: int
    height: int
    width: int
    planes: bytes | memoryview
    """Entropy-coded wavelet coefficients of the components."""
    version: int = VERSION

    def to_bytes(self) -> bytes:
        basis = self.basis.encoded
        return _HEAD.pack(self.levels, self.scale, len(basis)) + basis + bytes(self.planes)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, shape: tuple[int, int, int], version: int) -> Lossy:
        """Parse `to_bytes`. Raises InputError for damaged data."""
        if len(data) < _HEAD.size:
            raise InputError("a tile is truncated")
        levels, scale, size = _HEAD.unpack_from(data)
        begin = _HEAD.size + size
        if levels > wavelet.levels_for(shape[0], shape[1]) or not scale or begin > len(data):
            raise InputError("a tile is damaged")
        basis = Basis.from_bytes(data[_HEAD.size : begin], shape[2], shape[0] * shape[1], version)
        return cls(basis, scale, levels, shape[0], shape[1], data[begin:], version)

    @property
    def step(self) -> float:
        """Quantiser step in the cube's units."""
        return self.basis.step * 65536 / self.scale

    def spectra(self) -> Iterator[tuple[slice, Float64Array]]:
        """Yield the decoded pixels (h * w, B) in strips. A strip is valid until the next one is requested."""
        return spectra(self._components(), self.basis, self.step)

    def whole(self, dtype: np.dtype[np.generic], least: int, most: int) -> NDArray[np.integer]:
        """Return the decoded pixels (h * w, B) as integers `dtype`, clipped to `least`..`most` and rounded."""
        mean, unit = units(self.basis, self.step)
        components = self._components()
        out: NDArray[np.integer] = np.empty((len(components), len(mean)), dtype)
        for strip, part in sums(components, self.basis):
            samples.fill(out[strip], part, mean, unit, least, most)
        return out

    def floats(self, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Return the decoded pixels (h * w, B) as floats `dtype`."""
        components = self._components()
        out = np.empty((len(components), len(self.basis.mean)), dtype)
        # a damaged basis may overflow the sample type
        with np.errstate(over="ignore"):
            for strip, part in spectra(components, self.basis, self.step):
                out[strip] = part
        return out

    def _components(self) -> Int32Array:
        """Decode the components (h * w, K) in 256ths of a step."""
        shape = self.height, self.width, len(self.basis.numbers)
        coefficients = entropy_coder.decode(self.planes, shape, self.levels, self.version) if shape[2] else np.zeros(shape, np.int32)
        wavelet.transform(coefficients, self.levels, inverse=True)
        return coefficients.reshape(self.height * self.width, shape[2])


class _Measurement(NamedTuple):
    """Wavelet coefficients of the principal components and their local statistics."""

    coefficients: Int32Array
    """(h, w, K), in 256ths of `step`."""
    step: float
    local: rate_model.Local
    """Their variances and covariances, in the cube's units."""


@dataclass(frozen=True)
class _Fit:
    """A quantised basis and the wavelet coefficients of the components in it."""

    basis: Basis
    coefficients: Int32Array
    """(h, w, K), in 256ths of the basis's step."""
    magnitudes: Float64Array
    """Histogram of their magnitudes, from `rate_model.magnitudes`."""
    samples: int
    """Number of samples of the tile."""

    def step_for(self, size: float, step: float, actual: int | None = None) -> float:
        """Estimate the step that gives `size` bytes. actual: encoded bytes at `step`, to calibrate the estimate."""
        steps = step * np.geomspace(1 / 8, 8, 49)
        estimated = self.taken(steps)
        fixed = len(self.basis.encoded)
        if actual is not None:
            estimated = fixed + (estimated - fixed) * max(actual - fixed, 1) / max(estimated[24] - fixed, 1)
        return float(np.exp(np.interp(-size, -estimated, np.log(steps))))

    def taken(self, steps: Float64Array) -> Float64Array:
        """Estimate the bytes (n,) at `steps` (n,), including the basis."""
        return rate_model.counted(self.magnitudes, steps / self.basis.step, self.samples) + len(self.basis.encoded)


class _Point(NamedTuple):
    """Logarithms of a step and of its error as a share of the requested one."""

    step: float
    error: float


def _next_step(found: list[_Point], fits: _Point | None, exceeds: _Point | None) -> float:
    """Return the logarithm of the step to try next. found: what was tried, at least one.

    fits: the largest step that is within the error. exceeds: the smallest one that is not, larger than that.
    """
    wanted, last = _LEAST_ERROR / 2, found[-1]
    if fits and exceeds:
        # the error jumps where a component is dropped, so the middle is tried in between
        share = (wanted - fits.error) / (exceeds.error - fits.error) if len(found) % 3 else 0.5
        return fits.step + min(0.9, max(0.1, share)) * (exceeds.step - fits.step)
    slope = 1.3
    if len(found) > 1 and abs(last.step - found[-2].step) > 1e-6:
        slope = (last.error - found[-2].error) / (last.step - found[-2].step)
        if abs(slope) < 1e-3:
            return last.step + (0.35 if fits else -0.35)  # no component is left
    return last.step + (wanted - last.error) / min(4.0, max(0.3, slope))


class Analysis:
    """Encoder of a tile of pixels (h * w, B), of any real type, all finite.

    ignored: mask (h * w, B) of samples that are coded apart; their error does not count.
    """

    def __init__(self, pixels: NDArray[np.generic], height: int, width: int, ignored: NDArray[np.bool_] | None = None) -> None:
        self.pixels, self.height, self.width, self._ignored = pixels, height, width, ignored
        self.levels = wavelet.levels_for(height, width)
        self.mean, self.variances, self.vectors = klt.principal(pixels)
        deviation = float(np.sqrt(self.variances[:1].sum()))
        mean_magnitude = float(np.abs(self.mean).max(initial=0))
        self.least_step = max(8 * deviation / _COMPONENT_RANGE, mean_magnitude * np.sqrt(len(pixels)) / _MEAN_RANGE, _LEAST_STEP)
        self._first_least_step = self.least_step
        self.most_step = 64 * deviation + mean_magnitude + 2 * self.least_step
        self._measured: _Measurement | None = None
        self._cached_fit: _Fit | None = None

    def at(self, step: float) -> Lossy:
        """Encode with the quantiser step `step` in the cube's units."""
        fit = self._fit(step)
        return self._encode_fit(fit, max(step, self.least_step))

    def measure(self, step: float) -> None:
        """Do what takes longest of encoding with about the step `step`, and keep the result for it."""
        self._measure(max(step, self.least_step))

    def finest(self) -> Lossy:
        """Encode with the smallest step, whatever was encoded before."""
        self.least_step, self._measured, self._cached_fit = self._first_least_step, None, None
        return self.at(0)

    def _encode_fit(self, fit: _Fit, step: float) -> Lossy:
        scale = min(max(round(fit.basis.step / step * 65536), 1), 1 << 31)
        planes = entropy_coder.encode(fit.coefficients, self.levels, scale / 65536) if fit.coefficients.shape[2] else b""
        return Lossy(fit.basis, scale, self.levels, self.height, self.width, planes)

    def within(self, size: int) -> Lossy:
        """Encode in at most `size` bytes, and nearly as many; in as few as possible if `size` can't be reached."""
        size = max(size, 1)
        best, smallest = None, None
        # the number of components depends on the step, so iterate until it suffices
        target = self.guessed(size) * 0.8
        for _ in range(3):
            step = max(target, self.least_step)
            measurement = self._measure(step)
            steps = step * np.geomspace(1 / 8, 8, 49)
            local = measurement.local
            target = float(
                np.exp(np.interp(-size, -rate_model.size(local.variances, local.counts, steps, self.pixels.size), np.log(steps)))
            )
            if self._count(target) <= local.variances.shape[1]:
                break
        fit = self._fit(target)
        target = fit.step_for(size * (1 - _TOLERANCE / 2), target)
        exceeds, fits = 0.0, np.inf  # largest step known to exceed the size, smallest known to fit
        points: list[tuple[float, float]] = []  # logarithms of step and bytes of each trial, for the secant method
        step = target
        for _ in range(_TRIES):
            step = min(max(step, self.least_step), self.most_step)
            encoded = self._encode_fit(fit, step)
            encoded_size = len(encoded.to_bytes())
            if smallest is None or encoded_size < smallest[0]:
                smallest = encoded_size, encoded
            if encoded_size <= size:
                fits = min(fits, step)
                if best is None or encoded_size > best[0]:
                    best = encoded_size, encoded
                if step <= self.least_step:
                    # the same for every size that it fits, so that more bytes are never worse
                    finest = self.finest()
                    return finest if len(finest.to_bytes()) <= size else encoded
                if encoded_size >= size * (1 - _TOLERANCE):
                    break
            elif step >= self.most_step:
                break
            if encoded_size > size:
                exceeds = max(exceeds, step)
            log_target = np.log(size * (1 - _TOLERANCE / 2))
            points.append((float(np.log(step)), float(np.log(encoded_size))))
            if len(points) > 1 and points[-1][1] != points[-2][1]:
                (x0, y0), (x1, y1) = points[-2:]
                step = float(np.exp(x1 + np.clip((log_target - y1) * (x1 - x0) / (y1 - y0), -2, 2)))
            else:
                step = fit.step_for(float(np.exp(log_target)), step, encoded_size)
            if not exceeds < step < fits:
                step = float(np.sqrt(exceeds * fits)) if fits < np.inf and exceeds else (exceeds * 1.5 if exceeds else fits / 1.5)
        assert smallest is not None
        if best:
            return best[1]
        # the vectors of this basis may already exceed the size
        return self._with_fewer_vectors(size, fit.basis.step, smallest[1])

    def _with_fewer_vectors(self, size: int, step: float, smallest: Lossy) -> Lossy:
        """Encode in at most `size` bytes with a step above `step`, whose basis has fewer vectors.

        smallest: what took the fewest bytes so far. In as few bytes as possible if `size` can't be reached.
        """
        best = min(smallest, self.at(self.most_step), key=lambda encoded: len(encoded.to_bytes()))
        if len(best.to_bytes()) > size:
            return best
        exceeds, fits = step, self.most_step
        for _ in range(_TRIES):
            middle = float(np.sqrt(exceeds * fits))
            encoded = self.at(middle)
            if len(encoded.to_bytes()) > size:
                exceeds = middle
                continue
            best, fits = encoded, middle
            if len(best.to_bytes()) >= size * (1 - _TOLERANCE):
                break
        return best

    def with_error(self, error: float) -> Lossy | None:
        """Encode with a mean squared error of at most `error` (squared units of the cube), and close to it; None if it can't be reached."""
        variances = np.concatenate([self.variances, [0.0]])
        steps = np.geomspace(self.least_step, self.most_step, 256)
        pixels, bands = self.pixels.shape
        expected = np.minimum(variances, np.square(steps)[:, None] / 9).sum(1) / bands + np.square(steps) / (6 * pixels)
        step = float(np.exp(np.interp(np.log(error), np.log(expected), np.log(steps))))
        error *= 1 - _ROUNDED_ERROR
        best: Lossy | None = None
        found: list[_Point] = []
        fits: _Point | None = None
        exceeds: _Point | None = None
        for tries in range(2 * _TRIES):
            step = min(max(step, self.least_step), self.most_step)
            if self._cached_fit and self._cached_fit.basis.step > _COARSE * step:
                self._cached_fit = None  # what the basis leaves out does not shrink with the step
            encoded = self.at(step)
            measured = max(self.error(encoded), 1e-300)
            point = _Point(float(np.log(step)), float(np.log(measured / error)))
            if point.error <= 0 and (fits is None or point.step > fits.step):
                best, fits = encoded, point
            elif point.error > 0 and (exceeds is None or point.step < exceeds.step):
                exceeds = point
            if fits and exceeds and exceeds.step <= fits.step:
                exceeds = None  # another basis does better
            if _LEAST_ERROR <= point.error <= 0 or step <= self.least_step or (best and tries + 1 >= _TRIES):
                break
            if fits and exceeds and exceeds.step - fits.step < _NARROW:
                break
            found.append(point)
            step = float(np.exp(_next_step(found, fits, exceeds)))
        return best

    def error(self, encoded: Lossy) -> float:
        """Return the mean squared error of the decoded tile in squared units of the cube, without the samples that are coded apart."""
        dtype, total = self.pixels.dtype, 0.0
        integer = dtype.kind != "f"
        rounded = encoded.step <= (_FINE if integer else _PRECISE * self.least_step)
        count = self.pixels.size - (0 if self._ignored is None else int(self._ignored.sum()))
        for strip, decoded in encoded.spectra():
            if rounded:
                decoded[...] = np.rint(decoded) if integer else decoded.astype(dtype)
            decoded -= self.pixels[strip].astype(np.float64)
            if self._ignored is not None:
                decoded[self._ignored[strip]] = 0
            total += float(np.vdot(decoded, decoded))
        # rounding to integers adds the variance of a uniform distribution, where the error is far above it
        return total / count + (1 / 12 if integer and not rounded else 0)

    def sizes(self, steps: Float64Array) -> Float64Array:
        """Estimate the bytes (n,) of the tile at `steps` (n,) from local variances."""
        local = self._measure(max(float(steps.min()), self.least_step)).local
        return rate_model.size(local.variances, local.counts, steps, self.pixels.size)

    def guessed(self, size: int) -> float:
        """Estimate the step that gives `size` bytes from the components' variances alone."""
        positive = self.variances[self.variances > 0][None]
        if not positive.size:
            return self.least_step
        steps = np.geomspace(np.sqrt(positive.max()) / _COMPONENT_RANGE + self.least_step, 64 * np.sqrt(positive.max()), 64)
        # correction of the rate formula, depending on bits per sample
        correction = np.clip(0.56 - 0.126 * np.log2(8 * size / self.pixels.size), 0.3, 1.2)
        estimated = rate_model.bits(positive * _SPATIAL_SHARE, np.array([len(self.pixels)]), steps) / 8
        return float(np.exp(np.interp(-size * correction, -estimated, np.log(steps))))

    def _fit(self, step: float) -> _Fit:
        """Return a basis for about this step with the wavelet coefficients in it, from the cache if its step is close enough."""
        step = max(step, self.least_step)
        if self._cached_fit and 1 / _BASIS_REUSE < self._cached_fit.basis.step / step < _BASIS_REUSE:
            return self._cached_fit
        measurement = self._measure(step)
        step = max(step, self.least_step)
        count = self._count(step)
        rotated = min(count, klt.MAX_ROTATED)
        local, squared = measurement.local, self.variances[:count]
        covariances = local.leading[:, :rotated, :rotated] / step**2
        rotation = klt.rotation(covariances, local.counts, 1.0)
        variances = np.einsum("ki,mki->mi", rotation, covariances @ rotation)
        variances = np.concatenate([variances, local.variances[:, rotated:count] / step**2], 1)
        deviations = np.sqrt(np.concatenate([np.square(rotation).T @ squared[:rotated], squared[rotated:]]))
        order = np.argsort(-deviations, kind="stable")
        # drop components whose benefit is below the cost of their vector
        min_benefit = vector_bits(len(self.vectors), len(self.pixels), deviations / step) + _MIN_BENEFIT * len(self.pixels)
        worthwhile = rate_model.worth(variances, local.counts) > min_benefit
        order = order[worthwhile[order]]
        vectors = np.concatenate([self.vectors[:, :rotated] @ rotation, self.vectors[:, rotated:count]], 1)[:, order]
        basis = quantised(self.mean, vectors, deviations[order], len(self.pixels), step)
        # project the measured principal components onto the basis: the rest is negligible
        matrix = (self.vectors[:, : measurement.coefficients.shape[2]].T @ projection(basis)) * (measurement.step / step)
        precise = step <= _PRECISE * self.least_step
        projected, largest = scores(measurement.coefficients.reshape(len(self.pixels), -1), matrix, np.zeros(len(order)), precise)
        self.least_step = max(self.least_step, 1.01 * step * largest / SCORES)
        if largest > SCORES:
            return self._fit(self.least_step)
        coefficients = projected.reshape(self.height, self.width, len(order))
        self._cached_fit = _Fit(basis, coefficients, rate_model.magnitudes(coefficients, self.levels), self.pixels.size)
        return self._cached_fit

    def _count(self, step: float) -> int:
        """Return the number of principal components to keep at this step."""
        above_low, above_high = (int((self.variances > threshold * step**2).sum()) for threshold in _THRESHOLDS)
        return max(above_high, min(above_low, _MAX_WEAK))

    def _measure(self, step: float) -> _Measurement:
        """Return the measurement of at least the principal components that `step` needs, from the cache if possible."""
        count = self._count(step)
        if self._measured is None or self._measured.local.variances.shape[1] < count or self._measured.step > _REMEASURE * step:
            matrix = self.vectors[:, :count] * (ONE / step)
            components, largest = scores(self.pixels, matrix, self.mean @ matrix, step <= _PRECISE * self.least_step)
            if largest > _MEASURED_RANGE:
                self.least_step = max(self.least_step, 1.01 * step * largest / _MEASURED_RANGE)
                return self._measure(self.least_step)
            coefficients = components.reshape(self.height, self.width, count)
            wavelet.transform(coefficients, self.levels)
            local = rate_model.local(coefficients, self.levels, klt.MAX_ROTATED)
            in_units = local._replace(variances=local.variances * step**2, leading=local.leading * step**2)
            self._measured = _Measurement(coefficients, step, in_units)
        return self._measured
