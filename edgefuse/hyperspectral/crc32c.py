"""CRC-32C (Castagnoli, as in iSCSI and ext4), which `zlib` lacks."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
from numpy.typing import NDArray

from edgefuse.util import compiled

_POLYNOMIAL = 0x82F63B78


@functools.cache
def _table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ _POLYNOMIAL, table >> 1).astype(np.uint32)
    return table


def crc32c(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """Return the CRC-32C of `data`, continuing from `crc`."""
    if library := compiled.library():
        library.edgefuse_crc32c.restype = ctypes.c_uint32
        source = np.frombuffer(data, np.uint8)
        addresses = ctypes.c_void_p(_table().ctypes.data), ctypes.c_void_p(source.ctypes.data)
        return int(library.edgefuse_crc32c(*addresses, ctypes.c_int64(len(source)), ctypes.c_uint32(crc)))
    table: list[int] = _table().tolist()
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
