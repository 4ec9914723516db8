"""Type of the commands' parser, to which each command's module adds its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import argparse

# argparse has no public name for what `add_subparsers` returns, and at run time it takes no parameter
Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
