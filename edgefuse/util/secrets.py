"""The passwords, keys and tokens of this process: noted where settings are read, and replaced by *** wherever text leaves it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

MASK = "***"
_SHORTEST = 4  # a shorter one would mask parts of ordinary words
_lock = threading.Lock()
_known: frozenset[str] = frozenset()
_pattern: re.Pattern[str] | None = None
_IN_URL = re.compile(r"(?:pass(?:word|wd)?|pwd|pw|token|key|secret|auth)=([^&?#;/\s]+)", re.IGNORECASE)


def note(*values: object) -> None:
    """Note secrets, which `hide` replaces from now on, as they are, quoted as in a URL, and escaped as in a Python string."""
    global _known, _pattern
    new = set()
    for value in values:
        text = str(value)
        for form in (text, unquote(text), quote(text, safe=""), quote(unquote(text), safe=""), repr(text)[1:-1]):
            if len(form) >= _SHORTEST:
                new.add(form)
    with _lock:
        if not new <= _known:
            _known |= new
            # the longest first, because one may contain another
            _pattern = re.compile("|".join(map(re.escape, sorted(_known, key=len, reverse=True))))


def note_urls(value: object) -> None:
    """Note the passwords in the URLs of a settings value, which may be a list or a table."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in value:
            note_urls(item)
        return
    if not isinstance(value, str) or "://" not in value:
        return
    rest = value.partition("://")[2]
    # an unescaped password may contain any sign, so user and password extend to the last @
    login, at, place = rest.rpartition("@")
    if at:
        user, colon, password = login.partition(":")
        note(login, *([password] if colon else [user]))
        if "#" in password:
            # a part of it is taken for the URL's fragment
            note(*password.split("#"))
    note(*_IN_URL.findall(place if at else rest))


def hide(text: str) -> str:
    """Replace all noted secrets in `text` by ***."""
    pattern = _pattern
    return pattern.sub(MASK, text) if pattern else text
