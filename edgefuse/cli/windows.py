"""The options `--window` and `--bands`: a part of a cube."""

from __future__ import annotations

import argparse
import re


def add_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--window", metavar="R:R,C:C", type=_window, help="only these rows and columns, in pixels from 0, as 100:164,200:264")
    p.add_argument("--bands", metavar="B:B", type=_range, help="only these bands, counted from 0, as 10:20")


def _range(text: str) -> slice:
    """Parse START:STOP, either of which may be left out."""
    match = re.fullmatch(r"(\d{0,9}):(\d{0,9})", text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: expected START:STOP, as 10:20")
    start, stop = (int(n) if n else None for n in match.groups())
    return slice(start, stop)


def _window(text: str) -> tuple[slice, slice]:
    rows, comma, columns = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"{text!r}: expected rows, then columns, as 100:164,200:264")
    return _range(rows), _range(columns)
