"""`edgefuse config` from the command line."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, one_line

msgspec = pytest.importorskip("msgspec")
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


_REFUSED = {
    "alarm": '[alarm."front door"]\nabove = 30\n',
    "hook": '[alarm.stove]\nabove = 30\nhook = ["/no/such/program"]\n',
    "model": '[run]\nmodel = "no-such-model"\n',
    "runtime": '[run]\nruntime = "no-such-runtime"\n',
    "calibration": '[run]\ncalibration = "none.toml"\n',
    "broken calibration": '[run]\ncalibration = "settings.toml"\n',
    "source": '[run]\nsource = "nosuch:thing"\n',
    "source's option": '[run]\nsource = "demo?colour=red"\n',
    "folder": '[run]\nsource = "folder:nowhere"\n',
    "one camera": '[run]\ncamera = ["visible=picamera2:0"]\n',
    "camera's kind": '[run]\ncamera = ["visible=nosuch:0", "infrared=v4l2:1e4e:0100"]\n',
    "camera's option": '[run]\ncamera = ["visible=picamera2:0?nosuch=1", "infrared=v4l2:1e4e:0100"]\n',
    "same camera": '[run]\ncamera = ["visible=rtsp://door/1", "infrared=rtsp://door/1"]\n',
    "sink": '[run]\nsink = ["nosuch:out"]\n',
    "sink's option": '[run]\nsink = ["folder:out?nosuch=1"]\n',
    "video's extension": '[run]\nrecord = "fused.txt"\n',
    "raw extension": '[run]\nrecord_raw = "pairs.mp4"\n',
    "report in a file": '[run]\nreport = "settings.toml/report.json"\n',
    "save in a file": '[run]\nsave = "settings.toml"\n',
    "telemetry in a file": '[telemetry]\nfile = "settings.toml/lines"\n',
    "recordings in a file": '[recording]\nfolder = "settings.toml"\n',
    "open page": '[web]\nlisten = "0.0.0.0:8080"\n',
    "page behind a proxy": '[web]\nhosts = ["camera.example.org"]\n',
    "short token": '[web]\ntoken = "short"\n',
    "page's address": '[web]\nlisten = "nowhere"\n',
    "broker's address": '[mqtt]\nurl = "http://broker"\n',
    "broker's prefix": '[mqtt]\nurl = "mqtt://broker"\nprefix = "a b"\n',
    "certificate": '[mqtt]\nurl = "mqtts://broker"\nca_file = "settings.toml"\n',
    "stream": '[stream]\nurl = "http://server/live"\n',
    "unused table": "[cubes]\nwatch = true\n",
    "folder of cubes": '[run]\nsource = "cubes:nowhere"\nsave = "out"\n',
    "cubes without a place": '[run]\nsource = "cubes:."\n',
}


@pytest.mark.parametrize("text", _REFUSED.values(), ids=_REFUSED)
def test_check_refuses_what_run_refuses_in_the_same_words(run: Run, tmp_path: Path, text: str) -> None:
    demo = "" if "source =" in text or "camera =" in text else '[run]\nsource = "demo?frames=1&size=96x80"\n'
    text = demo + text.removeprefix("[run]\n") if demo and text.startswith("[run]") else demo + text
    (tmp_path / "settings.toml").write_text(text)
    before = sorted(p.name for p in tmp_path.iterdir())
    checked = run("config", "check", "settings.toml")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    ran = run("run", "--config", "settings.toml")
    assert (checked.returncode, ran.returncode) == (2, 2)
    assert one_line(checked.stderr) == ran.stderr.splitlines()[-1]


def test_check_makes_nothing_and_accepts_what_run_accepts(run: Run, tmp_path: Path) -> None:
    tables = '[web]\nlisten = "127.0.0.1:0"\n[telemetry]\nfile = "new/lines"\n[alarm.stove]\nabove = 30\nhook = ["/bin/true"]\n'
    (tmp_path / "a.toml").write_text(f'[run]\nsource = "demo?frames=2&size=96x80"\nsave = "new/fused"\nrecord = "new/a.mp4"\n{tables}')
    done = run("config", "check", "a.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a.toml: ok ([run], [telemetry], [alarm], [web])\n"
    assert not (tmp_path / "new").exists()
    assert run("run", "--config", "a.toml").returncode == 0


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody can read, with a systemctl that tells of a service of the user nobody."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    needed = *Path(msgspec.__file__).parents, *Path(os.__file__).parents
    if not all(folder.stat().st_mode & 0o005 == 0o005 for folder in needed):
        pytest.skip("another user can't read this Python")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        state = folder / "state"
        state.mkdir()
        shutil.chown(state, "nobody")
        program = folder / "systemctl"
        facts = f"LoadState=loaded\nUser=nobody\nWorkingDirectory={state}\nProtectSystem=strict\nReadWritePaths={state}\n"
        program.write_text(f"#!/bin/sh\n[ $1 = show ] && printf '{facts}'\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield folder


def test_check_as_the_service_sees_files_as_its_user(run: Run, service: Path) -> None:
    settings, token, state = service / "edgefuse.toml", service / "state/web-token", service / "state"
    settings.write_text('[run]\nsource = "demo?frames=1"\nmodel = "blend-classic"\nsave = "fused"\n[web]\ntoken_file = "web-token"\n')
    token.write_text("correct-horse-battery")
    token.chmod(0o600)
    done = run("config", "check", "--service", settings)
    # a relative path is of the service's folder, and the token is root's alone
    assert "web.token_file = 'web-token': cannot read it (Permission denied)" in one_line(done.stderr)
    shutil.chown(token, "nobody")
    done = run("config", "check", "--service", settings)
    assert (done.returncode, done.stderr) == (0, "")
    settings.write_text('[run]\nsource = "demo?frames=1"\nmodel = "blend-classic"\nreport = "/var/tmp/report.json"\n')
    refused = one_line(run("config", "check", "--service", settings).stderr)
    assert f"the service may write only below {state}; choose a place there" in refused
    assert run("config", "check", settings).returncode == 0
    state.chmod(0o500)
    shutil.chown(state, "root")
    done = run("config", "check", "--service", settings)
    assert f"nobody cannot enter {state}" in one_line(done.stderr)


def test_check_as_a_service_that_is_not_there_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "--service: there is no systemd here" in one_line(run("config", "check", "--service").stderr)
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho LoadState=not-found\n")
    (tmp_path / "systemctl").chmod(0o755)
    assert "--service: edgefuse.service is not installed" in one_line(run("config", "check", "--service").stderr)
