"""`sscnet`: codec for hyperspectral cubes with SSCNet's pruned autoencoder, whose latent is coded losslessly.

SSCNet is by La Grassa et al. (2022), pruned after Kumar and Mozaffari; its weights are computed from a linear transform
(tools/sscnet/cell_positions.py). The rate is that of the entropy-coded latent: 8 bits per value before entropy coding (the published
operating point, which counts them as float32), or fewer with a coarser step. A cube is scaled by a fixed peak, its spectral axis
resampled to the network's and back, and patterns that encode each pixel's place are added to the encoder's input. A file is decoded with
the weights that it names, also those of earlier versions. Encoded latents decode the same on every machine; the reconstructed samples may
differ in the last bits, because the runtimes round differently.
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
from edgefuse.hyperspectral.codec import base, entropy_coder, samples, separate_samples, tile
from edgefuse.hyperspectral.codec.base import Cube, Target, sizes_of
from edgefuse.hyperspectral.cube import peak_of
from edgefuse.hyperspectral.spectral_axis import resampled
from edgefuse.util.arrays import Float32Array, Int32Array

MODEL = "sscnet"
CELL = 8  # pixels per latent value along each side
_ENCODER = "sscnet-encoder"
# the encoder's decoder first; the others decode the files of earlier encoders
_DECODERS = ("sscnet-decoder", "sscnet-decoder-1")
# cells on each side that a cell's samples depend on: the current decoder has no filter across cells
_REACH = {"sscnet-decoder-1": 2}
# samples of a tile, and rows and columns of the cells that are decoded at a time: few samples allow little memory
_ALL_CELLS, _MANY_CELLS, _FEW_CELLS, _FEW_WITH_REACH = (1 << 22, (16, 16)), (1 << 20, (2, 8)), (1, 4), (2, 8)
_SIDE = 128  # side of a tile in pixels: the patch size of HySpecNet-11k
_HEAD = struct.Struct("<BI")  # step of the latent (0: all samples missing), bytes of the mask
_MAX_STEP = 128
PATTERN_SIZE = 2.0  # amplitude of the patterns that encode the pixels' places


def _check_target(target: Target) -> None:
    """Raise InputError unless the target is bpppc, psnr or none (the latent with step 1). max_error is not supported by sscnet."""
    if target.max_error is not None:
        raise InputError("sscnet does not support max_error; give bpppc or psnr, or neither, or use spectral-edge")
    if len(target.given) > 1:
        raise InputError("bpppc and psnr exclude each other; give only one")
    target.check_ranges()


def encode_to(
    stream: BinaryIO, cube: Cube, target: Target, *, nodata: float | None = None, about: dict[str, Any] | None = None,
    progress: base.Progress = base.silent,
) -> int:  # fmt: skip
    """Write `cube` as an `.efz` file, tile by tile, and return the bytes written.

    nodata: value of missing samples, besides NaN. about: JSON-serialisable metadata to store in the header.
    Raises InputError, ModelError, MissingDependencyError.
    """
    _check_target(target)
    shape, dtype = sizes_of(cube, nodata)
    with closing(Network(_ENCODER)) as encoder, closing(Network(_DECODERS[0])) as decoder:
        peak = target.peak or peak_of(dtype)
        settings = {"peak": peak, "weights": decoder.weights, "nodata": nodata if nodata is None or nodata == nodata else None}
        tile_size = min(_SIDE, shape[0]), min(_SIDE, shape[1])
        header = efz.Header(shape, dtype.name, tile_size, MODEL, {k: v for k, v in settings.items() if v is not None}, about or {})
        writer = efz.Writer(stream, header)
        # subtract the container's overhead: 24 bytes per tile for record header and index entry
        bytes_left = (target.bpppc or 0) * math.prod(shape) / 8 - len(header.to_bytes()) - header.count * 24 - 24
        pixels_left = shape[0] * shape[1]
        for number in range(header.count):
            prepared = tile.prepared(np.asarray(cube[header.place(number)]).astype(dtype, copy=False), nodata)
            mask = prepared.section
            encoded, step = b"", 0
            if not prepared.empty:
                spectra = prepared.pixels.astype(np.float32) / np.float32(peak)
                latent = latents(encoder, np.clip(spectra, 0, 1).reshape(prepared.height, prepared.width, -1))
                share = bytes_left * prepared.height * prepared.width / pixels_left - _HEAD.size - len(mask)
                counted = None if prepared.apart is None else ~prepared.apart.mask
                encoded, step = _encode_latent(
                    latent,
                    target,
                    share,
                    lambda q, s: _psnr(spectra, _spectra(decoder, q, s, prepared), counted),  # noqa: B023
                )
            payload = _HEAD.pack(step, len(mask)) + mask + encoded
            writer.tile(number, payload, prepared.apart.version if prepared.apart else efz.PLAIN_VERSION)
            bytes_left -= len(payload)
            pixels_left -= prepared.height * prepared.width
            progress(number + 1, header.count)
    return writer.close()


def _encode_latent(latent: Int32Array, target: Target, share: float, psnr: Callable[[Int32Array, int], float]) -> tuple[bytes, int]:
    """Return (encoded latent, step): the finest step within `share` bytes, or the coarsest step that reaches the target PSNR."""
    if target.psnr is not None:
        best = -math.inf
        for step in (_MAX_STEP >> k for k in range(8)):
            quantised = quantise(latent, step)
            best = max(best, reached := psnr(quantised, step))
            if reached >= target.psnr:
                return coded_latent(quantised), step
        if target.best_effort:
            return coded_latent(latent), 1
        raise InputError(f"sscnet reaches {best:.2f} dB here, not {target.psnr:g}; ask for less, or use spectral-edge")
    if target.bpppc is None:
        return coded_latent(latent), 1
    low, high = 1, _MAX_STEP
    while low < high:
        middle = (low + high) // 2
        if len(coded_latent(quantise(latent, middle))) <= share:
            high = middle
        else:
            low = middle + 1
    return coded_latent(quantise(latent, low)), low


class Network:
    """The encoder or the decoder network, loaded by the best available runtime when first run."""

    def __init__(self, name: str) -> None:
        self._card = zoo.find(name)
        assert self._card.golden is not None
        self.reach = _REACH.get(name, 0)
        """Cells on each side that a cell's samples depend on."""
        self.weights = self._card.golden.sha256[:12]
        """Identifier of the weights, the same for all model files made from them."""

    @cached_property
    def _choice(self) -> runtimes.Choice:
        return runtimes.choose(self._card)

    def run(self, planes: Float32Array) -> Float32Array:
        """Run the network on (C, H, W), in the range that its card names. Returns its output (C, H, W) in [0, 1]."""
        choice = self._choice
        outputs = choice.runtime.run({self._card.inputs[0].name: np.ascontiguousarray(choice.tensor(planes))})
        return choice.planes(outputs[self._card.outputs[0].name])

    def cells_at_a_time(self, samples: int) -> tuple[int, int]:
        """Return rows and columns of the cells to decode at a time of a tile of `samples`, so that the memory stays in its limits."""
        if samples > _ALL_CELLS[0]:
            return _ALL_CELLS[1]
        if self.reach:
            return _FEW_WITH_REACH
        return _MANY_CELLS[1] if samples > _MANY_CELLS[0] else _FEW_CELLS

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return int(self._card.inputs[0].shape[1])

    def close(self) -> None:
        if "_choice" in self.__dict__:
            self._choice.runtime.close()


def latents(encoder: Network, spectra: Float32Array) -> Int32Array:
    """(h, w, B) in [0, 1] -> the latent (h / 8, w / 8, C), rounded up, 0 to 255."""
    cube = resampled(spectra, encoder.channels).transpose(2, 0, 1)
    pad = [(0, 0), *((0, -n % CELL) for n in cube.shape[1:])]
    output = encoder.run(with_place_patterns(np.pad(cube, pad, mode="symmetric")))
    return np.rint(output * np.float32(255)).astype(np.int32).transpose(1, 2, 0)


def patterns(bands: int) -> Float32Array:
    """Return (6, bands): the cosines of the highest frequencies over the bands, orthonormal.

    One for each bit (1, 2, 4) of a pixel's column in its cell of 8 x 8 pixels, then one for each bit of its row.
    """
    at = np.pi * (np.arange(bands) + 0.5) / bands
    return np.stack([np.cos(at * (bands - 1 - k)) * (2 / bands) ** 0.5 for k in range(6)]).astype(np.float32)


def with_place_patterns(cube: Float32Array) -> Float32Array:
    """Add to a cube (..., bands, rows, columns) the patterns of each pixel's place in its cell: the encoder's input.

    Max pooling keeps the largest value but not its position; the patterns let the network keep it (tools/sscnet/cell_positions.py).
    """
    bits = (np.arange(CELL) >> np.arange(3)[:, None]) & 1  # (3, 8)
    codes = patterns(cube.shape[-3]) * np.float32(PATTERN_SIZE)
    cell = np.einsum("kb,kx->bx", codes[:3], bits)[:, None, :] + np.einsum("kb,ky->by", codes[3:], bits)[:, :, None]
    rows, columns = cube.shape[-2:]
    tiled = np.tile(cell.astype(np.float32), (1, -(-rows // CELL), -(-columns // CELL)))
    return cube + tiled[:, :rows, :columns]


def _spectra(decoder: Network, latent: Int32Array, step: int, size: tile.Prepared) -> Float32Array:
    return decode_spectra(decoder, latent, step, (size.height, size.width, size.pixels.shape[1])).reshape(-1, size.pixels.shape[1])


def decode_spectra(decoder: Network, latent: Int32Array, step: int, shape: tuple[int, int, int]) -> Float32Array:
    """Decode a latent, in units of `step`, to spectra (h, w, B) = `shape` in [0, 1].

    The decoder runs on a few cells at a time, and on those that reach into them: whole tiles took 80 MB.
    """
    values = np.clip(latent * step, 0, 255).astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    rows, columns = decoder.cells_at_a_time(math.prod(shape))
    out: Float32Array = np.empty(shape, np.float32)
    for top in range(0, values.shape[1], rows):
        for left in range(0, values.shape[2], columns):
            first = max(0, top - decoder.reach), max(0, left - decoder.reach)
            planes = decoder.run(values[:, first[0] : top + rows + decoder.reach, first[1] : left + columns + decoder.reach])
            # the samples of the cells without those around them
            place = out[top * CELL : (top + rows) * CELL, left * CELL : (left + columns) * CELL]
            part = planes[:, (top - first[0]) * CELL :, (left - first[1]) * CELL :][:, : place.shape[0], : place.shape[1]]
            place[...] = resampled(part.transpose(1, 2, 0), shape[2])
    return out


def quantise(latent: Int32Array, step: int) -> Int32Array:
    """Quantise a latent with `step`, rounding to nearest."""
    return (latent + step // 2) // step


def coded_latent(latent: Int32Array) -> bytes:
    """Encode a quantised latent (rows, columns, C) losslessly, as differences from a prediction by its neighbours in the channel."""
    predicted = np.zeros_like(latent)
    predicted[0, 1:], predicted[1:, 0] = latent[0, :-1], latent[:-1, 0]
    predicted[1:, 1:] = _median(latent[1:, :-1], latent[:-1, 1:], latent[:-1, :-1])
    return entropy_coder.encode_exact(latent - predicted)


def decoded_latent(data: bytes | memoryview, shape: tuple[int, int, int], version: int) -> Int32Array:
    """Decode `coded_latent`'s output. Damaged data gives a wrong latent, no error."""
    # limit the differences so that errors in damaged data do not accumulate
    latent = np.clip(entropy_coder.decode_exact(data, shape, version), -256, 256)
    for k in range(1, shape[1]):
        latent[0, k] += latent[0, k - 1]
    for row in range(1, shape[0]):
        latent[row, 0] += latent[row - 1, 0]
        for k in range(1, shape[1]):
            latent[row, k] += _median(latent[row, k - 1], latent[row - 1, k], latent[row - 1, k - 1])
    return np.clip(latent, 0, 255)


def _median(left: Int32Array, above: Int32Array, corner: Int32Array) -> Int32Array:
    """Median edge detection of LOCO-I (Weinberger et al.): median of left, above, and left + above - corner."""
    guess: Int32Array = left + above - corner
    return np.clip(guess, np.minimum(left, above), np.maximum(left, above))


def _psnr(a: Float32Array, b: Float32Array, counted: NDArray[np.bool_] | None) -> float:
    """Return the PSNR with a peak of 1 over the samples that are `counted`; None: all."""
    error = a.astype(np.float64) - b
    return float(-10 * np.log10(max(float(np.mean((error if counted is None else error[counted]) ** 2)), 1e-20)))


def _decoder_of(weights: Any) -> Network:
    """Find the decoder by the weights that a file names. Raises InputError if it is not installed."""
    installed = []
    for name in _DECODERS:
        network = Network(name)
        if network.weights == weights:
            return network
        installed.append(network.weights)
    raise InputError(f"it needs SSCNet's weights {str(weights)[:12]}, installed are {' and '.join(installed)}; update edgefuse")


class Decoder(base.Decoder):
    """Decodes an `.efz` file of this codec. `tiles` also raises ModelError and MissingDependencyError."""

    MODEL = MODEL

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        settings = self.header.settings
        peak: Any = settings.get("peak")
        if type(peak) not in (int, float) or not 0 < peak <= 1e12:
            raise InputError("the .efz header is invalid: peak")
        if self.header.tile != (min(_SIDE, self.header.shape[0]), min(_SIDE, self.header.shape[1])):
            # the network's memory grows with the tile, not with the bands
            raise InputError(f"the .efz header is invalid: tiles of sscnet have {_SIDE} x {_SIDE} pixels")
        self._peak = float(peak)
        self._network = _decoder_of(settings.get("weights"))

    def release(self) -> None:
        self._network.close()

    def decode_tile(self, payload: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        if len(payload) < _HEAD.size:
            raise InputError("a tile is truncated")
        step, size = _HEAD.unpack_from(payload)
        begin = _HEAD.size + size
        if begin > len(payload) or step > _MAX_STEP:
            raise InputError("a tile is damaged")
        view, out = memoryview(payload), np.zeros((shape[0] * shape[1], shape[2]), self.header.dtype)
        if step:
            cells = -(-shape[0] // CELL), -(-shape[1] // CELL), self._network.channels
            latent = decoded_latent(view[begin:], cells, self._reader.version)
            spectra = decode_spectra(self._network, latent, step, shape).reshape(out.shape)
            if out.dtype.kind == "f":
                out[...] = spectra * self._peak
            else:
                samples.fill(out, np.ascontiguousarray(spectra, np.float64), np.zeros(shape[2]), self._peak, *tile.limits(out.dtype))
        if size:
            separate_samples.restore(out, view[_HEAD.size : begin], shape[:2], self.missing, self._reader.version)
        return out.reshape(shape)


class SscnetCodec(base.Codec):
    """The codec `sscnet`. Its methods also raise ModelError and MissingDependencyError."""

    encode_to = staticmethod(encode_to)
    decoder = Decoder
