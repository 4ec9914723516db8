"""A fake detector of people: empty packages of the right names, and a place for a `node` script on the PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgefuse.metrics.people import detector


def fake_packages(data: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide empty packages below `data`, and put the new folder `programs` first on the PATH. Returns the path of its `node` script."""
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    for name in detector._NEEDED:
        path = detector.home() / "node_modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return programs / "node"


def write_script(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
