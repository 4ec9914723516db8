"""The compiled core: built if there is a compiler; a missing or foreign library is ignored."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgefuse.util import compiled
from tests.support.elf import protection

HOOK = Path(__file__).resolve().parents[2] / "hatch_build.py"
FUSE = (
    "import edgefuse, hashlib; from edgefuse.util import compiled\n"
    "with edgefuse.open_source('demo?size=160x120&frames=1') as s, edgefuse.load('blend-classic') as f:\n"
    "    print(compiled.library() is not None, hashlib.sha256(f.fuse(s.read()).data).hexdigest())"
)


def fused(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FUSE], capture_output=True, text=True, env={**os.environ, **environment}, check=True, timeout=120
    )
    return done.stdout.split()


def test_the_same_picture_without_it() -> None:
    done, picture = fused()
    assert done == str(compiled.library() is not None)
    assert fused(EDGEFUSE_COMPILED="0") == ["False", picture]


def test_the_library_is_protected() -> None:
    """Read from the library that is in use, as it was built for this checkout or for the wheel."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        pytest.skip("built without these flags for another system; read for 64 bits alone")
    if compiled.library() is None:
        pytest.skip("there is no compiled core")
    protected = protection(compiled.FILE)
    assert not protected.executable_stack
    assert protected.relro, "what the linker relocates must be read-only after loading (-z relro)"
    assert protected.now, "all addresses must be resolved when it is loaded (-z now)"
    assert "__stack_chk_fail" in protected.strings, "it must be built with the stack protector"


@pytest.mark.parametrize("content", [None, b"", b"not a library", b"\x7fELF"])
def test_a_broken_library_is_none(content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "libedgefuse.so"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(compiled, "FILE", file)
    assert compiled.library.__wrapped__() is None


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_another_version_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, file = tmp_path / "old.c", tmp_path / "old.so"
    monkeypatch.setattr(compiled, "FILE", file)
    for text in ("int edgefuse_abi(void) { return -1; }", "int another(void) { return 0; }"):
        source.write_text(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", file, source], check=True, timeout=120)
        assert compiled.library.__wrapped__() is None
        file.unlink()


def hook() -> Any:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel, and is not installed here")
    spec = importlib.util.spec_from_file_location("hatch_build", HOOK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not HOOK.exists(), reason="not in a checkout")
def test_the_build_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, library = hook(), tmp_path / "libedgefuse.so"
    assert not build.compiled(["no-such-compiler"], HOOK.parent, library)
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    assert build.compiled(["cc"], HOOK.parent, library)
    monkeypatch.setattr(compiled, "FILE", library)
    assert compiled.library.__wrapped__() is not None
    broken = tmp_path / "edgefuse/broken.c"
    broken.parent.mkdir()
    broken.write_text("this is not C")
    before = library.read_bytes()
    assert not build.compiled(["cc"], tmp_path, library)
    assert library.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edgefuse", "libedgefuse.so"]


@pytest.mark.skipif(not HOOK.exists(), reason="not in a checkout")
def test_a_wheel_s_platform_says_which_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    build = hook()
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("CC", "my-cc")
    assert build.compiler_of("") == ("x86_64", "my-cc")
    assert build.compiler_of("manylinux_2_17_x86_64") == ("x86_64", "my-cc")
    assert build.compiler_of("manylinux_2_17_aarch64") == ("aarch64", "aarch64-linux-gnu-gcc")
    for wrong in ("aarch64", "manylinux_2_17_mips", "win_amd64", "manylinux_2_17_aarch64\n"):
        with pytest.raises(SystemExit, match="expected manylinux_2_17_MACHINE"):
            build.compiler_of(wrong)
