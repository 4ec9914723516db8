"""JSON from a file, parsed in bounded memory: a small text may hold millions of empty objects."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 1 << 23
# most of each sign: a number takes up to 40 bytes of memory, a string or an empty container 80, a key 150
_MAX_SIGNS = {",": 3 << 18, '"': 1 << 18, "[": 1 << 15, "{": 1 << 15}


def is_small(text: bytes | str) -> bool:
    """Return whether `text` has few enough bytes and values to be parsed in 64 MB."""
    if len(text) > MAX_BYTES:
        return False
    if isinstance(text, str):
        return all(text.count(sign) <= most for sign, most in _MAX_SIGNS.items())
    return all(text.count(sign.encode()) <= most for sign, most in _MAX_SIGNS.items())


def loads(text: bytes | str) -> Any:
    """Parse `text`. Raises ValueError if it is not JSON, or too large."""
    if not is_small(text):
        raise ValueError(f"more than {MAX_BYTES} bytes, or too many values")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
