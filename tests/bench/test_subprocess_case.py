from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse.bench import subprocess_case as module
from edgefuse.bench.subprocess_case import DiedError, run_isolated
from edgefuse.errors import MissingDependencyError, SettingsError


def script(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(path))


def test_a_task_returns_its_result() -> None:
    assert run_isolated({"do": "version", "runtime": "numpy"}, 1)[0].isdigit()
    with pytest.raises(SettingsError, match="unknown runtime 'x'"):
        run_isolated({"do": "version", "runtime": "x"}, 1)


def test_an_illegal_instruction_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, monkeypatch, "kill -ILL $$")
    with pytest.raises(DiedError, match="died of SIGILL: the library uses an instruction that this processor lacks"):
        run_isolated({}, 1)


def test_an_end_without_a_result_reports_the_last_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, monkeypatch, "echo noise; echo '[1]'; echo first >&2; echo last words >&2; exit 7")
    with pytest.raises(DiedError, match="exit code 7: last words"):
        run_isolated({}, 1)
    script(tmp_path, monkeypatch, "exit 1")
    with pytest.raises(DiedError, match="no output"):
        run_isolated({}, 1)


def test_events_come_before_the_result_and_errors_keep_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[object] = []
    script(tmp_path, monkeypatch, """echo '{"event": 1}'; echo library noise; echo '{"event": 2}'; echo '{"result": [3]}'""")
    assert (run_isolated({}, 1, events.append), events) == ([3], [1, 2])
    script(tmp_path, monkeypatch, """echo '{"error": {"kind": "MissingDependencyError", "message": "it is gone"}}'""")
    with pytest.raises(MissingDependencyError, match="it is gone"):
        run_isolated({}, 1)
