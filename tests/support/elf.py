"""Reads from an ELF library what protects it: 64 bits, little-endian."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

_DYNAMIC, _STACK, _RELRO = 2, 0x6474E551, 0x6474E552  # types of program headers
_STRTAB, _SYMTAB, _FLAGS, _FLAGS_1 = 5, 6, 30, 0x6FFFFFFB  # tags of the dynamic section
_EXECUTABLE = 1


class Protection(NamedTuple):
    """executable_stack: whether code on the stack may run. relro: whether relocated data is read-only afterwards. now: whether functions'
    addresses are all resolved when it is loaded. strings: names of symbols and libraries."""

    executable_stack: bool
    relro: bool
    now: bool
    strings: frozenset[str]


def protection(path: Path) -> Protection:
    data = path.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01", f"{path} is no 64-bit little-endian ELF file"
    (begin,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, begin + k * size) for k in range(count)]
    stack = [flags for kind, flags, *_ in headers if kind == _STACK]
    offset, nbytes = next((h[2], h[5]) for h in headers if h[0] == _DYNAMIC)
    tags = dict(struct.unpack_from("<QQ", data, offset + at) for at in range(0, nbytes, 16))
    strings = data[tags[_STRTAB] :].split(b"\0\0\0\0", 1)[0].split(b"\0")
    return Protection(
        not stack or bool(stack[0] & _EXECUTABLE), any(h[0] == _RELRO for h in headers),
        bool(tags.get(_FLAGS, 0) & 8 or tags.get(_FLAGS_1, 0) & 1), frozenset(s.decode(errors="replace") for s in strings),
    )  # fmt: skip
