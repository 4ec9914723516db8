"""Type of the commands' parser, to which each command's module adds its own."""

from __future__ import annotations

import argparse

# argparse has no public name for what `add_subparsers` returns
Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]
