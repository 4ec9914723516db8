"""`edgefuse config` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run, one_line

pytest.importorskip("msgspec")
FILE = '[run]\ncamera = ["visible=rtsp://me:S3cret@door/1?key=S3cret", "infrared=v4l2:1e4e:0100"]\nthreads = 2\n'


def test_check_prints_ok_or_a_one_line_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    done = run("config", "check", "a.toml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.toml: ok ([run])\n", "")
    assert json.loads(run("config", "check", "a.toml", "--json").stdout) == {"file": "a.toml", "ok": True, "tables": ["run"]}
    (tmp_path / "a.toml").write_text(FILE + "thread = 1\n")
    done = run("config", "check", "a.toml")
    assert done.returncode == 2
    assert one_line(done.stderr) == "edgefuse: a.toml: run.thread: unknown key; did you mean threads?"
    assert one_line(run("config", "check", "none.toml").stderr).startswith("edgefuse: cannot read none.toml")


def test_show_prints_each_values_origin_and_no_secret(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    monkeypatch.setenv("EDGEFUSE_RUN_MODEL", "blend-classic")
    done = run("config", "show", "a.toml")
    lines = [line.split("  #") for line in done.stdout.splitlines()]
    shown = {left.strip(): origin.strip() for left, origin in (line for line in lines if len(line) == 2)}
    assert shown["threads = 2"] == "a.toml:3"
    assert shown['model = "blend-classic"'] == "EDGEFUSE_RUN_MODEL"
    assert shown["max_skew = 150.0"] == "default"
    assert shown['camera = ["visible=rtsp://***@door/1?***", "infrared=v4l2:1e4e:0100"]'] == "a.toml:2"
    assert "S3cret" not in done.stdout
    told = json.loads(run("config", "show", "a.toml", "--json").stdout)["settings"]["run"]
    assert told["threads"] == {"value": 2, "origin": "a.toml:3"}
    assert told["calibration"] == {"value": None, "origin": "default"}


def test_show_without_a_file_shows_the_defaults(run: Run) -> None:
    told = json.loads(run("config", "show", "--json").stdout)["settings"]["run"]
    assert {entry["origin"] for entry in told.values()} == {"default"}
