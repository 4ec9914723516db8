"""Links and paths in the documentation exist, and so do the documentation's paths that the code mentions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").exists(), reason="the documentation is not beside these tests")

_LINK = re.compile(r"\]\(([^)\s]+)\)|\b(?:src|href)=\"([^\"]+)\"")
_TEXT = {".py", ".md", ".toml", ".sh", ".c", ".h", ".yml", ".yaml", ".service", ".rules", ".cff", ""}
_FOLDERS = ("edgefuse", "tools", "benchmarks", "deploy", "docs", "scripts", "tests", ".ci")


def pages() -> list[Path]:
    return sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"), *ROOT.glob("tools/*.md")])


def links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [first or second for first, second in _LINK.findall(text)]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", h.lower()).strip().replace(" ", "-") for h in heads}


def homepage() -> str:
    address: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
    return address


def site() -> str:
    address: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Documentation"]
    return address


def leads_to(page: Path, link: str) -> Path | None:
    """Return the file that a link refers to; None for a link to another server."""
    raw = homepage().replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"
    for prefix in (f"{homepage()}/blob/main/", f"{homepage()}/tree/main/", raw):
        if link.startswith(prefix):
            return ROOT / link.removeprefix(prefix).partition("#")[0]
    if link.startswith(site()):
        name = link.removeprefix(site()).partition("#")[0].strip("/")
        return ROOT / f"docs/{name or 'index'}.md"
    if re.match(r"[a-z]+:", link):
        return None
    path, _, _ = link.partition("#")
    return page.parent / path if path else page


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        target = leads_to(page, link)
        assert target is None or target.exists(), link
        anchor = link.partition("#")[2]
        if anchor and target is not None and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_the_readme_s_links_work_on_the_package_index_too() -> None:
    for link in links(ROOT / "README.md"):
        assert link.startswith("https://"), link


def test_every_path_of_a_page_that_the_code_names_is_there() -> None:
    files = [p for folder in _FOLDERS for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix in _TEXT]
    assert len(files) > 300
    for path in [*files, *ROOT.glob("*.md"), ROOT / "pyproject.toml"]:
        if path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for name in re.findall(r"(?<![\w/])docs/[\w/-]+\.(?:md|json|py)\b", text):
            assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"


def test_every_source_file_that_a_page_names_is_there() -> None:
    named = [
        (page, name)
        for page in pages()
        for name in re.findall(r"(?<![\w/.-])(?:edgefuse|tools|benchmarks|scripts|deploy|tests)/[\w/-]+\.\w+", page.read_text())
    ]
    assert len(named) > 60
    for page, name in named:
        assert (ROOT / name).exists(), f"{page.relative_to(ROOT)} names {name}"


def test_one_address_everywhere() -> None:
    for path in [*pages(), ROOT / "mkdocs.yml", ROOT / "CITATION.cff", ROOT / "pyproject.toml"]:
        for address in re.findall(r"https://(?:raw\.githubusercontent|github)\.com/edgefuse/[\w-]+", path.read_text()):
            assert address.replace("raw.githubusercontent", "github") == homepage(), path
