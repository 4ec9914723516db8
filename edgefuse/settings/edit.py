"""Changes values in a settings file, with its comments and its layout kept (tomlkit), and never over another's change."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from edgefuse.errors import MissingDependencyError, SettingsError
from edgefuse.util import files

Key = tuple[str, ...]  # ("run", "view"), ("region", "door", "shape")


def require() -> ModuleType:
    """Return tomlkit. Raises MissingDependencyError."""
    try:
        import tomlkit
    except ImportError:
        raise MissingDependencyError("tomlkit", "changing the settings file", "'edgefuse[edit]'") from None
    return tomlkit


def read(path: Path) -> tuple[str, str]:
    """Return a file's text, with its line ends, and the digest of its bytes. Raises SettingsError."""
    try:
        data = path.read_bytes()
        return data.decode("utf-8"), digest(data)
    except OSError as e:
        raise SettingsError(f"cannot read {path}: {e.strerror}; give an existing settings file") from None
    except UnicodeDecodeError as e:
        raise SettingsError(f"{path}: not valid TOML ({e})") from None


def digest(data: bytes) -> str:
    """Return the sha256 that stands for a file's content."""
    return hashlib.sha256(data).hexdigest()


def changed(text: str, changes: Mapping[Key, Any]) -> str:
    """Return the text of a settings file with other values. A value of None removes its key, or its table.

    Comments and all other values stay as they are. Raises SettingsError for a text that is no TOML or can't be changed so, and
    MissingDependencyError.
    """
    kit = require()
    for key, value in changes.items():
        before = _parsed(text)
        if before is None:
            raise SettingsError("the settings file is not valid TOML; mend it with an editor first")
        wanted = _with(before, key, value)
        if wanted == before:
            continue
        # the first place in which it means what it is to mean, and nothing else
        changed_text = next((made for made in _places(kit, text, before, key, value) if _parsed(made) == wanted), None)
        if changed_text is None:
            raise SettingsError(f"{'.'.join(key)} can't be changed in this file's layout; change it with an editor")
        text = changed_text
    return text


def write(path: Path, text: str, known: str) -> str:
    """Replace a settings file by `text` at once, with its permissions. Returns the new digest.

    known: digest of the content that was changed. Raises SettingsError where the file has another one by now, OutputError where it can't
    be written.
    """
    target, data = Path(os.path.realpath(path)), text.encode()
    with files.appearing(target) as part:
        facts = target.stat()
        # it may hold secrets, so nobody else may read it, not even for a moment
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), -1, facts.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(facts.st_mode))
        check_unchanged(path, known)
    return digest(data)


def check_unchanged(path: Path, known: str) -> None:
    """Raise SettingsError where a file has another content than the one of the digest `known`."""
    if read(path)[1] != known:
        raise SettingsError(f"{path} was changed meanwhile; load it again, then make the change once more")


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _with(tables: Mapping[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """Return parsed tables with another value, or without it."""
    made = copy.deepcopy(dict(tables))
    parent = made
    for name in key[:-1]:
        parent = parent.setdefault(name, {}) if value is not None else parent.get(name, {})
    if value is None:
        parent.pop(key[-1], None)
        if len(key) > 1 and not parent and key[:-1] == ("region",):
            made.pop("region", None)
    else:
        parent[key[-1]] = list(value) if isinstance(value, tuple) else value
    return made


def _places(kit: ModuleType, text: str, before: Mapping[str, Any], key: Key, value: Any) -> Iterator[str]:
    """Yield texts with the change, the tidiest first."""
    there = before
    for name in key:
        there = there.get(name, {}) if isinstance(there, Mapping) else {}
    end = "\r\n" if "\r\n" in text else "\n"
    if there == {} and value is not None:
        line = f"{key[-1]} = {_item(kit, value)}{end}"
        yield from _beside_comment(text, key, line, end)
        if _has(before, key[:-1]):
            yield from _edited(kit, text, key, value)
        yield f"{text.rstrip()}{end}{end}[{'.'.join(key[:-1])}]{end}{line}".lstrip()
    yield from _edited(kit, text, key, value)


def _has(tables: Mapping[str, Any], key: Key) -> bool:
    for name in key:
        if name not in tables:
            return False
        tables = tables[name]
    return True


def _item(kit: ModuleType, value: Any) -> str:
    text: str = kit.item(list(value) if isinstance(value, tuple) else value).as_string()
    return text


def _edited(kit: ModuleType, text: str, key: Key, value: Any) -> Iterator[str]:
    """Yield the text with the change as tomlkit makes it."""
    document: Any = kit.parse(text)
    parent = document
    try:
        for name in key[:-1]:
            if name not in parent:
                parent[name] = kit.inline_table() if isinstance(parent, kit.items.InlineTable) else kit.table()
            parent = parent[name]
        if value is None:
            del parent[key[-1]]
            if key[:-1] == ("region",) and not parent:
                del document["region"]
        else:
            parent[key[-1]] = list(value) if isinstance(value, tuple) else value
        made: str = kit.dumps(document)
    except (KeyError, ValueError, kit.exceptions.TOMLKitError):
        return
    yield made


def _beside_comment(text: str, key: Key, line: str, end: str) -> Iterator[str]:
    """Yield the text with a new line after the comment that shows the key, or its table, switched off: `#view = "fused"`."""
    lines = text.splitlines(keepends=True)
    name = re.escape(".".join(key[:-1]))
    header, off = re.compile(rf"\s*\[\s*{name}\s*\]"), re.compile(rf"\s*#+\s*\[\s*{name}\s*\]")
    shown, other = re.compile(rf"\s*#+\s*{re.escape(key[-1])}\s*="), re.compile(r"\s*#*\s*\[")
    for k, at in enumerate(lines):
        if header.match(at):
            last = next((n for n in range(k + 1, len(lines)) if other.match(lines[n])), len(lines))
            for n in range(k + 1, last):
                if shown.match(lines[n]):
                    yield "".join((*lines[: n + 1], line, *lines[n + 1 :]))
            yield "".join((*lines[: k + 1], line, *lines[k + 1 :]))
        elif off.match(at):
            yield "".join((*lines[: k + 1], f"[{'.'.join(key[:-1])}]{end}", line, *lines[k + 1 :]))
