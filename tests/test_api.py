"""What `import edgefuse` offers: every name, imported when first used."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import edgefuse


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_is_there_and_documented() -> None:
    for name in edgefuse.__all__:
        assert getattr(edgefuse, name), name
        assert name == "__version__" or getattr(edgefuse, name).__doc__, name
    assert set(edgefuse.__all__) <= set(dir(edgefuse))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'edgefuse' has no attribute 'lode'"):
        edgefuse.lode  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import edgefuse; print(*sorted(set(sys.modules) - before))"
    ours = {"edgefuse", "edgefuse.errors"}
    found = set(python(code).split())
    assert ours <= found
    assert not {name.partition(".")[0] for name in found} & {"numpy", "cv2", "onnxruntime", "psutil", "ai_edge_litert", "scipy"}
    assert {name for name in found if name.startswith("edgefuse")} == ours


def test_it_says_that_it_is_typed() -> None:
    assert files("edgefuse").joinpath("py.typed").is_file()


def test_a_source_that_is_no_text_is_one_line() -> None:
    with pytest.raises(edgefuse.SettingsError, match="give a text such as 'folder:pairs'"):
        edgefuse.open_source(Path("pairs"))  # type: ignore[arg-type]
    with pytest.raises(edgefuse.SettingsError, match="give a text such as 'folder:pairs'"):
        edgefuse.open_sink(Path("fused"), 25.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("colour", "pink"), ("agc", "linear")])
def test_load_refuses_an_unknown_choice(name: str, value: str) -> None:
    with pytest.raises(edgefuse.SettingsError, match=f"{name} '{value}' is not one of"):
        edgefuse.load("blend-classic", **{name: value})  # type: ignore[arg-type]
