"""Tiny hand-written ONNX files whose outputs are their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ELEMENTS = {"float": 1, "uint8": 2, "int64": 7, "float16": 10}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _value(name: str, kind: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_field(1, _field(1, d) if isinstance(d, int) else _field(2, d)) for d in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, ELEMENTS[kind]) + _field(2, dims)))


def identities(inputs: Mapping[str, tuple[str, Sequence[int | str]]]) -> bytes:
    """Return a model that outputs its inputs. inputs: element type and shape (numbers or names), by name."""
    graph = b"".join(_field(1, _field(1, n) + _field(2, f"{n}_out") + _field(4, "Identity")) for n in inputs) + _field(2, "g")
    graph += b"".join(_field(11, _value(n, *how)) for n, how in inputs.items())
    graph += b"".join(_field(12, _value(f"{n}_out", *how)) for n, how in inputs.items())
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)
