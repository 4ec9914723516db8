"""Arrays of a Zarr store in a folder, by their metadata files: `.zarray` and `.zattrs` (format 2), `zarr.json` (format 3).

They are read here, before the library `zarr` opens an array, as a store may name any codec that is installed, such as `pickle`, which runs
what a chunk holds; and chunks that unpack to more than their size.
"""

from __future__ import annotations

import bz2
import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from edgefuse.errors import CubeError
from edgefuse.hyperspectral import bounded_json
from edgefuse.hyperspectral.formats.hdf5_checks import inflated
from edgefuse.util.files import is_file

_GROUP_2, _ARRAY_2, _ATTRIBUTES_2, _NODE_3 = ".zgroup", ".zarray", ".zattrs", "zarr.json"
_MARKS = _GROUP_2, _ARRAY_2, ".zmetadata", _NODE_3
_MOST_NODES, _MOST_DEPTH = 4096, 8
_MAX_CHUNK = 1 << 28  # bytes; a chunk is read into memory as a whole
_SLACK = 4096  # bytes that a chunk may unpack to besides twice its size, as a filter may store samples in a wider type
_PIECE = 1 << 16
_CODECS = {
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "edgefuse", "fixedscaleoffset", "fletcher32",
    "gzip", "lz4", "packbits", "pcodec", "quantize", "sharding_indexed", "shuffle", "transpose", "vlen-utf8", "zfpy", "zlib", "zstd",
}  # fmt: skip
_PACKING = "blosc", "bz2", "gzip", "lz4", "zlib", "zstd"


@dataclass(frozen=True, slots=True)
class Node:
    """An array of a store."""

    name: str
    """Path within the store, as "group/reflectance"; empty for a store that is one array."""
    folder: Path
    form: int
    """Format of Zarr, 2 or 3."""
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any] | None
    """None for types that are no numbers and no texts."""
    dims: tuple[str, ...]
    """Names of the dimensions; empty if there are none."""
    fill: object
    attributes: dict[str, Any]
    codecs: tuple[str, ...]
    key: tuple[str, str]
    """Start and separator of the names of its chunks' files."""


def is_store(folder: Path) -> bool:
    """Return whether a folder is a Zarr store, by its metadata file."""
    return any(is_file(folder / mark) for mark in _MARKS)


def nodes(store: Path) -> list[Node]:
    """Return the arrays of a store, sorted by name. Raises CubeError for metadata that can't be read."""
    found: list[Node] = []
    for name, folder in _folders(store, "", 0):
        if (form := _form(folder)) is None:
            continue
        try:
            node = _node_3(name, folder) if form == 3 else _node_2(name, folder)
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as e:
            raise CubeError(f"{folder}: its Zarr metadata can't be read ({type(e).__name__}: {str(e)[:80]})") from None
        if node is not None:
            found.append(node)
            if len(found) > _MOST_NODES:
                raise CubeError(f"{store} has more than {_MOST_NODES} arrays; give the folder of one of its groups")
    return sorted(found, key=lambda node: node.name)


def attributes_of_group(folder: Path) -> dict[str, Any]:
    """Return the attributes of a group; none if the folder is an array. Raises CubeError."""
    if is_file(folder / _ARRAY_2):
        return {}
    raw = _read(folder / _NODE_3)
    found = (_read(folder / _ATTRIBUTES_2) if raw is None else raw.get("attributes") if raw.get("node_type") == "group" else None) or {}
    return found if isinstance(found, dict) else {}


def _folders(folder: Path, name: str, depth: int) -> Iterator[tuple[str, Path]]:
    """Yield the groups and arrays of a store; what an array's folder holds are chunks."""
    yield name, folder
    if depth >= _MOST_DEPTH or is_file(folder / _ARRAY_2) or (_read(folder / _NODE_3) or {}).get("node_type") == "array":
        return
    try:
        with os.scandir(folder) as entries:
            below = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False))
    except OSError as e:
        raise CubeError(f"cannot list {folder}: {e.strerror}") from None
    for child in below[:_MOST_NODES]:
        if is_store(folder / child):
            yield from _folders(folder / child, f"{name}/{child}".lstrip("/"), depth + 1)


def _form(folder: Path) -> int | None:
    return 3 if is_file(folder / _NODE_3) else 2 if is_file(folder / _ARRAY_2) else None


def _read(path: Path) -> Any:
    """Return a metadata file's JSON; None if there is no such file. Raises CubeError."""
    if not is_file(path):
        return None
    try:
        with open(path, "rb") as f:
            found = bounded_json.loads(f.read(bounded_json.MAX_BYTES + 1))
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    except ValueError as e:
        raise CubeError(f"{path} is no Zarr metadata ({str(e)[:80]})") from None
    if not isinstance(found, dict):
        raise CubeError(f"{path} is no Zarr metadata")
    return found


def _node_2(name: str, folder: Path) -> Node:
    raw, attributes = _read(folder / _ARRAY_2), _read(folder / _ATTRIBUTES_2) or {}
    chain = [*(raw.get("filters") or ()), *([raw["compressor"]] if raw.get("compressor") else ())]
    dims = attributes.get("_ARRAY_DIMENSIONS", ())
    return Node(
        name, folder, 2, _sizes(raw["shape"]), _sizes(raw["chunks"]), _dtype(raw["dtype"]), tuple(map(str, dims)), raw.get("fill_value"),
        attributes, tuple(str(codec["id"]) for codec in chain), ("", str(raw.get("dimension_separator", "."))),
    )  # fmt: skip


def _node_3(name: str, folder: Path) -> Node | None:
    raw = _read(folder / _NODE_3)
    if raw.get("node_type") != "array":
        return None
    grid, key = raw["chunk_grid"], raw.get("chunk_key_encoding") or {"name": "default"}
    if grid["name"] != "regular":
        raise ValueError(f"chunk grid {grid['name']}")
    of_key = key.get("configuration") or {}
    names, chunks = [], _sizes(grid["configuration"]["chunk_shape"])
    for codec in raw["codecs"]:
        names += list(_codec_names(codec))
        if isinstance(codec, dict) and codec["name"] == "sharding_indexed":
            chunks = _sizes(codec["configuration"]["chunk_shape"])
    dims = raw.get("dimension_names") or ()
    start = (
        ("c" + of_key.get("separator", "/"), of_key.get("separator", "/"))
        if key["name"] == "default"
        else ("", of_key.get("separator", "."))
    )
    kind = raw["data_type"]
    text = isinstance(kind, dict) and kind["name"] == "fixed_length_utf32"
    return Node(
        name, folder, 3, _sizes(raw["shape"]), chunks, np.dtype("U1") if text else _dtype(kind), tuple(str(d or "") for d in dims),
        raw.get("fill_value"), raw.get("attributes") or {}, tuple(names), start,
    )  # fmt: skip


def _codec_names(codec: Any) -> Iterator[str]:
    """Yield the names of a codec, and of those within a shard."""
    if isinstance(codec, str):
        yield codec.removeprefix("numcodecs.")
        return
    yield str(codec["name"]).removeprefix("numcodecs.")
    inner = codec.get("configuration") or {}
    for within in (*(inner.get("codecs") or ()), *(inner.get("index_codecs") or ())):
        yield from _codec_names(within)


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = tuple(values)
    if not all(type(n) is int and 0 <= n < 1 << 31 for n in sizes):
        raise ValueError(f"sizes {str(sizes)[:60]}")
    return sizes


def _dtype(text: Any) -> np.dtype[Any] | None:
    if text in ("|O", "string"):  # texts of any length, where the codec is vlen-utf8
        return np.dtype("U1")
    try:
        dtype = np.dtype(text) if isinstance(text, str) else None
    except TypeError:
        return None
    return dtype if dtype is not None and dtype.kind in "uifcU" else None


class CheckedChunks:
    """The chunks of an array, each checked once before it is read."""

    def __init__(self, path: Path, node: Node) -> None:
        """Raises CubeError for codecs that are not known to be harmless, and for chunks that are too large for memory."""
        self._path, self._node, self._seen = path, node, set[tuple[int, ...]]()
        if unknown := [name for name in node.codecs if name not in _CODECS]:
            raise CubeError(f"{path}: the chunks of {node.name or 'its array'} have the codec '{unknown[0][:40]}', which is not read")
        size = 1 if node.dtype is None else node.dtype.itemsize
        self._bytes = int(np.prod(node.chunks, dtype=object)) * size
        if len(node.chunks) != len(node.shape) or min(node.chunks, default=1) < 1 or self._bytes > _MAX_CHUNK:
            raise CubeError(
                f"{path}: the chunks of {node.name or 'its array'}, {node.chunks}, are too large to read in windows; rechunk it"
            )

    def check(self, key: tuple[slice, ...]) -> None:
        """Check the chunks of a window. Raises CubeError, OSError, and the errors of damaged chunks."""
        if "sharding_indexed" in self._node.codecs:
            return
        for place in product(*(range(s.start // c, -(-s.stop // c)) for s, c in zip(key, self._node.chunks, strict=True))):
            if place not in self._seen:
                start, separator = self._node.key
                file = self._node.folder / (start + separator.join(map(str, place)))
                if is_file(file) and not self._fits(file):
                    raise CubeError(f"{file}: a chunk unpacks to more than its size; the store is damaged")
                self._seen.add(place)

    def _fits(self, file: Path) -> bool:
        """Return whether a chunk's file unpacks to about the chunk's size; unpacks it in constant memory where its head does not say so."""
        most = 2 * self._bytes + _SLACK
        packing = next((name for name in reversed(self._node.codecs) if name in _PACKING), "")
        with open(file, "rb") as f:
            if os.fstat(f.fileno()).st_size > most:
                return False
            head = f.read(16)
            f.seek(0)
            if packing in ("bz2", "gzip"):
                return _unpacked(bz2.BZ2File(f).read if packing == "bz2" else gzip.GzipFile(fileobj=f).read, most) <= most
            if packing == "zlib":
                return inflated(f.read(), checksum=False) <= most
        return _stated(packing, head) <= most


def _unpacked(read: Callable[[int], bytes], most: int) -> int:
    """Return the size of an unpacked stream, counted until it exceeds `most`."""
    total = 0
    while total <= most and (piece := read(_PIECE)):
        total += len(piece)
    return total


def _stated(packing: str, head: bytes) -> int:
    """Return the unpacked size that the first 16 bytes of a chunk state; 0 if they do not."""
    if packing == "blosc":
        return int.from_bytes(head[4:8], "little")
    if packing == "lz4":
        return int.from_bytes(head[:4], "little")
    if packing != "zstd" or len(head) < 6:
        return 0
    # RFC 8878, 3.1.1.1: descriptor, window (unless a single segment), dictionary, content size
    width, single = (0, 2, 4, 8)[head[4] >> 6], head[4] >> 5 & 1
    begin, width = 5 + (1 - single) + (0, 1, 2, 4)[head[4] & 3], width or single
    return int.from_bytes(head[begin : begin + width], "little") + (256 if width == 2 else 0)
