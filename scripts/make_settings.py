"""Writes the tables of docs/reference/settings.md, and deploy/edgefuse.toml, from the settings' dataclasses.

python scripts/make_settings.py [--check]
"""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgefuse.settings import tables
from edgefuse.settings.check import hints, range_text, type_text

ROOT = Path(__file__).resolve().parents[1]
PAGE, FILE = ROOT / "docs/reference/settings.md", ROOT / "deploy/edgefuse.toml"
HEAD = """\
# /etc/edgefuse/edgefuse.toml: what the service runs. Every setting there is stands here, switched off by its #, at its default where it
# has one. Until source or camera is set, the service starts nothing, and says so. Then: sudo systemctl restart edgefuse
# After a change: sudo edgefuse config check --service /etc/edgefuse/edgefuse.toml && sudo systemctl reload edgefuse

"""
BEGIN = "<!-- from here on written by scripts/make_settings.py -->\n"


def _default(f: Field[Any]) -> str:
    value = f.default_factory() if f.default_factory is not MISSING else f.default
    if value is MISSING:
        return "needed"
    return "" if value in (None, "", ()) else f"`{json.dumps(value)}`"


def _row(hint: Any, f: Field[Any]) -> str:
    low, high = f.metadata.get("min"), f.metadata.get("max")
    what = type_text(hint) + ("" if low is None and high is None else " " + range_text(low, high))
    more = (["secret"] if f.metadata.get("secret") else []) + ([f"`--{f.metadata['option']}`"] if "option" in f.metadata else [])
    text = f.metadata["help"] + (f" ({', '.join(more)})" if more else "")
    return f"| `{f.name}` | {what} | {_default(f)} | {text.replace('|', chr(92) + '|')} |"


def made() -> str:
    """Return every settings table as Markdown."""
    parts = []
    for table in tables.TABLES:
        kind = tables.kind(table)
        head = f"## [{table}.NAME]" if table in tables.REPEATABLE else f"## [{table}]"
        rows = [_row(hints(kind)[f.name], f) for f in fields(kind)]
        parts.append("\n".join([head, "", "| key | takes | default | what |", "|---|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _lines(table: str, hint: Any, f: Field[Any]) -> list[str]:
    """Return the lines of a setting in the file, with its description above it."""
    low, high = f.metadata.get("min"), f.metadata.get("max")
    what = type_text(hint) + ("" if low is None and high is None else " " + range_text(low, high))
    explained = textwrap.wrap(f"{f.metadata['help']}: {what}", 132, initial_indent="## ", subsequent_indent="##   ")
    value = f.default_factory() if f.default_factory is not MISSING else f.default
    return [*explained, f"#{f.name} = {'' if value in (MISSING, None, '') else json.dumps(value)}".rstrip()]


def file() -> str:
    """Return the settings file of a new device."""
    parts = [HEAD]
    for table in tables.TABLES:
        kind = tables.kind(table)
        rows = [line for f in fields(kind) for line in _lines(table, hints(kind)[f.name], f)]
        name = f"{table}.name" if table in tables.REPEATABLE else table
        parts.append("\n".join([f"{'' if table == 'run' else '#'}[{name}]", *rows, ""]))
    return "\n".join(parts)


def main() -> int:
    before, mark, _ = PAGE.read_text("utf-8").partition(BEGIN)
    wanted = {PAGE: f"{before}{mark}\n{made()}", FILE: file()}
    if sys.argv[1:] == ["--check"]:
        wrong = [str(path) for path, text in wanted.items() if path.read_text("utf-8") != text]
        if wrong:
            print(f"{', '.join(wrong)}: not what the settings are; run: python scripts/make_settings.py", file=sys.stderr)
        return 1 if wrong else 0
    for path, text in wanted.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
