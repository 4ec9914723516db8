"""Reads a FlatBuffer (flatbuffers.dev/internals) by a schema, and checks each offset, length and alignment that a reader in C would follow.

Such readers follow offsets without looking. What the schema does not know is refused, so that nothing unchecked is left for them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_SCALARS = {"u1": 1, "i1": 1, "u4": 4, "i4": 4, "f4": 4, "u8": 8, "i8": 8}
_MOST_TABLES = 1 << 16  # that are visited; offsets may share one
_MOST_ITEMS = 1 << 16  # tables of a vector


@dataclass(frozen=True)
class Field:
    """A field of a table. kind: a NumPy type code, "text", "vector", "table", "tables" or "union".

    of: type code of a vector. schema: of tables. kinds: schemas of a union by the value of the field before it.
    """

    kind: str
    of: str = ""
    schema: Mapping[int, Field] = field(default_factory=dict)
    kinds: Mapping[int, Mapping[int, Field]] = field(default_factory=dict)


Schema = Mapping[int, Field]


class Table:
    """A table whose fields were checked: what they hold by their numbers."""

    def __init__(self) -> None:
        self.numbers: dict[int, float] = {}
        self.vectors: dict[int, NDArray[np.generic]] = {}
        self.texts: dict[int, bytes] = {}
        self.tables: dict[int, list[Table]] = {}

    def number(self, field: int, default: int = 0) -> int:
        """Return a whole number."""
        return int(self.numbers.get(field, default))

    def whole(self, field: int) -> tuple[int, ...]:
        """Return a vector of whole numbers."""
        return tuple(self.vectors[field].tolist()) if field in self.vectors else ()


class Reader:
    """Reads tables of a buffer. Methods raise ValueError for what is out of bounds, or unknown."""

    def __init__(self, data: bytes) -> None:
        self._data, self._visited = data, 0

    def root(self, identifier: bytes, schema: Schema) -> Table:
        """Return the root table."""
        if len(self._data) < 8 or self._data[4:8] != identifier:
            raise ValueError(f"it does not begin as a {identifier.decode()} file")
        return self._table(self._followed(0), schema)

    def _scalar(self, code: str, at: int) -> float:
        size = _SCALARS[code]
        if not 0 <= at <= len(self._data) - size or at % size:
            raise ValueError(f"it is damaged at byte {at}")
        return float(np.frombuffer(self._data, f"<{code}", 1, at)[0]) if code == "f4" else self._integer(code, at)

    def _integer(self, code: str, at: int) -> int:
        size = _SCALARS[code]
        return int.from_bytes(self._data[at : at + size], "little", signed=code[0] == "i")

    def _followed(self, at: int) -> int:
        """Return the place that the offset at `at` leads to."""
        offset = int(self._scalar("u4", at))
        if not 0 < offset < len(self._data) - at:
            raise ValueError(f"it is damaged at byte {at}")
        return at + offset

    def _table(self, at: int, schema: Schema) -> Table:
        self._visited += 1
        if self._visited > _MOST_TABLES:
            raise ValueError(f"it has more than {_MOST_TABLES} tables")
        places = self._places(at)
        table = Table()
        for number, place in places.items():
            known = schema.get(number)
            if known is None:
                raise ValueError(f"it has a field {number} that is not read")
            if known.kind in _SCALARS:
                table.numbers[number] = self._scalar(known.kind, place)
            elif known.kind == "text":
                table.texts[number] = self._text(self._followed(place))
            elif known.kind == "vector":
                table.vectors[number] = self._vector(self._followed(place), known.of)
            elif known.kind == "tables":
                table.tables[number] = self._tables(self._followed(place), known.schema)
            else:
                # the field before a union says which kind it is
                inner = known.schema if known.kind == "table" else known.kinds.get(table.number(number - 1))
                if inner is None:
                    raise ValueError(f"it has options of kind {table.number(number - 1)}, which are not read")
                table.tables[number] = [self._table(self._followed(place), inner)]
        return table

    def _places(self, at: int) -> dict[int, int]:
        """Return where the fields are that the table at `at` has, by its own table of offsets."""
        start = at - int(self._scalar("i4", at))
        if not 0 <= start <= len(self._data) - 4 or start % 2:
            raise ValueError(f"it is damaged at byte {at}")
        size, length = struct.unpack_from("<HH", self._data, start)
        if size < 4 or size % 2 or size > len(self._data) - start or length < 4 or length > len(self._data) - at:
            raise ValueError(f"it is damaged at byte {start}")
        offsets = struct.unpack_from(f"<{size // 2 - 2}H", self._data, start + 4)
        if any(offset >= length or 0 < offset < 4 for offset in offsets):
            raise ValueError(f"it is damaged at byte {start}")
        return {number: at + offset for number, offset in enumerate(offsets) if offset}

    def _tables(self, at: int, schema: Schema) -> list[Table]:
        count = self._count(at, 4)
        if count > _MOST_ITEMS:
            raise ValueError(f"it has {count} parts of one kind")
        return [self._table(self._followed(at + 4 + 4 * k), schema) for k in range(count)]

    def _vector(self, at: int, code: str) -> NDArray[np.generic]:
        size = _SCALARS[code]
        count = self._count(at, size)
        if (at + 4) % size:
            raise ValueError(f"it is damaged at byte {at}")
        return np.frombuffer(self._data, f"<{code}", count, at + 4)

    def _text(self, at: int) -> bytes:
        text = self._vector(at, "u1").tobytes()
        if self._data[at + 4 + len(text) : at + 5 + len(text)] != b"\0":
            raise ValueError(f"a text at byte {at} has no end")
        return text

    def _count(self, at: int, size: int) -> int:
        count = int(self._scalar("u4", at))
        if count * size > len(self._data) - at - 4:
            raise ValueError(f"it is damaged at byte {at}")
        return count


def tables(schema: Schema) -> Field:
    """A field that is a vector of tables."""
    return Field("tables", schema=schema)


def vector(code: str) -> Field:
    """A field that is a vector of numbers."""
    return Field("vector", code)


def scalars(*codes: str) -> Schema:
    """A table of scalars."""
    return {number: Field(code) for number, code in enumerate(codes)}
