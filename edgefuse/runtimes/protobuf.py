"""Fields of a protobuf message (protobuf.dev/programming-guides/encoding), of untrusted bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

Value = int | memoryview
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_BITS = 64
_MOST_FIELDS = 1 << 18  # of a message
_MOST_NUMBERS = 1 << 10  # that are returned of one field


class Message:
    """A message whose fields are known: refuses any other, and a second value of a field that may have one, which parsers would merge."""

    def __init__(self, data: memoryview, what: str, known: Mapping[int, bool]) -> None:
        """known: numbers of the fields that may be there, and whether each may be repeated. Raises ValueError."""
        self._values: dict[int, list[Value]] = {}
        for number, value in _fields(data):
            if number not in known:
                raise ValueError(f"{what} has a field {number}, which is not read")
            if number in self._values and not known[number]:
                raise ValueError(f"{what} has field {number} twice")
            self._values.setdefault(number, []).append(value)
            if len(self._values[number]) > _MOST_FIELDS:
                raise ValueError(f"{what} has field {number} more than {_MOST_FIELDS} times")

    def number(self, field: int, default: int = 0) -> int:
        """Return a field of whole numbers, as 64 bits with a sign."""
        (value,) = self._values.get(field, [default])
        if isinstance(value, memoryview):
            raise ValueError(f"field {field} is no number")
        return signed(value)

    def numbers(self, field: int) -> list[int]:
        """Return a repeated field of at most 1,024 whole numbers, packed or not."""
        if self.count(field) > _MOST_NUMBERS:
            raise ValueError(f"field {field} has more than {_MOST_NUMBERS} numbers")
        numbers: list[int] = []
        for value in self._values.get(field, ()):
            numbers += [signed(value)] if isinstance(value, int) else [signed(v) for v in _varints(value)]
        return numbers

    def count(self, field: int) -> int:
        """Return the count of numbers of such a field."""
        packed = (1 if isinstance(v, int) else int(np.count_nonzero(np.frombuffer(v, np.uint8) < 128)) for v in self._values.get(field, ()))
        return sum(packed)

    def parts(self, field: int) -> list[memoryview]:
        """Return the values of a field of bytes, texts or messages."""
        values = self._values.get(field, [])
        parts = [value for value in values if isinstance(value, memoryview)]
        if len(parts) < len(values):
            raise ValueError(f"field {field} is a number")
        return parts

    def part(self, field: int) -> memoryview | None:
        """Return the only value of such a field, or None."""
        parts = self.parts(field)
        return parts[0] if parts else None

    def text(self, field: int) -> str:
        """Return a text; empty if there is none."""
        return "" if (part := self.part(field)) is None else str(part, "utf-8")

    def __contains__(self, field: int) -> bool:
        return field in self._values


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind, size = key & 7, {_FIXED64: 8, _FIXED32: 4}.get(key & 7, 0)
        value: Value
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES or size:
            if not size:
                size, at = _varint(data, at)
            if size > len(data) - at:
                raise ValueError("it is incomplete")
            value = data[at : at + size]
            at += size
        else:
            raise ValueError("it has a group, or is damaged")
        yield key >> 3, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at == len(data) or shift >= _MOST_BITS:
            raise ValueError("it is incomplete, or has a number of more than 64 bits")
        byte = data[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            if value >> _MOST_BITS:
                raise ValueError("it has a number of more than 64 bits")
            return value, at


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def signed(value: int) -> int:
    """Return 64 bits as a number with a sign."""
    return value - (1 << _MOST_BITS) if value >> (_MOST_BITS - 1) else value
