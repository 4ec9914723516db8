from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edgefuse.board.libraries import opencv_ignores_ffmpeg_options
from edgefuse.doctor import Host
from edgefuse.doctor.libraries import check_library, library_checks, library_finding
from edgefuse.doctor.probe import ProbeResult, run_probe
from tests.board.trees import plant
from tests.doctor.test_runtimes import PI


@pytest.mark.parametrize("name", list(library_checks()))
def test_ours_work(name: str) -> None:
    (findings,) = check_library(name, Host())
    old = name == "opencv" and opencv_ignores_ffmpeg_options(cv2.__version__)
    assert findings.state == ("warn" if old else "ok"), findings.what
    assert findings.facts["version"] in findings.what
    if name == "opencv":
        assert "avcodec" in findings.facts["versions"]


def test_opencv_for_another_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, {"cv2.py": "raise ImportError('numpy.core.multiarray failed to import')"})
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = library_finding("opencv", run_probe(Host(), "library", "opencv"), PI, {"opencv-python-headless": "4.8.0.74"})
    assert (finding.state, finding.mend) == ("fail", "/opt/e/bin/python -m pip install --force-reinstall opencv-python-headless")
    assert finding.what == "opencv-python-headless 4.8.0.74: ImportError: numpy.core.multiarray failed to import"


def test_opencv_with_windows_on_a_machine_without() -> None:
    trouble = ProbeResult({}, "ImportError: libGL.so.1: cannot open shared object file: No such file or directory")
    finding = library_finding("opencv", trouble, PI, {"opencv-python": "4.10.0"})
    python = "/opt/e/bin/python -m pip"
    assert finding.mend == f"{python} uninstall -y opencv-python && {python} install opencv-python-headless"


@pytest.mark.parametrize("version", ["4.11.0", "4.12.0"])
def test_an_opencv_that_ignores_ffmpegs_options(version: str) -> None:
    values = {"version": version, "within": {"avcodec": "59.37.100"}, "file": "/x/cv2.abi3.so"}
    finding = library_finding("opencv", ProbeResult(values, None), PI, {"opencv-python-headless": f"{version}.86"})
    assert finding.state == ("warn" if version == "4.11.0" else "ok")
    assert (finding.mend or "").endswith("install 'opencv-python-headless>=4.12'") == (finding.state == "warn")


def test_two_opencvs() -> None:
    packages = {"opencv-python-headless": "4.10.0", "opencv-python": "4.9.0"}
    finding = library_finding("opencv", ProbeResult({"version": "4.9.0"}, None), PI, packages)
    assert finding.state == "warn"
    assert "uninstall -y opencv-python-headless opencv-python &&" in (finding.mend or "")


def test_missing_and_illegal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, {"psutil.py": "raise ModuleNotFoundError(\"No module named 'psutil'\", name='psutil')"})
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = library_finding("psutil", run_probe(Host(), "library", "psutil"), PI, {})
    assert (finding.state, finding.mend) == ("fail", "/opt/e/bin/python -m pip install psutil")
    finding = library_finding(
        "numpy", ProbeResult({"step": "run"}, "dies of SIGILL (illegal instruction) when it runs"), PI, {"numpy": "2.3"}
    )
    assert finding.mend == "/opt/e/bin/python -m pip install 'numpy<2.3'"
