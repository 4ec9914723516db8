"""The layout: which package imports which, the length of files and functions, how often `Any` is named, and CONTRIBUTING.md's map."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import edgefuse

PACKAGE = Path(edgefuse.__file__).parent
CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"
# from the top down: a package, or a module at the root, imports only from itself and from lower rows
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "__main__",
        "cli",
        "run archive bench doctor evaluation",
        "alarms mqtt recording streaming web",
        "telemetry",
        "settings",
        "sources sinks fusion sharpening detection",
        "hyperspectral views",
        "cameras runtimes calibration ffmpeg demoscene",
        "thermal zoo metrics",
        "registry board util",
        "errors frames events",
    )
)
# how often a package may name `Any` apart from arrays' types: for objects of libraries without types, for plugins, and for what a file of
# somebody else holds before it is checked. What modules tell each other has a dataclass, a TypedDict or `Facts`
MOST_ANY = {
    "archive": 55, "calibration": 15, "cameras": 15, "cli": 47, "doctor": 8, "evaluation": 1, "hyperspectral": 190, "metrics": 1,
    "mqtt": 20, "registry": 2, "run": 13, "runtimes": 21, "settings": 58, "sharpening": 19,
    "sources": 6, "thermal": 1, "util": 5, "web": 8, "zoo": 11,
}  # fmt: skip
MOST_MODULES_AT_ROOT, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 8, 400, 60


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FACE = "edgefuse"  # re-exports names of lower rows on first use, and holds the version, which every module may read


@cache
def imports(module: str) -> frozenset[str]:
    """Return the project's modules that a module imports anywhere, also those imported only for type checking."""
    targets = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            targets |= {name if (name := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names}
        elif isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
    return frozenset(targets & MODULES.keys() - {module, FACE})


def row(module: str) -> int:
    part = module.split(".")[1]
    rows = [number for number, names in enumerate(LAYERS) if part in names]
    assert len(rows) == 1, f"{part} is in {len(rows)} of LAYERS; a new package belongs into one of them"
    return rows[0]


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {FACE}))
def test_imports_point_down(module: str) -> None:
    own = module.split(".")[1]
    wrong = [other for other in imports(module) if other.split(".")[1] != own and row(other) <= row(module)]
    assert not wrong, f"{module} is not above {', '.join(wrong)}"


def test_no_modules_import_one_another_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for other in sorted(imports(module)):
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_few_modules_at_the_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_MODULES_AT_ROOT


def sources() -> Iterator[tuple[str, str]]:
    """Yield name and text of each Python file of the package and, in a checkout, of the folders beside it."""
    root = PACKAGE.parent
    folders = (root / name for name in ("benchmarks", "deploy", "scripts", "tests", "tools") if CONTRIBUTING.is_file())
    for folder in (PACKAGE, *folders):
        yield from ((str(path.relative_to(root)), path.read_text()) for path in sorted(folder.rglob("*.py")))


def test_modules_and_functions_stay_short() -> None:
    long = []
    for name, text in sources():
        long += [f"{name}: {n} lines"] if (n := len(text.splitlines())) > MOST_LINES else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                n = (node.end_lineno or node.lineno) - node.lineno + 1
                long += [f"{name}: {node.name} has {n} lines"] if n > MOST_LINES_OF_A_FUNCTION else []
    assert not long


def count_any(node: ast.AST, of_array: bool = False) -> int:
    """Count the uses of `Any`, without those that are an array's element type or shape."""
    if isinstance(node, ast.Subscript):
        name = getattr(node.value, "attr", getattr(node.value, "id", ""))
        return count_any(node.slice, of_array or name in ("NDArray", "ndarray", "dtype", "floating"))
    own = isinstance(node, ast.Name) and node.id == "Any" and not of_array
    return own + sum(count_any(child, of_array) for child in ast.iter_child_nodes(node))


def test_packages_do_not_name_any_more_often() -> None:
    counts: dict[str, int] = {}
    for module, path in MODULES.items():
        if module != FACE:
            package = module.split(".")[1]
            counts[package] = counts.get(package, 0) + count_any(ast.parse(path.read_text()))
    more = {package: n for package, n in counts.items() if n > MOST_ANY.get(package, 0)}
    assert not more, f"give these a type, or raise MOST_ANY with a reason: {more}"


@pytest.mark.skipif(not CONTRIBUTING.is_file(), reason="an installed package has no CONTRIBUTING.md beside it")
def test_the_map_of_contributing_names_all_that_is_there() -> None:
    block = CONTRIBUTING.read_text().split("```\nedgefuse/", 1)[1].split("```", 1)[0]
    named = {line.split()[0] for line in block.splitlines()[1:] if line.startswith("  ") and not line.startswith(" " * 6)}
    there = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    there |= {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    there |= {f"{path.parent.name}/" for path in PACKAGE.glob("hyperspectral/*/__init__.py")}
    assert named == there
