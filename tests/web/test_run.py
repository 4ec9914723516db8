"""`edgefuse run --web` from the command line."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, one_line
from tests.support.waiting import SECONDS, Lines, until

_DEMO = ("run", "--source", "demo?size=96x80&frames=0", "--model", "blend-classic")


def test_the_page_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("edgefuse.web.app")
    command = [sys.executable, "-W", "error", "-m", "edgefuse", *_DEMO, "--web", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stdout is not None
        output, lines = Lines(run.stdout), Lines(run.stderr)
        line = lines.next("the page's address")
        match = re.fullmatch(r"edgefuse: web page on http://127\.0\.0\.1:(\d+)/\n", line)
        assert match, line
        connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=60)
        connection.request("GET", "/")
        assert b"<title>EdgeFuse</title>" in connection.getresponse().read()
        connection.request("GET", "/stream.mjpg")
        # the response headers come before the first frame, its body after it
        assert connection.getresponse().read(10) == b"--edgefuse"
        run.send_signal(signal.SIGTERM)
        out, err = output.rest("the run to stop"), lines.rest("the run to stop")
        connection.close()
        assert run.wait(SECONDS) == 0, err
    assert err == ""
    report = json.loads(out)
    assert report["web"]["pictures_encoded"] >= 1
    assert report["web"]["bytes_sent"] >= 0
    assert report["frames"]["fused"] >= 1


def asked(port: int, path: str, body: Any = None) -> Any:
    """Return the JSON answer to a GET, or to a POST of `body`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = None if body is None else json.dumps(body)
    connection.request("GET" if data is None else "POST", path, data, {"Content-Type": "application/json", "Connection": "close"})
    with connection.getresponse() as answer:
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)


@pytest.mark.slow
def test_settings_regions_and_recordings_of_a_run(tmp_path: Path) -> None:
    for package in ("edgefuse.web.app", "tomlkit", "msgspec"):
        pytest.importorskip(package)
    if shutil.which("ffmpeg") is None:
        pytest.skip("FFmpeg is not installed")
    text = """\
[run]
source = "demo?size=96x80&frames=0&depth=16"
model = "blend-classic"
view = "fused"  # until the door is found
[web]
listen = "127.0.0.1:0"
[recording]
folder = "kept"
segment_s = 2
keep_free_mb = 0
"""
    path = tmp_path / "edgefuse.toml"
    path.write_text(text)
    command = [sys.executable, "-W", "error", "-m", "edgefuse", "run", "--config", "edgefuse.toml", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stdout is not None
        output, lines = Lines(run.stdout), Lines(run.stderr)
        while not (match := re.search(r"web page on http://127\.0\.0\.1:(\d+)/", lines.next("the page's address"))):
            pass
        port = int(match[1])
        until(lambda: asked(port, "/report.json")["frames"]["fused"], "a frame")
        told = asked(port, "/settings.json")
        values = {"run.view": "edges", "region.door.shape": "10%x10%+5%+5%"}
        assert asked(port, "/settings", {"digest": told["digest"], "values": values})["changed"]
        assert path.read_text() == text.replace('"fused"  #', '"edges"  #') + '\n[region.door]\nshape = "10%x10%+5%+5%"\n'
        until(lambda: asked(port, "/report.json")["view"] == "edges", "the view to be applied")
        until(lambda: asked(port, "/regions.json")["regions"], "the region to be measured")
        done = until(lambda: [r for r in asked(port, "/recordings.json")["recordings"] if not r["open"]], "a recording to be complete")
        assert any(r["open"] for r in asked(port, "/recordings.json")["recordings"])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/recordings/{done[0]['name']}", headers={"Range": "bytes=4-7"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (206, b"ftyp")
        connection.close()
        run.send_signal(signal.SIGTERM)
        output.rest("the run to stop")
        err = lines.rest("the run to stop")
        assert run.wait(SECONDS) == 0, err


def test_an_outside_address_without_a_token_is_refused_with_a_hint(run: Run) -> None:
    pytest.importorskip("edgefuse.web.app")
    done = run(*_DEMO, "--web", "0.0.0.0:0")
    assert done.returncode == 2
    assert "needs a token: python3 -c" in one_line(done.stderr)


def test_the_token_comes_from_a_file(tmp_path: Path, run: Run) -> None:
    pytest.importorskip("edgefuse.web.app")
    pytest.importorskip("msgspec")
    (tmp_path / "web-token").write_text("short\n")
    (tmp_path / "edgefuse.toml").write_text('[web]\nlisten = "0.0.0.0:0"\ntoken_file = "web-token"\n')
    done = run(*_DEMO, "--frames", 3, "--config", "edgefuse.toml")
    assert done.returncode == 2
    assert "16 to 256" in one_line(done.stderr)
    assert "short" not in done.stderr
    (tmp_path / "web-token").write_text("0123456789abcdef\n")
    done = run(*_DEMO, "--frames", 3, "--config", "edgefuse.toml")
    assert done.returncode == 0, done.stderr
    assert "(with the token)" in done.stderr
    assert "0123456789abcdef" not in done.stderr + done.stdout


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_extra_names_its_install_command(tmp_path: Path, package: str) -> None:
    code = f"import sys; sys.modules['{package}'] = None; from edgefuse.cli.main import main; sys.exit(main({[*_DEMO, '--web']!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )
    assert done.returncode == 2
    assert "pip install 'edgefuse[web]'" in one_line(done.stderr)


def test_a_run_without_a_page_does_not_import_it(tmp_path: Path) -> None:
    code = (
        f"import sys; from edgefuse.cli.main import main; main({[*_DEMO, '--frames', '2']!r});"
        "print([m for m in ('starlette', 'uvicorn', 'asyncio', 'edgefuse.web') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == "[]\n"
