"""`sscnet`: hyperspectral cubes through SSCNet's pruned int8 network, its latent coded exactly.

La Grassa et al. (2022), pruned as Kumar and Mozaffari do. Its rate is what the latent takes: 8 bit a value (the published operating point,
there counted as float32), or fewer by a step. A cube is scaled by a fixed peak, and its spectral axis resampled to the network's and back.
Latents are the same on every machine; the samples that a network draws from them are not, to the last bit: its runtimes round differently.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgefuse import runtimes, zoo
from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import base, entropy_coder, samples, tile
from edgefuse.hyperspectral.codec.base import Cube, Target, sizes_of
from edgefuse.hyperspectral.cube import peak_of
from edgefuse.hyperspectral.spectral_axis import resampled
from edgefuse.util.arrays import Float32Array, Int32Array

MODEL = "sscnet"
CELL = 8  # pixels of a side for one of the latent's
_ENCODER, _DECODER = "sscnet-encoder", "sscnet-decoder"
_SIDE = 128  # pixels of a tile's side: HySpecNet-11k's patches
_HEAD = struct.Struct("<BI")  # the latent's step, 0 for no samples; bytes of the mask
_COARSEST = 128


def _check(target: Target) -> None:
    """Raises InputError where it can't be held: one of bpppc and psnr, or neither, which is the latent in steps of 1."""
    if target.max_error is not None:
        raise InputError("sscnet can't hold a largest error; give bpppc or psnr, or neither, or take spectral-edge")
    if len(target.given) > 1:
        raise InputError("one of bpppc and psnr, not both")
    target.check_ranges()


def encode_to(
    stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
    progress: base.Progress = base.silent,
) -> int:  # fmt: skip
    """Write `cube` as an `.efz` file, tile by tile; the bytes written. Raises InputError, ModelError, MissingDependencyError.

    `nodata`: what missing samples hold, besides NaN. `about`: what JSON can hold, handed on.
    """
    _check(target)
    shape, dtype = sizes_of(cube, nodata)
    with closing(Half(_ENCODER)) as encoder, closing(Half(_DECODER)) as decoder:
        peak = peak_of(dtype)
        settings = {"peak": peak, "weights": decoder.weights, "nodata": nodata if nodata is None or nodata == nodata else None}
        size = min(_SIDE, shape[0]), min(_SIDE, shape[1])
        header = efz.Header(shape, dtype.name, size, MODEL, {k: v for k, v in settings.items() if v is not None}, about or {})
        writer = efz.Writer(stream, header)
        # what every tile takes beside its payload: its head and its place in the index
        left = (target.bpppc or 0) * math.prod(shape) / 8 - len(header.to_bytes()) - header.count * 24 - 24
        todo = shape[0] * shape[1]
        for number in range(header.count):
            prepared = tile.prepared(np.asarray(cube[header.place(number)]).astype(dtype, copy=False), nodata)
            mask = prepared.missing.encoded if prepared.missing else b""
            coded, step = b"", 0
            if not prepared.empty:
                spectra = np.clip(prepared.pixels.astype(np.float32) / np.float32(peak), 0, 1)
                latent = latents(encoder, spectra.reshape(prepared.height, prepared.width, -1))
                share = left * prepared.height * prepared.width / todo - _HEAD.size - len(mask)
                coded, step = _chosen(latent, target, share, lambda q, s: _psnr(spectra, _spectra(decoder, q, s, prepared)))  # noqa: B023
            payload = _HEAD.pack(step, len(mask)) + mask + coded
            writer.tile(number, payload)
            left -= len(payload)
            todo -= prepared.height * prepared.width
            progress(number + 1, header.count)
    return writer.close()


def _chosen(latent: Int32Array, target: Target, share: float, psnr: Callable[[Int32Array, int], float]) -> tuple[bytes, int]:
    """(the latent coded, its step): the finest step that takes no more than `share` bytes, or the coarsest that gives the PSNR."""
    if target.psnr is not None:
        best = 0.0
        for step in (_COARSEST >> k for k in range(8)):
            quantised = stepped(latent, step)
            best = max(best, reached := psnr(quantised, step))
            if reached >= target.psnr:
                return coded_latent(quantised), step
        raise InputError(f"sscnet reaches {best:.2f} dB here, not {target.psnr:g}; ask for less, or take spectral-edge")
    if target.bpppc is None:
        return coded_latent(latent), 1
    low, high = 1, _COARSEST
    while low < high:
        middle = (low + high) // 2
        if len(coded_latent(stepped(latent, middle))) <= share:
            high = middle
        else:
            low = middle + 1
    return coded_latent(stepped(latent, low)), low


class Half:
    """The encoder or the decoder, loaded when it is first run, with whatever runtime there is."""

    def __init__(self, name: str) -> None:
        self._card = zoo.find(name)
        assert self._card.golden is not None
        self.weights = self._card.golden.sha256[:12]
        """What names these weights, whichever file of theirs is run."""

    @cached_property
    def _choice(self) -> runtimes.Choice:
        return runtimes.choose(self._card)

    def run(self, given: Float32Array) -> Float32Array:
        """(C, H, W) in [0, 1] -> the same of what it makes."""
        choice = self._choice
        made = choice.runtime.run({self._card.inputs[0].name: np.ascontiguousarray(choice.tensor(given))})
        return choice.planes(made[self._card.outputs[0].name])

    @property
    def channels(self) -> int:
        """Of what it takes."""
        return int(self._card.inputs[0].shape[1])

    def close(self) -> None:
        if "_choice" in self.__dict__:
            self._choice.runtime.close()


def latents(encoder: Half, spectra: Float32Array) -> Int32Array:
    """(h, w, B) in [0, 1] -> the latent (h / 8, w / 8, C), rounded up, 0 to 255."""
    cube = resampled(spectra, encoder.channels).transpose(2, 0, 1)
    pad = [(0, 0), *((0, -n % CELL) for n in cube.shape[1:])]
    made = encoder.run(np.pad(cube, pad, mode="symmetric"))
    return np.rint(made * np.float32(255)).astype(np.int32).transpose(1, 2, 0)


def _spectra(decoder: Half, latent: Int32Array, step: int, size: tile.Prepared) -> Float32Array:
    return drawn(decoder, latent, step, (size.height, size.width, size.pixels.shape[1])).reshape(-1, size.pixels.shape[1])


def drawn(decoder: Half, latent: Int32Array, step: int, shape: tuple[int, int, int]) -> Float32Array:
    """The latent in its steps -> spectra (h, w, B) in [0, 1]."""
    values = np.clip(latent * step, 0, 255).astype(np.float32) / np.float32(255)
    cube = decoder.run(values.transpose(2, 0, 1))
    return resampled(cube[:, : shape[0], : shape[1]].transpose(1, 2, 0), shape[2])


def stepped(latent: Int32Array, step: int) -> Int32Array:
    return (latent + step // 2) // step


def coded_latent(latent: Int32Array) -> bytes:
    """(rows, columns, C) in steps, each value less what its neighbours in the channel say of it, coded exactly."""
    expected = np.zeros_like(latent)
    expected[0, 1:], expected[1:, 0] = latent[0, :-1], latent[:-1, 0]
    expected[1:, 1:] = _median(latent[1:, :-1], latent[:-1, 1:], latent[:-1, :-1])
    return entropy_coder.encode_exact(latent - expected)


def decoded_latent(data: bytes, shape: tuple[int, int, int], version: int) -> Int32Array:
    """What `coded_latent` was given. Any bytes give some latent."""
    # damage must not grow from value to value
    latent = np.clip(entropy_coder.decode_exact(data, shape, version), -256, 256)
    for k in range(1, shape[1]):
        latent[0, k] += latent[0, k - 1]
    for row in range(1, shape[0]):
        latent[row, 0] += latent[row - 1, 0]
        for k in range(1, shape[1]):
            latent[row, k] += _median(latent[row, k - 1], latent[row - 1, k], latent[row - 1, k - 1])
    return np.clip(latent, 0, 255)


def _median(left: Int32Array, above: Int32Array, corner: Int32Array) -> Int32Array:
    """Of left, above, and left + above - corner (Weinberger et al., LOCO-I)."""
    guess: Int32Array = left + above - corner
    return np.clip(guess, np.minimum(left, above), np.maximum(left, above))


def _psnr(a: Float32Array, b: Float32Array) -> float:
    return float(-10 * np.log10(max(float(np.mean((a.astype(np.float64) - b) ** 2)), 1e-20)))


class Decoder(base.Decoder):
    """Reads an `.efz` file of this codec. `tiles` raises ModelError and MissingDependencyError, too."""

    MODEL = MODEL

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        settings = self.header.settings
        self._half = Half(_DECODER)
        peak: Any = settings.get("peak")
        if type(peak) not in (int, float) or not 0 < peak <= 1e12:
            raise InputError("the .efz header makes no sense: peak")
        self._peak = float(peak)
        if settings.get("weights") != self._half.weights:
            raise InputError(
                f"it needs SSCNet's weights {str(settings.get('weights'))[:12]}, here are {self._half.weights}; update edgefuse"
            )

    def release(self) -> None:
        self._half.close()

    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        if len(payload) < _HEAD.size:
            raise InputError("a tile is cut short")
        step, size = _HEAD.unpack_from(payload)
        begin = _HEAD.size + size
        if begin > len(payload) or step > _COARSEST:
            raise InputError("a tile is damaged")
        out = np.zeros((shape[0] * shape[1], shape[2]), self.header.dtype)
        if step:
            cells = -(-shape[0] // CELL), -(-shape[1] // CELL), self._half.channels
            spectra = drawn(self._half, decoded_latent(payload[begin:], cells, self._reader.version), step, shape).reshape(out.shape)
            if out.dtype.kind == "f":
                out[...] = spectra * self._peak
            else:
                samples.fill(out, np.ascontiguousarray(spectra, np.float64), np.zeros(shape[2]), self._peak, *tile.limits(out.dtype))
        if size:
            out[tile.decoded_mask(payload[_HEAD.size : begin], shape, self._reader.version)] = self.missing
        return out.reshape(shape)


class SscnetCodec(base.Codec):
    """Raises ModelError and MissingDependencyError, too."""

    def encode_to(
        self, stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
        progress: base.Progress = base.silent,
    ) -> int:  # fmt: skip
        return encode_to(stream, cube, target, nodata=nodata, about=about, progress=progress)

    def decoder(self, stream: BinaryIO) -> Decoder:
        return Decoder(stream)
