"""The one URI grammar of sources and sinks:

    KIND[:TARGET[,TARGET]][?KEY=VALUE[&KEY=VALUE]...]

KIND is a registered name (`folder`, `video`, `demo`, ...). TARGETs are paths, split at commas. In a path, write %2C for a comma,
%3F for a question mark and %25 for a percent sign; nothing else needs escaping. `~` is the home folder. Options are typed by
whoever reads them; an unknown one is an error that lists the known ones. docs/reference/sources.md shows every kind with examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from edgefuse.errors import SettingsError

T = TypeVar("T")
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s'\"]+)")
_KIND = re.compile(r"[a-z][a-z0-9_-]*\Z")


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed URI. `text` is as given; targets and options are unescaped."""

    text: str
    kind: str
    targets: tuple[str, ...]
    options: Mapping[str, str]

    def paths(self, *counts: int) -> tuple[Path, ...]:
        """The targets as paths; SettingsError unless there are as many as one of `counts`."""
        if len(self.targets) not in counts:
            wanted = " or ".join(str(c) for c in counts)
            raise SettingsError(
                f"{self.text}: expected {wanted} path{'s' if counts[-1] > 1 else ''} after '{self.kind}:', got {len(self.targets)}"
            )
        return tuple(expand(t) for t in self.targets)

    def option(self, key: str, default: T, convert: Callable[[str], T]) -> T:
        """The option `key` through `convert`, or `default`; SettingsError where it can't be converted."""
        if key not in self.options:
            return default
        try:
            return convert(self.options[key])
        except ValueError as e:
            raise SettingsError(f"{self.text}: option {key}={self.options[key]}: {e}") from None

    def allow(self, *keys: str) -> None:
        """SettingsError where an option is not one of `keys`."""
        for key in self.options:
            if key not in keys:
                raise SettingsError(f"{self.text}: '{self.kind}' has no option '{key}'; it knows {', '.join(keys) or 'none'}")


def safe(text: str) -> str:
    """`text` without what its URLs keep secret: user, password and query are written ***. What follows a URL to the next blank or
    quotation mark is taken for a part of it."""
    return _URL.sub(lambda found: found[1] + _bare(found[2]), text)


def _bare(rest: str) -> str:
    place, query, _ = rest.partition("?")
    # a password may hold a slash or a question mark that should have been escaped
    _, at, host = place.rpartition("@")
    if not at and "@" in rest:
        host = "***"
    return ("***@" if at else "") + host + ("?***" if query else "")


def expand(path: str) -> Path:
    """`path` with a leading ~ or ~USER made a home folder. Raises SettingsError for a user that is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError(f"{path}: there is no such user's home; give the whole path") from None


def parse(text: str) -> Uri:
    """Raises SettingsError, which quotes the grammar, for what does not follow it."""
    if not isinstance(text, str):
        raise SettingsError(f"{text!r} is a {type(text).__name__}; give a text such as 'folder:pairs'")
    head, has_options, tail = text.partition("?")
    kind, has_targets, rest = head.partition(":")
    targets = tuple(unquote(t) for t in rest.split(",")) if has_targets else ()
    options: dict[str, str] = {}
    ok = bool(_KIND.match(kind)) and all(targets)
    for item in tail.split("&") if has_options else ():
        raw_key, has_value, value = item.partition("=")
        key = unquote(raw_key)
        ok = ok and bool(key) and bool(has_value) and key not in options
        options[key] = unquote(value)
    if not ok or "\0" in unquote(text):
        raise SettingsError(f"{text!r} is not KIND[:PATH[,PATH]][?KEY=VALUE&...], such as folder:pairs or demo?scene=night")
    return Uri(text, kind, targets, options)


def whole(low: int, high: int) -> Callable[[str], int]:
    """A converter: a whole number from low to high."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return convert


def real(low: float, high: float) -> Callable[[str], float]:
    """A converter: a decimal number from low to high."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return value

    return convert


def size(text: str) -> tuple[int, int]:
    """A converter: WIDTHxHEIGHT in pixels, 16 to 4096 each."""
    match = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text)
    if not match or not all(16 <= int(n) <= 4096 for n in match.groups()):
        raise ValueError("expected WIDTHxHEIGHT, 16 to 4096 pixels each, such as 640x480")
    return int(match[1]), int(match[2])


def choice(*values: str) -> Callable[[str], str]:
    """A converter: one of `values`."""

    def convert(text: str) -> str:
        if text not in values:
            raise ValueError(f"expected one of {', '.join(values)}")
        return text

    return convert
