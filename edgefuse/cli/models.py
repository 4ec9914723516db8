"""`edgefuse models`: lists, shows and verifies models."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import EdgeFuseError, SettingsError

if TYPE_CHECKING:
    from edgefuse.zoo import Card, ModelFile

_EPILOG = """\
examples:
  edgefuse models                        names, sizes and costs
  edgefuse models show mobilefuse        the whole card
  edgefuse models verify --json          every golden pair on every runtime that is installed
"""


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "models", help="list, show and verify models", description="List the models, show a card, or verify golden pairs.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("action", nargs="?", default="list", choices=("list", "show", "verify"), help="default: list")
    p.add_argument("names", nargs="*", metavar="NAME", help="models (default: all of them)")
    p.add_argument("--runtime", metavar="NAME", help="verify on this runtime only")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    from edgefuse import registry, zoo

    if args.runtime and args.runtime not in registry.names("edgefuse.runtimes"):
        raise SettingsError(f"unknown runtime '{args.runtime}'; choose from {', '.join(registry.names('edgefuse.runtimes'))}")
    cards = [zoo.find(n) for n in args.names] if args.names else zoo.cards()
    action = {"list": _list, "show": _show, "verify": _verify}[args.action]
    return action(cards, args)


def _list(cards: list[Card], args: argparse.Namespace) -> int:
    rows = [
        {"name": c.name, "task": c.task, "title": c.title, **c.cost, "files": [_size(f) for f in c.files], "tuned": _tuned(c)}
        for c in cards
    ]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        files = ", ".join(f"{f['runtime']} {f['precision']} {(f['bytes'] or 0) / 1000:.0f} kB" for f in row["files"])
        files = files or "closed form, no file"
        print(f"{row['name']}\n    {row['title']}\n    {row['parameters']:,} parameters, {row['macs_per_pixel']:,} MACs a pixel; {files}")
        if row["tuned"]:
            print(f"    --runtime auto takes {row['tuned']['auto']}" if row["tuned"]["auto"] else f"    {row['tuned']['stale']}")
    return 0


def _tuned(card: Card) -> dict[str, object] | None:
    """Return the choice stored by bench --tune: {"auto": in words, None where it is stale, "stale": why}; None without one."""
    from edgefuse.runtimes import tuned

    choice, stale = tuned.recall(card)
    if choice is None:
        return {"auto": None, "stale": stale} if stale else None
    threads = f"{choice.threads} thread{'s' if choice.threads > 1 else ''}"
    return {"auto": f"{choice.runtime} {choice.precision}, {threads} ({choice.why})", "stale": None}


def _size(file: ModelFile) -> dict[str, object]:
    size = file.path.stat().st_size if file.path.is_file() else None
    return {"runtime": file.runtime, "precision": file.precision, "bytes": size}


def _show(cards: list[Card], args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps([asdict(c) for c in cards], indent=1, default=str))
    else:
        print("\n".join((c.folder / "card.toml").read_text("utf-8") for c in cards), end="")
    return 0


def _verify(cards: list[Card], args: argparse.Namespace) -> int:
    from edgefuse.runtimes.golden import verify

    results = [r for c in cards for r in verify(c, args.runtime)]
    if args.json:
        print(json.dumps([asdict(r) for r in results], indent=1))
    else:
        for r in results:
            difference = "      -" if r.difference is None else f"{r.difference:.5f}"
            print(
                f"{r.status:8s}{r.model:28s}{r.runtime:8s}{r.precision:6s}largest difference {difference} of {r.tolerance:.5f}   {r.note}"
            )
    failed = [r for r in results if r.status == "fail"]
    if failed:
        raise EdgeFuseError(f"{len(failed)} of {len(results)} golden pairs failed: {', '.join(r.file for r in failed)}; reinstall edgefuse")
    if not results:
        if any(c.files for c in cards):
            raise EdgeFuseError(f"none of these models has a file for {args.runtime}; omit --runtime")
        if not args.json:
            print("nothing to verify: a closed form has no files")
    elif all(r.status == "missing" for r in results):
        raise EdgeFuseError("no golden pair could be run: no runtime of these models is installed; run: pip install onnxruntime")
    return 0
