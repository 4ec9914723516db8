"""Loads all settings into one validated object. Precedence: command line, environment, settings file, defaults.

The file is TOML with one table per part of EdgeFuse (edgefuse.settings.tables). EDGEFUSE_RUN_MODEL sets [run]'s model; lists are
separated by blanks, with shell quoting. msgspec checks the types; it is imported only when a file or a variable has to be read.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin

from edgefuse.errors import MissingDependencyError, SettingsError
from edgefuse.settings import tables
from edgefuse.settings.check import check, hints, shown_value, suggestion, type_text
from edgefuse.settings.run import RunSettings, make, merge
from edgefuse.util import secrets
from edgefuse.util.uri import expand, safe

Values = dict[str, Any]  # of a table; of a repeatable table: name -> values
_PREFIX = "EDGEFUSE_"
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settings:
    """Loaded settings.

    run: the table [run]. tables: the other tables that were set, by name; for a repeatable table a mapping of names.
    origins: "run.model" -> "/etc/edgefuse.toml:3", "EDGEFUSE_RUN_MODEL" or "--model"; keys that are not in it have their default.
    """

    run: RunSettings
    tables: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


def load(
    path: Path | None,
    environment: Mapping[str, str] = _NONE,
    given: Mapping[str, Mapping[str, Any]] = _NONE,
    source_required: bool = True,
    text: str | None = None,
) -> Settings:
    """Load the settings.

    path: the file, if any. text: what it is to contain, instead of what it contains. environment: as `os.environ`. given: table -> values,
    typed, from the command line. source_required: refuse settings without a source. Raises SettingsError, which names file (or variable,
    or option), key and what was expected; MissingDependencyError without msgspec.
    """
    _note_secrets(given)
    file, lines = read(path, text) if path else ({}, {})
    variables, names = _from_environment(environment, file)
    origins = {**lines, **names}
    merged: dict[str, Values] = {}
    for table in tables.TABLES:
        if table in tables.REPEATABLE:
            both = file.get(table, {}).keys() | variables.get(table, {}).keys()
            ordered = sorted(both)
            if ordered:
                merged[table] = {n: {**file.get(table, {}).get(n, {}), **variables.get(table, {}).get(n, {})} for n in ordered}
        elif table == "run":
            merged[table] = merge(file.get("run", {}), variables.get("run", {}))
        elif any(table in layer for layer in (file, variables, given)):
            over = check(tables.kind(table), given.get(table, {}), "--", dashes=True)
            merged[table] = {**file.get(table, {}), **variables.get(table, {}), **over}
    for table, values in given.items():
        for key in values:
            option = key if table == "run" else next(f.metadata["option"] for f in fields(tables.kind(table)) if f.name == key)
            origins[f"{table}.{key}"] = "--" + option.replace("_", "-")
    run = make(merged.pop("run"), given.get("run", {}), source_required)
    return Settings(run, {t: _build(t, v, path) for t, v in merged.items()}, origins)


def _build(table: str, values: Values, path: Path | None) -> Any:
    kind, name = tables.kind(table), table
    try:
        if table not in tables.REPEATABLE:
            return kind(**values)
        instances = {}
        for one, fields_ in values.items():
            name = f"{table}.{one}"
            instances[one] = kind(**fields_)
        return instances
    except (SettingsError, TypeError) as e:
        missing = [f"'{n}'" for n in _needed(kind, values if name == table else values[name.partition(".")[2]])]
        message = f"{', '.join(missing)} missing; give {'it' if len(missing) == 1 else 'them'}" if missing else str(e)
        raise SettingsError(f"{f'{path}: ' if path else ''}{name}: {message}") from None


def _needed(kind: type[Any], values: Values) -> list[str]:
    from dataclasses import MISSING

    return [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING and f.name not in values]


def read(path: Path, text: str | None = None) -> tuple[dict[str, Values], dict[str, str]]:
    """Read a file, or `text` as if it were in it. Returns its tables with checked values, and "run.model" -> its place in the file.

    Raises as `load`.
    """
    text = _text(path) if text is None else text
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as e:
        # TOMLDecodeError, or ValueError for a number of thousands of digits
        raise SettingsError(f"{path}: not valid TOML ({e})") from None
    _note_secrets(raw)
    known = tables.TABLES
    for table, values in raw.items():
        if table not in known:
            raise SettingsError(f"{path}: unknown table or key '{table}'; {suggestion(table, known, brackets=True)}")
        several = table in tables.REPEATABLE
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: '{table}' must be a table: [{table}{'.NAME' if several else ''}]")
        for name, its in values.items() if several else ():
            if not isinstance(its, dict):
                raise SettingsError(f"{path}: '{table}.{name}' must be a table: [{table}.{name}]")
    values = {t: _checked(t, v, f"{path}: ") for t, v in raw.items()}
    return values, _lines(path, text, values)


def _note_secrets(values: Mapping[str, Any]) -> None:
    """Note the secrets in unchecked tables, so that no error about them shows one."""
    secrets.note_urls(values)
    for table, its in values.items():
        if table in tables.TABLES and isinstance(its, Mapping):
            hidden = {f.name for f in fields(tables.kind(table)) if f.metadata.get("secret")}
            secrets.note(*(value for key, value in its.items() if key in hidden and isinstance(value, str | int | float)))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as e:
        raise SettingsError(f"cannot read {path}: {e.strerror}; give an existing settings file") from None
    except UnicodeDecodeError as e:
        raise SettingsError(f"{path}: not valid TOML ({e})") from None


def _checked(table: str, values: Values, where: str) -> Values:
    kind = tables.kind(table)
    if table in tables.REPEATABLE:
        return {name: _typed(kind, its, f"{where}{table}.{name}.") for name, its in values.items()}
    return _typed(kind, values, f"{where}{table}.")


def _typed(kind: type[Any], values: Values, where: str) -> Values:
    """Return `values` checked and converted to the types of the table `kind`, with secrets read from their files."""
    secrets = {key: secret for key in values if (secret := _secret(kind, key)) is not None}
    types_ = hints(kind)
    plain = check(kind, {k: v for k, v in values.items() if k not in secrets}, where)
    known = {f.name: f for f in fields(kind)}
    converted = {key: convert(value, types_[key], where + key, field=known[key]) for key, value in plain.items()}
    for key, secret in secrets.items():
        if secret in converted:
            raise SettingsError(f"{where}{key}: {secret} is given too; give only one of them")
        converted[secret] = _secret_file(values[key], where + key)
    return converted


def convert(value: Any, hint: Any, where: str, text: bool = False, field: Field[Any] | None = None) -> Any:
    """Convert `value` to the type `hint`. text: it comes from a variable. field: it is for. Raises SettingsError that begins with
    `where`."""
    try:
        import msgspec
    except ImportError:
        raise MissingDependencyError("msgspec", where if text else "a settings file", "'edgefuse[config]'") from None
    try:
        return msgspec.convert(value, hint, strict=not text)
    except (msgspec.ValidationError, OverflowError):
        raise SettingsError(f"{where} = {shown_value(value, field)}: expected {type_text(hint)}") from None


def _secret(kind: type[Any], key: str) -> str | None:
    """Return the secret field whose file `key` names, or None."""
    return next((f.name for f in fields(kind) if f.metadata.get("secret") and key == f.name + "_file"), None)


def _secret_file(value: Any, where: str) -> str:
    path = convert(value, str, where)
    try:
        text = expand(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else "not UTF-8 text"
        raise SettingsError(f"{where} = {path!r}: cannot read it ({why}); give a file that contains only the secret") from None
    if not text:
        raise SettingsError(f"{where} = {path!r}: the file is empty; give one that contains only the secret")
    secrets.note(text)
    return text


def _from_environment(environment: Mapping[str, str], file: Mapping[str, Values]) -> tuple[dict[str, Values], dict[str, str]]:
    """Return (values by table, "run.model" -> variable name) from EDGEFUSE_TABLE_KEY variables."""
    tables_: dict[str, Values] = {}
    origins: dict[str, str] = {}
    for variable in sorted(environment):
        table, _, rest = variable.removeprefix(_PREFIX).lower().partition("_")
        if not variable.startswith(_PREFIX) or table not in tables.TABLES or not rest:
            continue
        kind = tables.kind(table)
        names = [f.name for f in fields(kind)] + [f.name + "_file" for f in fields(kind) if f.metadata.get("secret")]
        target, path, key = tables_.setdefault(table, {}), table, rest
        if table in tables.REPEATABLE:
            key = max((n for n in names if rest.endswith("_" + n)), key=len, default="")
            name = rest.removesuffix("_" + key) if key else ""
            name = next((n for n in file.get(table, {}) if n.lower() == name), name)
            target, path = target.setdefault(name, {}), f"{table}.{name}"
        if key not in names:
            raise SettingsError(f"{variable}: unknown setting of [{table}]; {suggestion(rest, names)}")
        _note_secrets({table: {key: environment[variable]}})
        target |= _variable(kind, key, environment[variable], variable)
        origins[f"{path}.{_secret(kind, key) or key}"] = variable
    return tables_, origins


def _variable(kind: type[Any], key: str, text: str, variable: str) -> Values:
    if (secret := _secret(kind, key)) is not None:
        return {secret: _secret_file(text, variable)}
    hint = hints(kind)[key]
    value: Any = text
    if any(get_origin(h) is tuple for h in (hint, *get_args(hint))):
        try:
            value = shlex.split(text)
        except ValueError as e:
            raise SettingsError(f"{variable} = {safe(repr(text))}: expected {type_text(hint)} separated by blanks ({e})") from None
    converted = convert(value, hint, variable, text=True, field=next(f for f in fields(kind) if f.name == key))
    try:
        return check(kind, {key: converted}, "")
    except SettingsError as e:
        raise SettingsError(variable + str(e).removeprefix(key)) from None


_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def _lines(path: Path, text: str, file: Mapping[str, Values]) -> dict[str, str]:
    """Return "run.model" -> "FILE:LINE" where the line is unambiguous, else "FILE"."""
    seen: dict[str, list[int]] = {}
    header = ""
    for number, line in enumerate(text.split("\n"), 1):
        if match := _HEADER.match(line):
            header = re.sub(r"[\s\"']", "", match[1]) + "."
        elif match := _KEY.match(line):
            seen.setdefault(header + match[1], []).append(number)
    origins = {}
    for table, values in file.items():
        rows = values.items() if table in tables.REPEATABLE else [("", values)]
        for name, its in rows:
            kind, place = tables.kind(table), f"{table}.{name}." if name else f"{table}."
            for key in its:
                at = seen.get(place + key) or seen.get(f"{place}{key}_file" if _secret(kind, key + "_file") else "") or []
                origins[place + key] = f"{path}:{at[0]}" if len(at) == 1 else str(path)
    return origins
