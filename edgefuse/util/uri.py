"""URI grammar of sources and sinks.

    KIND[:TARGET[,TARGET]][?KEY=VALUE[&KEY=VALUE]...]
    video:TARGET[?KEY=VALUE[&KEY=VALUE]...],TARGET[?KEY=VALUE[&KEY=VALUE]...]

KIND is a registered name (`folder`, `video`, `demo`, ...). TARGETs are paths, separated by commas. In a path, write %2C for a comma,
%3F for a question mark and %25 for a percent sign; nothing else needs escaping. `~` is the home folder. Options are converted by
their reader; an unknown option is an error that lists the known ones. docs/reference/sources.md has examples of every kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from edgefuse.errors import SettingsError
from edgefuse.util import secrets

T = TypeVar("T")
# a pair of cameras is named visible=CAMERA,infrared=CAMERA: the second one is no part of the first one's URL
_NEXT_CAMERA = r",(?:visible|infrared)=[a-zA-Z][a-zA-Z0-9+.-]*:"
_URL = re.compile(rf"([a-zA-Z][a-zA-Z0-9+.-]*://)((?:(?!{_NEXT_CAMERA})\S)+)")
_QUOTES = re.compile(r"['\"]")
_LOGIN = re.compile(r"(user(?:name)?|login|pass(?:word|wd)?|pwd|pw|token|key|secret|auth)=.*", re.IGNORECASE)
_LOGIN_PART = re.compile(r"/[^/:\s]+:[^/\s]+")
_KIND = re.compile(r"[a-z][a-z0-9_-]*\Z")


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed URI. `text` is as given; targets and options are unescaped.

    own: each target's own options, where the kind has such; `options` is then empty.
    """

    text: str
    kind: str
    targets: tuple[str, ...]
    options: Mapping[str, str]
    own: tuple[Mapping[str, str], ...] = ()

    def paths(self, *counts: int) -> tuple[Path, ...]:
        """Return the targets as paths. Raises SettingsError unless their number is one of `counts`."""
        if len(self.targets) not in counts:
            wanted = " or ".join(str(c) for c in counts)
            raise SettingsError(
                f"{self.text}: expected {wanted} path{'s' if counts[-1] > 1 else ''} after '{self.kind}:', got {len(self.targets)}"
            )
        return tuple(expand(t) for t in self.targets)

    def option(self, key: str, default: T, convert: Callable[[str], T], target: int | None = None) -> T:
        """Return the option `key` converted by `convert`, or `default`. target: number of the target whose own option it is.

        Raises SettingsError for an invalid value.
        """
        options = self.options if target is None else self.own[target]
        if key not in options:
            return default
        try:
            return convert(options[key])
        except ValueError as e:
            raise SettingsError(f"{self.text}: option {key}={options[key]}: {e}") from None

    def allow(self, *keys: str) -> None:
        """Raise SettingsError for an option that is not one of `keys`."""
        for key in (*self.options, *(k for own in self.own for k in own)):
            if key not in keys:
                raise SettingsError(f"{self.text}: '{self.kind}' has no option '{key}'; known options: {', '.join(keys) or 'none'}")


def safe(text: str) -> str:
    """Replace the secrets of the settings, and user, password and query of the URLs in a text by ***.

    A URL extends to the next blank or to the second camera of a pair; where no @ follows, to the next quotation mark. Credentials in its
    path (user=NAME_password=...) are replaced with all that follows.
    """
    return _URL.sub(lambda match: match[1] + _bare(match[2]), secrets.hide(text))


def _bare(rest: str) -> str:
    # an unescaped password may contain a slash, a question mark or a quotation mark
    login, at, place = rest.rpartition("@")
    if at and "?" in login and "/" in login.partition("?")[0]:
        # the @ stands in the query, or the password has both signs: show neither
        return "***?***"
    end = _QUOTES.search(place)
    place, after = (place[: end.start()], place[end.start() :]) if end else (place, "")
    if "://" in after:
        after = _URL.sub(lambda match: match[1] + _bare(match[2]), after)
    place, query, _ = place.partition("?")
    host, slash, path = place.partition("/")
    path = _LOGIN_PART.sub("/***", _LOGIN.sub(r"\1=***", slash + path))
    return ("***@" if at else "") + host + path + ("?***" if query else "") + after


def expand(path: str) -> Path:
    """Expand a leading ~ or ~USER. Raises SettingsError for an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError(f"{path}: unknown user; give the full path") from None


def parse(text: str, per_target: frozenset[str] = frozenset()) -> Uri:
    """Parse a URI. per_target: kinds each of whose targets has its own options. Raises SettingsError, which quotes the grammar."""
    if not isinstance(text, str):
        raise SettingsError(f"{text!r} is a {type(text).__name__}; give a text such as 'folder:pairs'")
    kind, has_targets, rest = text.partition(":")
    if has_targets and kind in per_target:
        parts = [part.partition("?") for part in rest.split(",")]
        read = [_options(tail) if has else {} for _, has, tail in parts]
        targets, options, own = tuple(unquote(head) for head, _, _ in parts), {}, tuple(o or {} for o in read)
        ok = None not in read
    else:
        head, has_options, tail = text.partition("?")
        kind, has_targets, rest = head.partition(":")
        targets, own = tuple(unquote(t) for t in rest.split(",")) if has_targets else (), ()
        given = _options(tail) if has_options else {}
        ok, options = given is not None, given or {}
    if not ok or not _KIND.match(kind) or not all(targets) or "\0" in unquote(text):
        raise SettingsError(f"{text!r} is not KIND[:PATH[,PATH]][?KEY=VALUE&...], such as folder:pairs or demo?scene=night")
    return Uri(text, kind, targets, options, own)


def _options(text: str) -> dict[str, str] | None:
    """Return KEY=VALUE&KEY=VALUE unescaped; None where that is not its form or a key comes twice."""
    options: dict[str, str] = {}
    for item in text.split("&"):
        raw_key, has_value, value = item.partition("=")
        key = unquote(raw_key)
        if not key or not has_value or key in options:
            return None
        options[key] = unquote(value)
    return options


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a converter to an integer from low to high."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return convert


def real(low: float, high: float) -> Callable[[str], float]:
    """Return a converter to a decimal number from low to high."""

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
    """Convert WIDTHxHEIGHT in pixels, 16 to 4096 each."""
    match = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text)
    if not match or not all(16 <= int(n) <= 4096 for n in match.groups()):
        raise ValueError("expected WIDTHxHEIGHT, 16 to 4096 pixels each, such as 640x480")
    return int(match[1]), int(match[2])


def choice(*values: str) -> Callable[[str], str]:
    """Return a converter that accepts one of `values`."""

    def convert(text: str) -> str:
        if text not in values:
            raise ValueError(f"expected one of {', '.join(values)}")
        return text

    return convert
