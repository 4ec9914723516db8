"""Writes every command's --help into docs/reference/commands.md while MkDocs builds the site (mkdocs.yml names this file as a hook)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any

PAGE = "reference/commands.md"
HERE = "<!-- every command, from the parser -->"
_WIDTH = "100"  # characters of a line of help


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs calls this for each page. Returns the page, with the commands where it is theirs."""
    if page.file.src_uri != PAGE:
        return markdown
    if HERE not in markdown:
        raise ValueError(f"docs/{PAGE} has lost its line {HERE}")
    return markdown.replace(HERE, sections())


def sections() -> str:
    """Markdown: a heading and the --help of each command, and of each command below it."""
    from edgefuse.cli.main import parser

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH  # argparse wraps at the terminal's width
    try:
        return "\n".join(_section(p) for p in commands(parser()))
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of the commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            seen: list[argparse.ArgumentParser] = []
            for command in action.choices.values():
                if command not in seen:  # an alias is the same parser again
                    seen.append(command)
                    yield from commands(command)


def _section(parser: argparse.ArgumentParser) -> str:
    level = "##" if parser.prog.count(" ") < 2 else "###"
    return f"{level} `{parser.prog}`\n\n```text\n{parser.format_help().rstrip()}\n```\n"
