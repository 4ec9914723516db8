"""The doctor's report as a table for people and as JSON for scripts."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from edgefuse.board import Board, Libraries
from edgefuse.doctor.finding import Finding

_COLOURS = {"ok": "\x1b[32m", "warn": "\x1b[33m", "fail": "\x1b[31m"}
_PLAIN = "\x1b[0m"


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Return the number of findings in each state."""
    return {state: sum(f.state == state for f in findings) for state in ("ok", "warn", "fail")}


def versions(libraries: Libraries, findings: Sequence[Finding]) -> dict[str, str]:
    """Return the versions of all libraries in use, including those bundled within others."""
    known = {name: version for name, version in libraries.items() if version}
    for finding in findings:
        known |= {name: str(version) for name, version in finding.facts.get("versions", {}).items()}
    return known


def as_json(board: Board, container: str | None, libraries: Mapping[str, str], findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the report as JSON values."""
    return {
        "board": {
            "name": board.name, "model": board.model, "machine": board.processor.machine, "kernel": board.kernel, "system": board.system,
            "memory_bytes": board.memory_bytes, "container": container,
        },
        "libraries": dict(libraries),
        "counts": counts(findings),
        "findings": [
            {"name": f.name, "state": f.state, "what": f.what, "mend": f.mend, "facts": dict(f.facts)} for f in findings
        ],
    }  # fmt: skip


def as_text(
    board: Board, container: str | None, libraries: Mapping[str, str], findings: Sequence[Finding], width: int | None, colour: bool
) -> str:
    """Return the report as text. width: columns to wrap at; None for one line per finding, which suits scripts."""
    where = [
        board.name,
        board.system,
        f"kernel {board.kernel}" if board.kernel else None,
        f"in a container ({container})" if container else None,
    ]
    names = max((len(f.name) for f in findings), default=0)
    lines = _wrapped(", ".join(_plain(w) for w in where if w), "", width)
    lines += _wrapped("libraries: " + ", ".join(f"{n} {v}" for n, v in libraries.items()), " " * 11, width)
    for f in findings:
        indent = " " * (6 + names + 2)
        first, *rest = _wrapped(f"{f.state:6s}{f.name:{names}s}  {_plain(f.what)}", indent, width)
        lines += [f"{_COLOURS[f.state]}{f.state}{_PLAIN}{first[len(f.state) :]}" if colour else first, *rest]
        if f.mend:
            # never wrapped, so that it can be pasted
            lines.append(f"{'':6s}{'mend:':>{names}s}  {f.mend}")
    n = counts(findings)
    return "\n".join([*lines, f"{n['ok']} ok, {n['warn']} warn, {n['fail']} fail"])


def _wrapped(text: str, indent: str, width: int | None) -> list[str]:
    if width is None or width < len(indent) + 30:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True)


def _plain(text: str) -> str:
    """Escape unprintable characters, because a device's name may hold anything."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
