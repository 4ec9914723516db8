"""Fields of bytes, and arrays that are plain or deflated (efz.md)."""

import struct
import zlib

import numpy as np


class Fields:
    """Takes fields from bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def bytes(self, size=1 << 40):
        self.at, begin = min(self.at + size, len(self.data)), self.at
        return self.data[begin : self.at]


def plain(data, count, dtype):
    """Values that are plain or deflated."""
    size = np.dtype(dtype).itemsize
    data = data if len(data) == count * size else zlib.decompress(data)
    return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(size, -1).T).view(dtype).ravel()


def to_type(values, dtype):
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.rint(np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max)).astype(dtype)
