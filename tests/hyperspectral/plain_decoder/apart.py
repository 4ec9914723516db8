"""Samples that are stored apart: masks, areas of one value, single samples (efz.md)."""

import numpy as np

from tests.hyperspectral.plain_decoder.fields import Fields, plain
from tests.hyperspectral.plain_decoder.planes import decode_planes, decode_row


def decode_mask(f, shape):
    count, *sizes = f.take("HII")
    numbers, references = (np.cumsum(decode_row(f.bytes(size), n)) for size, n in zip(sizes, (shape[2], count), strict=True))
    planes = [np.full(shape[0] * shape[1], full) for full in (False, True)]
    for reference, plane in zip(references, decode_planes(f.bytes(), (count, *shape[:2]), 4), strict=True):
        planes.append(planes[reference] ^ (plane.ravel() != 0))
    return np.stack([planes[n] for n in numbers], 1)


def restore_singles(f, out, mask=None):
    if f.at < len(f.data):
        count, size = f.take("II")
        places = np.cumsum(plain(f.bytes(size), count, "<u4"), dtype=np.int64)
        out.reshape(-1)[places] = plain(f.bytes(), count, out.dtype)
        if mask is not None:
            mask.reshape(-1)[places] = True


def restore_section(section, out, shape, missing, version):
    f = Fields(section)
    first = f.take("B")
    if first != 2 or version < 3:
        mask = decode_planes(f.bytes(), (1 if first == 1 else shape[2], *shape[:2]), version) != 0
        out[np.broadcast_to(mask.reshape(len(mask), -1).T, out.shape)] = missing
        return
    for _ in range(f.take("B")):
        valued, size = f.take("BI")
        value = np.frombuffer(f.bytes(out.itemsize), out.dtype)[0] if valued else missing
        out[decode_mask(Fields(f.bytes(size)), shape)] = value
    restore_singles(f, out)
