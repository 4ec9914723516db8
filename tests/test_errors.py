"""Exit codes and one-line messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edgefuse import errors, settings, zoo
from edgefuse.cli.main import main
from edgefuse.errors import EdgeFuseError, FrameError, MissingDependencyError
from edgefuse.sinks import open_sink
from edgefuse.sources import open_source
from edgefuse.util import files

EXIT_CODES = {
    "EdgeFuseError": 1,
    "InputError": 2,
    "SettingsError": 2,
    "SourceError": 2,
    "CameraError": 2,
    "FrameError": 2,
    "CalibrationError": 2,
    "CubeError": 2,
    "ModelError": 2,
    "OutputError": 2,
    "MissingDependencyError": 2,
    "MeasurementError": 3,
}


@pytest.fixture(autouse=True)
def _environment_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variables that `main` sets."""
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "SILENT")
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")


def test_the_tree_matches_its_documentation() -> None:
    exit_codes = {k: v.exit_code for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, EdgeFuseError)}
    assert exit_codes == EXIT_CODES
    assert errors.__doc__
    assert set(re.findall(r"[A-Z]\w+Error", errors.__doc__)) == set(EXIT_CODES)


def test_a_frame_error_is_a_source_error_with_a_cause() -> None:
    error = FrameError("f1", "unpaired", "f1 has no infrared frame")
    assert isinstance(error, errors.SourceError)
    assert (error.name, error.cause, str(error)) == ("f1", "unpaired", "f1 has no infrared frame")


def test_a_missing_dependency_error_ends_with_the_install_command() -> None:
    error = MissingDependencyError("onnxruntime", "the onnx runtime", "onnxruntime")
    assert str(error) == "the onnx runtime needs onnxruntime, which is not installed; run: pip install onnxruntime"
    assert error.package == "onnxruntime"


MISTAKES: dict[str, Callable[[Path, str], object]] = {
    "a bad URI": lambda p, n: open_source(f"{n}:"),
    "an unknown source": lambda p, n: open_source("nope"),
    "an unknown option": lambda p, n: open_source(f"demo?{n}=1"),
    "a bad option": lambda p, n: open_source(f"demo?fps={n}"),
    "a missing folder": lambda p, n: open_source(f"folder:{p / n}"),
    "a folder without pairs": lambda p, n: open_source(f"folder:{p},{p / n}"),
    "a missing video": lambda p, n: open_source(f"video:{p / n},{p / n}"),
    "a video's extension": lambda p, n: open_sink(f"video:{p / n}.gif", 25),
    "a file for a folder": lambda p, n: files.check_folder(p / "file" / n),
    "an unknown model": lambda p, n: zoo.find(n),
    "a folder without a card": lambda p, n: zoo.find(f"{p}/{n}"),
    "a missing settings file": lambda p, n: settings.load(p / n),
    "an unknown setting": lambda p, n: settings.check(settings.RunSettings, {n: 1}, "run."),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_messages_are_one_line(tmp_path: Path, mistake: Callable[[Path, str], object]) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EdgeFuseError) as caught:
        mistake(tmp_path, "odd")
    assert len(str(caught.value)) > 10
    assert len(str(caught.value).splitlines()) == 1


def test_names_with_a_newline_or_an_escape_are_shown_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefuse.cli.run.command", lambda _: zoo.find("a\nb\x1b[2Jc"))
    assert main(["run"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "\x1b" not in shown


@pytest.mark.parametrize("name", [n for n in EXIT_CODES if n not in ("CameraError", "FrameError", "MissingDependencyError")])
def test_the_exit_status_is_the_errors(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise getattr(errors, name)("what, where; what mends it")

    monkeypatch.setattr("edgefuse.cli.run.command", fail)
    assert main(["run"]) == EXIT_CODES[name]
    assert capsys.readouterr() == ("", "edgefuse: what, where; what mends it\n")


def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "--colour", "pink"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--colour" in err
    assert "balanced" in err
