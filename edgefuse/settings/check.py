"""Is a value what a field of a settings table asks for? One table is one dataclass: its types and its fields' metadata say all.

metadata: help (a line for --help and docs/settings.md), min and max (of a number, or of each in a list), secret (masked where it is
shown; KEY_file names a file that holds it), option (a table's field that is an option of `edgefuse run`, too: its name without --),
const (what the option alone stands for), metavar.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgefuse.errors import SettingsError
from edgefuse.util.uri import safe


def check(kind: type[Any], values: Mapping[str, Any], where: str, dashes: bool = False) -> dict[str, Any]:
    """`values` of the right types for the table `kind`, lists made tuples. Raises SettingsError for an unknown key or a value that is out
    of range; `where` stands before the key. Types are not looked at: `edgefuse.settings.file` does, the command line has them."""
    known, types_ = {f.name: f for f in fields(kind)}, hints(kind)
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise SettingsError(f"{where}{key}: unknown key; {near(key, known)}")
        value = tuple(value) if isinstance(value, list) else value
        if wanted := out_of_range(value, types_[key], known[key]):
            shown = where + (key.replace("_", "-") if dashes else key)
            raise SettingsError(f"{shown} = {safe(repr(value))}: expected {wanted}")
        checked[key] = value
    return checked


def hints(kind: type[Any]) -> dict[str, Any]:
    """Each field's type."""
    return get_type_hints(kind)


def near(wrong: str, known: Iterable[str], brackets: bool = False) -> str:
    """What was meant by a mistyped name, or all there is."""
    names = list(known)
    found = difflib.get_close_matches(wrong, names, 1)
    shown = [f"[{n}]" if brackets else n for n in found or names]
    return f"did you mean {shown[0]}?" if found else f"there is {', '.join(shown)}"


def out_of_range(value: Any, hint: Any, field: Field[Any]) -> str | None:
    """None for a value a field can take, else what was expected, in words."""
    low, high = field.metadata.get("min"), field.metadata.get("max")
    for one in (hint, *get_args(hint)):
        if get_origin(one) is Literal and value is not None and value not in get_args(one):
            return expected(hint)
    for leaf in _leaves(value):
        if leaf == "":
            return "some text"
        if isinstance(leaf, int | float) and not isinstance(leaf, bool):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                return expected(hint)
            if (low is not None and leaf < low) or (high is not None and leaf > high):
                return f"{expected(hint)} {between(low, high)}"
    return None


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        yield value
        return
    for item in value:
        yield from _leaves(item)


def between(low: float | None, high: float | None) -> str:
    """A range in words; one of its ends may be open."""
    least, most = (f"{n:g}" if isinstance(n, float) else str(n) for n in (low, high))
    if low is None:
        return f"of at most {most}"
    return f"of at least {least}" if high is None else f"from {least} to {most}"


_ONE = {bool: "true or false", float: "a number", int: "a whole number", str: "a text", types.NoneType: "nothing"}
_MANY = {float: "numbers", int: "whole numbers", str: "texts"}


def expected(hint: Any) -> str:
    """What a type takes, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(expected(a) for a in args if a is not types.NoneType)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple:
        items = _MANY.get(args[0], "lists")
        return f"a list of {items}" if args[-1] is ... else f"a list of {len(args)} {items}"
    return _ONE.get(hint, "a table")
