"""--record-raw, replay: and export from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgefuse
from edgefuse.errors import FrameError
from edgefuse.sources.record_raw import RecordedSource
from tests.conftest import Run, one_line
from tests.support.processes import killed, until

DEMO = "demo?depth=16&size=96x80&scene=night&frames=6"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    with RecordedSource(edgefuse.open_source(DEMO), tmp_path / "a.efr") as source:
        while source.read() is not None:
            pass
    return tmp_path / "a.efr"


def test_a_replayed_recording_fuses_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    done = run("run", "--source", DEMO, "--runtime", "numpy", "--save", "first", "--record-raw", "a.efr", "--report", "r.json")
    assert done.returncode == 0, done.stderr
    assert "recording  6 pairs in" in done.stdout
    assert "hottest    " in done.stdout
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["record_raw"]["pairs"] == 6
    assert report["record_raw"]["bytes"] == (tmp_path / "a.efr").stat().st_size
    assert "a.efr" in report["outputs"]
    assert report["thermal"]["unit"] == "celsius"
    assert 20 < report["thermal"]["hottest"]["value"] < 100
    done = run("run", "--source", "replay:a.efr", "--runtime", "numpy", "--save", "second", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["thermal"] == report["thermal"]
    assert "record_raw" not in again
    for path in sorted((tmp_path / "first").iterdir()):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_gain_control_is_chosen(run: Run, recorded: Path) -> None:
    done = run("run", "--source", "replay:a.efr", "--runtime", "numpy", "--agc", "clahe", "--frames", "1", "--save", "out")
    assert done.returncode == 0, done.stderr
    (path,) = (recorded.parent / "out").iterdir()
    made = {}
    for agc in ("percentile", "clahe", "off"):
        with edgefuse.open_source(f"replay:{recorded}") as source, edgefuse.load(runtime="numpy", agc=agc, steady=True) as fuser:  # type: ignore[arg-type]
            made[agc] = fuser.fuse(source.read()).data.tobytes()  # type: ignore[arg-type]
    assert len(set(made.values())) == 3
    assert cv2.imread(str(path)).tobytes() == made["clahe"]


def test_export(run: Run, recorded: Path) -> None:
    done = run("export", "a.efr", "--tiff", "tiff")
    assert done.returncode == 0, done.stderr
    assert one_line(done.stdout) == "6 infrared frames in tiff, 6 of them with a law of degrees (frames.json)"
    listed = json.loads((recorded.parent / "tiff/frames.json").read_text())["frames"]
    with edgefuse.open_source(f"replay:{recorded}") as source:
        for item in listed:
            frame = source.read().infrared  # type: ignore[union-attr]
            np.testing.assert_array_equal(cv2.imread(str(recorded.parent / "tiff" / item["file"]), cv2.IMREAD_UNCHANGED), frame.data)
            assert (item["name"], item["time_ns"]) == (frame.name, frame.time_ns)
            assert item["radiometry"] == {"sensor": "demo", "scale": 0.01, "offset": -273.15, "state": "normal"}


def test_a_truncated_recording_is_exported_to_its_end(run: Run, recorded: Path) -> None:
    recorded.write_bytes(recorded.read_bytes()[:-300])
    done = run("export", "a.efr", "--tiff", "tiff", "--json")
    assert done.returncode == 2
    assert len(json.loads(done.stdout)["frames"]) == 5
    assert one_line(done.stderr) == "edgefuse: a.efr breaks off: it plays up to pair 5"


def test_a_killed_recorder_leaves_a_readable_file(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "edgefuse",
        "run",
        "--source",
        "demo?depth=16&size=96x80&frames=0",
        "--runtime",
        "numpy",
        "--record-raw",
        "a.efr",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ, stdout=subprocess.DEVNULL)
    try:
        path = tmp_path / "a.efr"
        until(lambda: path.exists() and path.stat().st_size >= 100_000, process, "100 kB of the recording")
    finally:
        killed(process)
    with edgefuse.open_source(f"replay:{tmp_path / 'a.efr'}") as source:
        count = 0
        with pytest.raises(FrameError, match="it plays up to pair"):  # noqa: PT012
            while source.read() is not None:
                count += 1
    assert count >= 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--source", "replay:none.efr"), "cannot read none.efr: No such file or directory"),
        (("run", "--source", "replay:r.json"), "expected a file made by --record-raw"),
        (("run", "--source", "replay:a.efr", "--record-raw", "a.efr"), "--record-raw a.efr is an input of this run"),
        (("run", "--source", "demo?size=64x64", "--record-raw", "a.mp4"), "a raw recording needs the extension .efr"),
        (("run", "--source", "demo?size=64x64", "--record-raw", "no/\0.efr".replace("\0", "x" * 300)), "the name is too long"),
        (("run", "--source", "demo?size=64x64", "--agc", "auto"), "--agc"),
        (("export", "a.efr"), "--tiff"),
        (("export", "r.json", "--tiff", "t"), "expected a file made by --record-raw"),
        (("export", "a.efr", "--tiff", "r.json"), "a file is there, not a folder"),
    ],
)
def test_invalid_input_is_a_one_line_error(run: Run, recorded: Path, arguments: tuple[str, ...], words: str) -> None:
    (recorded.parent / "r.json").write_text("{}")
    before = recorded.read_bytes()
    done = run(*arguments)
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert recorded.read_bytes() == before
