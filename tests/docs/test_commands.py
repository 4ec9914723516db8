"""The reference page of commands has every command's --help."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgefuse.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
HOOK = ROOT / "docs/command_pages.py"
pytestmark = pytest.mark.skipif(not HOOK.exists(), reason="the documentation is not beside these tests")


def hook() -> Any:
    spec = importlib.util.spec_from_file_location("command_pages", HOOK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(uri: str) -> Any:
    return SimpleNamespace(file=SimpleNamespace(src_uri=uri))


def test_every_command_is_in_it_with_all_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefuse.cli.main import parser

    module = hook()
    text = module.on_page_markdown((ROOT / f"docs/{module.PAGE}").read_text(), page(module.PAGE))
    monkeypatch.setenv("COLUMNS", "100")
    documented = list(module.commands(parser()))
    names = {p.prog for p in documented}
    for command in [
        "run",
        "calibrate",
        "compress",
        "decompress",
        "sharpen",
        "batch",
        "info",
        "eval",
        "bench",
        "models",
        "export",
        "config",
        "doctor",
    ]:
        assert f"edgefuse {command}" in names
    assert {"edgefuse", "edgefuse batch compress", "edgefuse config check"} <= names
    for command in documented:
        assert f"`{command.prog}`\n" in text
        assert command.format_help().rstrip() in text
        for action in command._actions:
            assert all(option in text for option in action.option_strings)


def test_other_pages_are_left_alone_and_a_page_without_the_line_is_an_error() -> None:
    module = hook()
    assert module.on_page_markdown("# A page", page("index.md")) == "# A page"
    with pytest.raises(ValueError, match="has lost its line"):
        module.on_page_markdown("# Commands", page(module.PAGE))


def test_the_terminal_s_width_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("COLUMNS", "60")
    hook().sections()
    assert os.environ["COLUMNS"] == "60"
    monkeypatch.delenv("COLUMNS")
    hook().sections()
    assert "COLUMNS" not in os.environ


def test_every_command_in_a_code_block_of_the_documentation_has_options_that_exist() -> None:
    from edgefuse.cli.main import parser

    tried = 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"^ *```\w*\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.match(r"\s*(?:\$ )?(?:sudo (?:-u \w+ )?)?edgefuse (.+)", line)
                if not command:
                    continue
                words = shlex.split(command[1], comments=True)
                end = min((words.index(word) for word in ("|", ">", "&&", ";", "&") if word in words), default=len(words))
                try:
                    parser().parse_args(words[:end])
                except SettingsError as e:
                    pytest.fail(f"{page.name}: {line.strip()}: {e}")
                tried += 1
    assert tried > 40
