"""Writes the tables of docs/settings.md from the settings' dataclasses: python docs/make_settings.py [--check]"""

from __future__ import annotations

import json
import sys
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgefuse.settings import tables
from edgefuse.settings.check import between, expected, hints

PAGE = Path(__file__).with_name("settings.md")
BEGIN = "<!-- from here on written by docs/make_settings.py -->\n"


def _default(f: Field[Any]) -> str:
    value = f.default_factory() if f.default_factory is not MISSING else f.default
    if value is MISSING:
        return "needed"
    return "" if value in (None, "", ()) else f"`{json.dumps(value)}`"


def _row(hint: Any, f: Field[Any]) -> str:
    low, high = f.metadata.get("min"), f.metadata.get("max")
    what = expected(hint) + ("" if low is None and high is None else " " + between(low, high))
    more = (["secret"] if f.metadata.get("secret") else []) + ([f"`--{f.metadata['option']}`"] if "option" in f.metadata else [])
    text = f.metadata["help"] + (f" ({', '.join(more)})" if more else "")
    return f"| `{f.name}` | {what} | {_default(f)} | {text.replace('|', chr(92) + '|')} |"


def made() -> str:
    """Every table as Markdown."""
    parts = []
    for table in tables.TABLES:
        kind = tables.kind(table)
        head = f"## [{table}.NAME]" if table in tables.SEVERAL else f"## [{table}]"
        rows = [_row(hints(kind)[f.name], f) for f in fields(kind)]
        parts.append("\n".join([head, "", "| key | takes | default | what |", "|---|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def main() -> int:
    before, mark, now = PAGE.read_text("utf-8").partition(BEGIN)
    wanted = f"\n{made()}"
    if sys.argv[1:] == ["--check"]:
        if now == wanted:
            return 0
        print(f"{PAGE} is not what the settings are; run: python docs/make_settings.py", file=sys.stderr)
        return 1
    PAGE.write_text(before + mark + wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
