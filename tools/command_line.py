"""Common code of the tools' commands: the parser, the output, and one-line errors."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_KEEP_BUFFERS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "500000000"}


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """Return a parser for `python -m MODULE`, described by its docstring."""
    return argparse.ArgumentParser(prog=f"python -m {module}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_export_options(p: argparse.ArgumentParser, runs: str = "folder of runs") -> None:
    """Add the options of every exporter: the folder of runs, that of models, and the seed. runs: the first one's help."""
    p.add_argument("--runs", type=Path, default=ROOT / "runs", help=f"{runs} (default: %(default)s)")
    p.add_argument(
        "--models", type=Path, default=ROOT / "models", help="folder in which the model's folder is written (default: %(default)s)"
    )
    p.add_argument("--seed", type=int, default=0)


def run(module: str, options: argparse.ArgumentParser, work: Callable[[argparse.Namespace], Any], keep_buffers: bool = False) -> None:
    """Parse the command line, call `work`, and print its result: a dictionary as JSON, a sequence with one item per line.

    keep_buffers: set glibc's malloc to keep large buffers instead of returning them to the kernel after every layer, which saves a third of
    a training's time.
    """
    args = options.parse_args()
    if keep_buffers and "MALLOC_MMAP_MAX_" not in os.environ and sys.platform == "linux":
        os.environ |= _KEEP_BUFFERS
        os.execv(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]])
    try:
        result = work(args)
    except (ValueError, OSError) as e:
        sys.exit(f"{module}: {e}")
    if isinstance(result, dict):
        print(json.dumps(result, indent=1))
    else:
        print(*(result if isinstance(result, (list, tuple)) else [result]), sep="\n")
