"""The codec `edgefuse` of Zarr's format 3, array -> bytes: chunks as .efz files. zarr finds it by the entry point `zarr.codecs`."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from edgefuse.errors import InputError
from edgefuse.hyperspectral.integrations.chunk_codec import ChunkCodec, decode


class SpectralEdgeCodec(ArrayBytesCodec):  # type: ignore[misc]
    """spectral-edge as the serializer of an array. Lossless without options; options: those of `ChunkCodec`. Give it no compressors."""

    is_fixed_size = False

    def __init__(self, **options: Any) -> None:
        """Raises SettingsError for options that exclude each other or are out of range, TypeError for unknown ones."""
        self._chunks = ChunkCodec(**options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make the codec that an array's metadata names."""
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the codec's name and options for the array's metadata."""
        return {"name": "edgefuse", "configuration": self._chunks.settings()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpectralEdgeCodec) and self._chunks == other._chunks

    def __hash__(self) -> int:
        return hash(self._chunks)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._chunks.settings().items())})"

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raise SettingsError for an array that can't be coded."""
        self._chunks.check(shape, _numpy_type(dtype))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise NotImplementedError: the size depends on the samples."""
        raise NotImplementedError

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        samples = np.asarray(chunk_array.as_numpy_array()).reshape(chunk_spec.shape)
        data = await asyncio.to_thread(self._chunks.encode, samples)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        samples = await asyncio.to_thread(decode, chunk_bytes.to_bytes())
        if samples.shape != chunk_spec.shape:
            raise InputError(f"a chunk has the shape {samples.shape}; the array's metadata says {chunk_spec.shape}")
        return chunk_spec.prototype.nd_buffer.from_numpy_array(samples.astype(_numpy_type(chunk_spec.dtype), copy=False))


def _numpy_type(dtype: Any) -> np.dtype[Any]:
    """Return the NumPy type of zarr's own, which zarr 3.0 has none of."""
    native: np.dtype[Any] = dtype.to_native_dtype() if hasattr(dtype, "to_native_dtype") else np.dtype(dtype)
    return native
