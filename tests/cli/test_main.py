from __future__ import annotations

import subprocess
import sys
from importlib import metadata

from edgefuse import __version__
from tests.conftest import Run, one_line


def test_version_in_both_spellings(run: Run) -> None:
    assert run("--version").stdout == f"edgefuse {__version__}\n"
    script = next(e for e in metadata.entry_points(group="console_scripts") if e.name == "edgefuse")
    assert script.load().__module__ == "edgefuse.cli.main"


def test_help_has_examples(run: Run) -> None:
    for args in ((), ("run",), ("models",)):
        text = run(*args, "--help").stdout
        assert "examples:" in text
        assert "edgefuse " in text


def test_no_command_is_a_one_line_error(run: Run) -> None:
    done = run()
    assert done.returncode == 2
    assert "COMMAND" in one_line(done.stderr)


def test_output_into_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m edgefuse models show | head -n 1", shell=True, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_parsing_a_command_line_does_without_opencv() -> None:
    code = "import sys; from edgefuse.cli.main import parser; parser(); print(sorted({'cv2', 'onnxruntime', 'h5py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_import_and_the_command_line_load_no_library() -> None:
    """A command's child is forked before, and what it shares with its parent costs time."""
    for module in ("edgefuse", "edgefuse.cli.main"):
        code = f"import sys, {module}; print({{'cv2', 'onnxruntime', 'ai_edge_litert', 'psutil', 'numpy', 'logging'}} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.strip() == "set()", module
