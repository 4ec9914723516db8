"""The Python examples of a page, as files: `python tests/docs/examples.py FOLDER PAGE...` writes them for a type checker."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    language: str
    code: str


def examples(page: Path, *languages: str) -> list[Example]:
    """Return a page's fenced code blocks in these languages, in order."""
    return [Example(*match) for match in _FENCE.findall(page.read_text()) if match[0] in languages]


def write(folder: Path, pages: list[Path]) -> None:
    """Write each page's Python blocks to NAME_1.py, NAME_2.py, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        shown = examples(page, "python")
        if not shown:
            sys.exit(f"{page} has no Python example")
        for number, example in enumerate(shown, 1):
            (folder / f"{page.stem.lower().replace('-', '_')}_{number}.py").write_text(example.code)


if __name__ == "__main__":
    write(Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]])
