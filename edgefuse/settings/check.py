"""Validation of settings tables. A table is a dataclass; its types and its fields' metadata define the valid values.

metadata: help (a line for --help and docs/reference/settings.md), min and max (of a number, or of each in a list), secret (masked when
shown; KEY_file names a file that holds it), option (name, without --, of the `edgefuse run` option that sets the field), const (value of
the option without an argument), metavar.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgefuse.errors import SettingsError
from edgefuse.util import secrets
from edgefuse.util.uri import safe


def check(kind: type[Any], values: Mapping[str, Any], where: str, dashes: bool = False) -> dict[str, Any]:
    """Return `values` in the table's types, with lists as tuples.

    `where` is the prefix of the key in messages. Raises SettingsError for an unknown key or a value out of range. Types are not checked:
    `edgefuse.settings.file` and the command line do that.
    """
    known, types_ = {f.name: f for f in fields(kind)}, hints(kind)
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise SettingsError(f"{where}{key}: unknown key; {suggestion(key, known)}")
        value = tuple(value) if isinstance(value, list) else value
        if wanted := expected_instead(value, types_[key], known[key]):
            shown = where + (key.replace("_", "-") if dashes else key)
            raise SettingsError(f"{shown} = {shown_value(value, known[key])}: expected {wanted}")
        checked[key] = value
    return checked


def shown_value(value: Any, field: Field[Any] | None) -> str:
    """Return a value as an error may show it: *** for a secret, whatever its type."""
    return secrets.MASK if field is not None and field.metadata.get("secret") else safe(repr(value))


def hints(kind: type[Any]) -> dict[str, Any]:
    """Return each field's type."""
    return get_type_hints(kind)


def suggestion(wrong: str, known: Iterable[str], brackets: bool = False) -> str:
    """Return a hint for a mistyped name: the closest known name, or all of them."""
    names = list(known)
    matches = difflib.get_close_matches(wrong, names, 1)
    shown = [f"[{n}]" if brackets else n for n in matches or names]
    return f"did you mean {shown[0]}?" if matches else f"choose from {', '.join(shown)}"


def expected_instead(value: Any, hint: Any, field: Field[Any]) -> str | None:
    """Return None for a valid value, else a description of the valid ones."""
    low, high = field.metadata.get("min"), field.metadata.get("max")
    for one in (hint, *get_args(hint)):
        several = value if get_origin(hint) is tuple and isinstance(value, list | tuple) else (value,)
        if get_origin(one) is Literal and any(v is not None and v not in get_args(one) for v in several):
            return type_text(hint)
    for leaf in _leaves(value):
        if leaf == "":
            return "a non-empty string"
        if isinstance(leaf, int | float) and not isinstance(leaf, bool):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                return type_text(hint)
            if (low is not None and leaf < low) or (high is not None and leaf > high):
                return f"{type_text(hint)} {range_text(low, high)}"
    return None


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        yield value
        return
    for item in value:
        yield from _leaves(item)


def range_text(low: float | None, high: float | None) -> str:
    """Describe a range in words; one of its ends may be open."""
    least, most = (f"{n:g}" if isinstance(n, float) else str(n) for n in (low, high))
    if low is None:
        return f"of at most {most}"
    return f"of at least {least}" if high is None else f"from {least} to {most}"


_SINGULAR = {bool: "true or false", float: "a number", int: "a whole number", str: "a string", types.NoneType: "nothing"}
_PLURAL = {float: "numbers", int: "whole numbers", str: "strings"}


def type_text(hint: Any) -> str:
    """Describe the values that a type accepts, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(a) for a in args if a is not types.NoneType)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is tuple:
        literal = get_origin(args[0]) is Literal
        items = f"words of {', '.join(map(str, get_args(args[0])))}" if literal else _PLURAL.get(args[0], "lists")
        return f"a list of {items}" if args[-1] is ... else f"a list of {len(args)} {items}"
    return _SINGULAR.get(hint, "a table")
