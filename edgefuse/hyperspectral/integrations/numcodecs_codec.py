"""The codec `edgefuse` of numcodecs: chunks of Zarr's format 2 as .efz files. numcodecs finds it by the entry point `numcodecs.codecs`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_ndarray, ndarray_copy

from edgefuse.hyperspectral.integrations.chunk_codec import ChunkCodec, decode


class SpectralEdge(Codec):  # type: ignore[misc]
    """spectral-edge as a compressor of chunks. Lossless without options; options: those of `ChunkCodec`. Give it no filters."""

    codec_id = "edgefuse"

    def __init__(self, **options: Any) -> None:
        """Raises SettingsError for options that exclude each other or are out of range, TypeError for unknown ones."""
        self._chunks = ChunkCodec(**options)

    def encode(self, buf: Any) -> bytes:
        """Return a chunk, an array with its shape and type, as an .efz file. Raises InputError."""
        return self._chunks.encode(np.asarray(ensure_ndarray(buf)))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return a chunk's samples in the order in which they lay in memory, without its shape; with `out` written into it."""
        flat = decode(ensure_bytes(buf)).reshape(-1, order="A")
        return flat if out is None else ndarray_copy(flat, out)

    def get_config(self) -> dict[str, Any]:
        """Return the codec's name and options for the array's metadata."""
        return {"id": self.codec_id, **self._chunks.settings()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._chunks.settings().items())})"
