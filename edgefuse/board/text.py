"""Small texts of /proc and /sys, or None where they can't be read."""

from __future__ import annotations

import contextlib
from pathlib import Path


def read_text(path: Path) -> str | None:
    """The whole file; None where it is missing, hidden, or answers with an error (a sensor that is off does)."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def first_line(path: Path) -> str | None:
    """The first line without blanks and NULs around it; None where there is none or it is empty."""
    lines = (read_text(path) or "").splitlines()
    return (lines[0].strip("\0 \t") or None) if lines else None


def number(path: Path, base: int = 10) -> int | None:
    """The whole number that a file holds; None where it holds none."""
    try:
        return int(first_line(path) or "", base)
    except ValueError:
        return None


def found(root: Path, pattern: str) -> list[Path]:
    """The paths under `root` that a glob pattern matches, sorted; empty where folders can't be listed."""
    with contextlib.suppress(OSError):
        return sorted(root.glob(pattern))
    return []
