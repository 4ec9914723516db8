"""Reading of small text files in /proc and /sys; None where a file cannot be read."""

from __future__ import annotations

import contextlib
from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return the whole file; None where it is missing, hidden, or gives a read error (as a disabled sensor does)."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def first_line(path: Path) -> str | None:
    """Return the first line without surrounding blanks and NULs; None where it is missing or empty."""
    lines = (read_text(path) or "").splitlines()
    return (lines[0].strip("\0 \t") or None) if lines else None


def number(path: Path, base: int = 10) -> int | None:
    """Return the integer that a file holds; None where it holds none."""
    try:
        return int(first_line(path) or "", base)
    except ValueError:
        return None


def glob_sorted(root: Path, pattern: str) -> list[Path]:
    """Return the sorted paths under `root` that match a glob pattern; empty where folders cannot be listed."""
    with contextlib.suppress(OSError):
        return sorted(root.glob(pattern))
    return []
