from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse.doctor import Host
from edgefuse.doctor.environment import Environment
from edgefuse.doctor.probe import ProbeResult, run_probe
from edgefuse.doctor.runtimes import check_runtime, runtime_checks, runtime_finding
from tests.board.trees import plant

PI = Environment("venv", "/opt/e", "/opt/e/bin/python", "3.11.2", "aarch64", 64, "2.36")
PI32 = Environment("venv", "/opt/e", "/opt/e/bin/python", "3.11.2", "aarch64", 32, "2.36")
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"


def _planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    plant(tmp_path, files)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_numpy_really_runs_the_golden_pair() -> None:
    (findings,) = check_runtime("numpy", Host())
    assert (findings.name, findings.state, findings.mend) == ("runtime numpy", "ok", None)
    assert "runs mobilefuse-edge's golden pair: fp32 off by 0.0" in findings.what
    assert findings.facts["results"][0]["status"] == "ok"


def test_a_wheel_that_dies_of_an_illegal_instruction_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _planted(tmp_path, monkeypatch, {"onnxruntime.py": f"print('hello')\n{KILL}\n"})
    answer = run_probe(Host(), "runtime", "onnx")
    assert answer.error == "dies of SIGILL (illegal instruction) when it is imported"
    finding = runtime_finding("onnx", answer, PI, ("onnxruntime", "1.21.0"))
    assert (finding.state, finding.mend) == ("fail", "/opt/e/bin/python -m pip install 'onnxruntime<1.21.0'")
    assert finding.what == "onnxruntime 1.21.0: dies of SIGILL (illegal instruction) when it is imported"


def test_one_that_dies_later_says_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lies = "__version__ = '9.9'\nset_default_logger_severity = print\nclass SessionOptions:\n    def __init__(self):\n        " + KILL
    _planted(tmp_path, monkeypatch, {"onnxruntime.py": lies})
    assert run_probe(Host(), "runtime", "onnx").error == "dies of SIGILL (illegal instruction) when it runs"


def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    script = 'echo \'{"step": "import"}\'; sleep 100'
    monkeypatch.setattr(host, "child", lambda *_: host.run("sh", "-c", script, timeout_s=3))
    assert run_probe(host, "runtime", "onnx").error == "gives no answer when it is imported"


def test_one_that_hangs_ends_itself_where_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _planted(tmp_path, monkeypatch, {"onnxruntime.py": "import time; time.sleep(100)"})
    host = Host()
    # the child gets a limit of 1 s; this process would wait for 60 s
    monkeypatch.setattr("edgefuse.doctor.host.round", lambda _: 0, raising=False)
    assert (run_probe(host, "runtime", "onnx").error or "").startswith("dies of SIGALRM")


def test_installed_but_not_importable_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {"onnxruntime-1.2.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: onnxruntime\nVersion: 1.2.3\n"}
    _planted(tmp_path, monkeypatch, {"onnxruntime.py": "raise ImportError('libfoo.so.1: cannot open')", **metadata})
    (finding,) = check_runtime("onnx", Host())
    assert finding.state == "fail"
    assert finding.what == "onnxruntime 1.2.3: ImportError: libfoo.so.1: cannot open"
    assert finding.mend is not None
    assert finding.mend.endswith("-m pip install --force-reinstall --no-deps onnxruntime==1.2.3")


def test_missing_ones() -> None:
    gone = ProbeResult({"missing": "onnxruntime"}, None)
    findings = runtime_finding("onnx", gone, PI, None)
    assert (findings.state, findings.mend) == ("warn", "/opt/e/bin/python -m pip install onnxruntime")
    findings = runtime_finding("onnx", gone, PI32, None)
    assert (findings.state, findings.mend) == ("ok", None)
    findings = runtime_finding("litert", ProbeResult({"missing": "ai-edge-litert"}, None), PI, None)
    assert findings.state == "ok"
    assert "/opt/e/bin/python -m pip install 'edgefuse[litert]'" in findings.what


def test_a_failed_golden_pair() -> None:
    row = {
        "file": "x.onnx",
        "precision": "int8",
        "status": "fail",
        "note": "differs by more than 0.0039",
        "difference": 0.5,
        "tolerance": 0.1,
    }
    findings = runtime_finding("onnx", ProbeResult({"version": "1", "results": [row]}, None), PI, ("onnxruntime", "1"))
    assert findings.state == "fail"
    assert "x.onnx: differs by more than 0.0039" in findings.what
    assert findings.mend == "/opt/e/bin/python -m pip install --force-reinstall --no-deps onnxruntime==1"
    row |= {"note": "x.onnx: sha256 is aaa, card.toml says bbb"}
    findings = runtime_finding("onnx", ProbeResult({"results": [row]}, None), PI, ("onnxruntime", "1"))
    assert findings.mend is not None
    assert findings.mend.endswith("checkout -- models") or findings.mend.endswith("--no-deps edgefuse")


def test_every_runtime_has_a_check_plugins_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "mine-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1\n",
        "mine-1.dist-info/entry_points.txt": "[edgefuse.runtimes]\nmine = mine:Gone\n",
        "mine.py": "",
    }
    _planted(tmp_path, monkeypatch, files)
    assert list(runtime_checks()) == ["runtime onnx", "runtime litert", "runtime numpy", "runtime mine"]
    (findings,) = check_runtime("mine", Host())
    assert findings.state == "fail"
    assert "update or uninstall mine" in findings.what
