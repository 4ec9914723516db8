"""What every tool's command has in common: its parser, what it prints, and one line for what is wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

_KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "500000000"}


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """Of `python -m MODULE`, which is told by its docstring."""
    return argparse.ArgumentParser(prog=f"python -m {module}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def run(module: str, options: argparse.ArgumentParser, work: Callable[[argparse.Namespace], Any], keep_buffers: bool = False) -> None:
    """Do `work` as the command line says, and print what it returns: JSON of a dictionary, a line for each item of a sequence.

    keep_buffers: glibc hands large buffers back to the kernel after every layer; keeping them is worth a third of a training's time.
    """
    args = options.parse_args()
    if keep_buffers and "MALLOC_MMAP_MAX_" not in os.environ and sys.platform == "linux":
        os.environ |= _KEPT
        os.execv(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]])
    try:
        made = work(args)
    except (ValueError, OSError) as e:
        sys.exit(f"{module}: {e}")
    if isinstance(made, dict):
        print(json.dumps(made, indent=1))
    else:
        print(*(made if isinstance(made, (list, tuple)) else [made]), sep="\n")
