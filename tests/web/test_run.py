"""`edgefuse run --web` from the command line."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run, one_line
from tests.support.waiting import SECONDS, Lines

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
