"""Settings that may be changed while a run goes on, from its page: none that names a file, a program, an address or a secret."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, Literal, Union, get_args, get_origin

from edgefuse import registry
from edgefuse.errors import SettingsError
from edgefuse.settings import tables
from edgefuse.settings.check import check, hints, suggestion
from edgefuse.settings.file import Settings, convert
from edgefuse.settings.region import RegionSettings

Kind = Literal["choice", "words", "flag", "whole", "number", "text"]
LIVE: Mapping[str, tuple[str, ...]] = {
    "run": (
        "view", "palette", "isotherm", "overlay", "camera_name", "colour", "sharpness", "targets", "steady", "agc", "infrared_polarity",
    ),
    "thermal": ("unit", "emissivity", "reflected_celsius", "distance_m", "air_celsius", "humidity_percent"),
    "alarm": ("above", "below", "measure", "pixels", "hysteresis", "duration", "cooldown"),
    "recording": ("mode", "before_s", "after_s"),
}  # fmt: skip
_ALWAYS = ("run", "thermal")  # tables that need not be in the file
_MOST_CHANGES = 64


@dataclass(frozen=True, slots=True)
class LiveSetting:
    """A setting as a form shows it.

    key: "run.view", "alarm.stove.above". value: now in use for the next reload; None for none. choices: of a choice and of words.
    least, most: of a number. optional: None is a value. fixed: the option or variable that has precedence over the file; "" for none.
    """

    key: str
    kind: Kind
    help: str
    value: Any
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    optional: bool = False
    fixed: str = ""


def described(given: Settings) -> list[LiveSetting]:
    """Return the settings that can be changed, in the order of their tables."""
    settings = []
    for table, name, values in _instances(given):
        known = {f.name: f for f in fields(tables.kind(table))}
        for key in LIVE[table]:
            value = getattr(values, key)
            if table == "alarm" and key in ("above", "below") and value is None:
                continue  # an alarm has one of them
            path = f"{table}.{name}.{key}" if name else f"{table}.{key}"
            settings.append(_described(path, table, known[key], value, _fixed(given, path)))
    return settings


def _instances(given: Settings) -> Iterator[tuple[str, str, Any]]:
    """Yield (table, name or "", values) of each table with settings to change."""
    for table in LIVE:
        if table == "run":
            yield table, "", given.run
        elif table in tables.REPEATABLE:
            yield from ((table, name, values) for name, values in given.tables.get(table, {}).items())
        elif table in given.tables or table in _ALWAYS:
            yield table, "", given.tables.get(table) or tables.kind(table)()


def _fixed(given: Settings, path: str) -> str:
    origin = given.origins.get(path, "")
    return origin if origin.startswith(("--", "EDGEFUSE_")) else ""


def _described(path: str, table: str, f: Field[Any], value: Any, fixed: str) -> LiveSetting:
    hint = hints(tables.kind(table))[f.name]
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    optional, one = type(None) in parts, next(p for p in parts if p is not type(None))
    kind, choices = _kind(one)
    if path == "run.view":
        kind, choices = "choice", tuple(registry.names("edgefuse.views"))
    shown = list(value) if isinstance(value, tuple) else value
    return LiveSetting(
        path, kind, f.metadata["help"], shown, choices, f.metadata.get("min"), f.metadata.get("max"), optional or kind == "text", fixed
    )


def _kind(hint: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(hint) is Literal:
        return "choice", get_args(hint)
    if get_origin(hint) is tuple:
        return "words", get_args(get_args(hint)[0])
    kinds: dict[Any, Kind] = {bool: "flag", int: "whole", float: "number", str: "text"}
    return kinds[hint], ()


def changes(given: Settings, wanted: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Return checked changes for `edit.changed`, from JSON values by key. None removes a key; "region.NAME" removes a region.

    Raises SettingsError for a key that can't be changed so, and for a value of a wrong type or out of range.
    """
    if len(wanted) > _MOST_CHANGES:
        raise SettingsError(f"{len(wanted)} changes at once; make at most {_MOST_CHANGES}")
    known = {one.key: one for one in described(given)}
    return {tuple(key.split(".")): _checked(given, known, key, value) for key, value in wanted.items()}


def _checked(given: Settings, known: Mapping[str, LiveSetting], key: str, value: Any) -> Any:
    table, *rest = key.split(".")
    if table == "region" and rest:
        if fixed := _fixed(given, f"region.{rest[0]}.shape"):
            raise SettingsError(f"region.{rest[0]} is set by {fixed}, which has precedence over the file")
        if len(rest) == 1 and value is None:
            return None
        if len(rest) == 2 and rest[1] == "shape" and isinstance(value, str):
            RegionSettings(shape=value)
            return value
    one = known.get(key)
    if one is None:
        raise SettingsError(f"{key} can't be changed from here; {suggestion(key, known)}")
    if one.fixed:
        raise SettingsError(f"{key} is set by {one.fixed}, which has precedence over the file")
    if value is None or (one.kind == "text" and value == ""):
        if not one.optional:
            raise SettingsError(f"{key}: expected a value")
        return None
    kind, field = tables.kind(table), key.rpartition(".")[2]
    converted = convert(value, hints(kind)[field], key, field=next(f for f in fields(kind) if f.name == field))
    return check(kind, {field: converted}, key.removesuffix(field))[field]
