"""`edgefuse config`: checks settings, or shows them with their origins."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from edgefuse import settings
from edgefuse.cli import watch
from edgefuse.cli.subcommands import Subcommands
from edgefuse.settings import Settings, tables
from edgefuse.util.printable import line
from edgefuse.util.uri import safe

_EPILOG = """\
examples:
  edgefuse config check edgefuse.toml                   all that run would refuse, in one line
  sudo edgefuse config check --service /etc/edgefuse/edgefuse.toml     the same as the service's own user, before a reload
  edgefuse config show edgefuse.toml                    each value and its origin
  EDGEFUSE_RUN_MODEL=blend-classic edgefuse config show edgefuse.toml --json
"""
_MASK = "***"


def add(commands: Subcommands) -> None:
    text = "checks a settings file, or shows the resulting settings"
    p = commands.add_parser(
        "config", help="check or show a settings file", description=text.capitalize() + ".",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    verbs = p.add_subparsers(metavar="VERB", required=True)
    for verb, what, do in (("check", "check FILE and the environment", check), ("show", "show each value and its origin", show)):
        v = verbs.add_parser(verb, help=what, description=what.capitalize() + ".", allow_abbrev=False)
        v.add_argument("file", metavar="FILE", type=Path, nargs="?", help="settings file; without it, only the environment (EDGEFUSE_*)")
        v.add_argument("--json", action="store_true", help="print JSON")
        if verb == "check":
            text = "check as the user and in the folder of the systemd service, whose files others may not read (needs root)"
            v.add_argument("--service", action="store_true", help=text)
        v.set_defaults(command=do)


def check(args: argparse.Namespace) -> int:
    """Check settings as `edgefuse run --config FILE` does, except for errors that only an open camera, port or server shows."""
    from edgefuse.run import validate

    unit = None
    if args.service:
        from edgefuse.cli import service_user

        file = args.file.absolute() if args.file else None
        unit = service_user.read()
        service_user.become(unit)
        given = settings.load(file, os.environ, source_required=False)
    else:
        given = settings.load(args.file, os.environ, source_required=False)
    if watch.takes(given):
        watch.check(given)
    else:
        validate.check(given)
    if unit and unit.roots is not None:
        validate.check_writable_below(given, unit.roots, "allow it: sudo systemctl edit edgefuse, [Service] ReadWritePaths=FOLDER")
    named = ["run", *given.tables]
    if args.json:
        print(json.dumps({"file": str(args.file) if args.file else None, "ok": True, "tables": named}, indent=1))
    else:
        print(f"{line(str(args.file or 'the environment'))}: ok ({', '.join(f'[{t}]' for t in named)})")
    return 0


def show(args: argparse.Namespace) -> int:
    given = settings.load(args.file, os.environ, source_required=False)
    rows = _rows(given)
    absent = [t for t in tables.TABLES if t != "run" and t not in given.tables]
    if args.json:
        values: dict[str, Any] = {}
        for table, key, value, origin in rows:
            values.setdefault(table, {})[key] = {"value": value, "origin": origin}
        print(json.dumps({"settings": values, "off": absent}, indent=1))
        return 0
    shown = [(line(f"{key} = {_toml(value)}"), line(origin)) for _, key, value, origin in rows]
    width = min(48, max(len(left) for left, _ in shown))
    before = ""
    for (table, *_), (left, origin) in zip(rows, shown, strict=True):
        if table != before:
            print(f"{chr(10) if before else ''}[{line(table)}]")
            before = table
        print(f"{left.ljust(width)}  # {origin}")
    if absent:
        print(f"\n# off: {', '.join(f'[{t}]' for t in absent)}")
    return 0


def _rows(given: Settings) -> list[tuple[str, str, Any, str]]:
    """Return (table, key, JSON value without secrets, origin) of every setting."""
    named: dict[str, Any] = {"run": given.run}
    for table, one in given.tables.items():
        named |= {table: one} if is_dataclass(one) else {f"{table}.{name}": each for name, each in one.items()}
    return [
        (table, f.name, _bare(getattr(one, f.name), bool(f.metadata.get("secret"))), given.origins.get(f"{table}.{f.name}", "default"))
        for table, one in named.items()
        for f in fields(one)
    ]


def _bare(value: Any, secret: bool) -> Any:
    """Return `value` as a JSON value with secrets masked."""
    if secret and value:
        return _MASK
    if isinstance(value, tuple):
        return [_bare(v, False) for v in value]
    return safe(value) if isinstance(value, str) else value


def _toml(value: Any) -> str:
    return "(none)" if value is None else json.dumps(value, ensure_ascii=False)
