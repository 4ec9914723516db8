"""The last step of every line for people: no secret, and no control character that a terminal or a log would obey."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edgefuse.util.uri import safe

_PIECE = 1 << 12  # characters
T = TypeVar("T")


def printable(text: str, keep: str = "") -> str:
    """Return `text` with control characters, line breaks and other unprintable characters escaped as in Python, but for those in `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] if len(repr(c)) > 3 else f"\\x{ord(c):02x}" for c in text)


def line(text: str) -> str:
    """Return `text` as one line for a terminal or a log, without secrets."""
    return printable(safe(text))


def lines(text: str) -> str:
    """Return several lines for a terminal or a log, without secrets."""
    return printable(safe(text), "\n")


def plain(text: str, keep_lines: bool = False) -> str:
    """Return text from a file with a blank for each character that is not printable, control and format characters included.

    keep_lines: keep line breaks, as "\\n".
    """
    if text.isprintable():
        return text
    kept = text.replace("\r\n", "\n").replace("\r", "\n") if keep_lines else text
    # in pieces, as a list of all characters takes eight times the text
    pieces = (kept[at : at + _PIECE] for at in range(0, len(kept), _PIECE))
    return "".join("".join(c if c.isprintable() or (keep_lines and c == "\n") else " " for c in piece) for piece in pieces)


def clean(value: T) -> T:
    """Return JSON values with the texts in them as `line` does it, and keys as `printable` does it."""
    return _converted(value, line)


def escaped(value: T) -> T:
    """Return JSON values with the texts and keys in them as `printable` does it."""
    return _converted(value, printable)


def _converted(value: Any, convert: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return convert(value)
    if isinstance(value, Mapping):
        return {printable(key) if isinstance(key, str) else key: _converted(item, convert) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_converted(item, convert) for item in value]
    return value
