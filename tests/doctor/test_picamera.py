from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgefuse.doctor import Host
from edgefuse.doctor.picamera import apt_numpy, check_picamera2, picamera2_finding
from edgefuse.doctor.probe import ProbeResult, run_probe
from tests.board.trees import PI as PI_TREE
from tests.board.trees import plant
from tests.doctor.test_runtimes import PI
from tests.doctor.trees import command

ABSENT = ProbeResult({"absent": "picamera2"}, "ModuleNotFoundError: No module named 'picamera2'")
WORKS = "class Picamera2:\n    @staticmethod\n    def global_camera_info():\n        return [{'Model': 'imx219', 'Id': '/base/i2c'}]\n"


def test_a_working_one_lists_its_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, {"picamera2/__init__.py": WORKS, "usr/lib/python3/dist-packages/numpy/version.py": 'full_version = "1.24.2"\n'})
    monkeypatch.syspath_prepend(str(tmp_path))
    works, cameras = check_picamera2(Host(tmp_path))
    assert works.state == cameras.state == "ok"
    assert f"it imports NumPy {np.__version__}" in works.what
    assert works.what.endswith("apt's is 1.24.2")
    assert cameras.what == "1 camera: imx219"


def test_one_for_another_numpy_is_told_with_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = (
        "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from PyObject')"
    )
    plant(tmp_path, {"picamera2/__init__.py": error, "usr/lib/python3/dist-packages/numpy-1.24.2.egg-info/PKG-INFO": ""})
    monkeypatch.syspath_prepend(str(tmp_path))
    findings = picamera2_finding(Host(tmp_path), run_probe(Host(tmp_path), "picamera2"), PI, True)
    assert (findings.state, findings.mend) == ("fail", "/opt/e/bin/python -m pip install --force-reinstall --no-deps simplejpeg")
    assert "numpy.dtype size changed" in findings.what
    assert np.__version__ in findings.what
    assert "apt's is 1.24.2" in findings.what


def test_one_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, {"picamera2/__init__.py": "import os\nos.abort()"})
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = check_picamera2(Host(tmp_path))[0]
    assert finding.state == "fail"
    assert finding.what.startswith("dies of SIGABRT when it is imported; it imports NumPy")
    assert "apt install -y --reinstall python3-picamera2" in (finding.mend or "")


def test_absent_matters_on_a_pi_alone(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert picamera2_finding(host, ABSENT, PI, False).state == "ok"
    finding = picamera2_finding(host, ABSENT, PI, True)
    assert finding.state == "warn"
    opens = "/usr/bin/python3 -m venv --system-site-packages /opt/e"
    assert finding.mend == f"{host.sudo('apt install -y python3-picamera2')} && {opens}"
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)
    finding = picamera2_finding(host, ABSENT, PI, True)
    assert (finding.what, finding.mend) == ("installed by apt, but this environment can't see it", opens)
    conda = dataclasses.replace(PI, kind="conda")
    assert (picamera2_finding(host, ABSENT, conda, True).mend or "").endswith("~/edgefuse/bin/pip install edgefuse")


def test_another_python_than_apts_can_not_load_its_modules(tmp_path: Path) -> None:
    answer = ProbeResult({"absent": "libcamera._libcamera"}, "ModuleNotFoundError: No module named 'libcamera._libcamera'")
    assert picamera2_finding(Host(tmp_path), answer, PI, True).mend == "/usr/bin/python3 -m venv --system-site-packages /opt/e"
    (tmp_path / "usr/lib/python3.11").mkdir(parents=True)
    assert "--reinstall" in (picamera2_finding(Host(tmp_path), answer, PI, True).mend or "")


def test_cameras_by_libcameras_own_program(tmp_path: Path) -> None:
    plant(tmp_path, PI_TREE)
    listed = (
        "Available cameras\n-----\n0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c@1)\n    Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps]"
    )
    command(tmp_path, "rpicam-hello", f'cat <<"X"\n{listed}\nX')
    assert check_picamera2(Host(tmp_path))[1].what == "1 camera: imx219 [3280x2464 10-bit RGGB]"


def test_no_camera_on_a_pi_names_the_setting_that_is_missing(tmp_path: Path) -> None:
    plant(tmp_path, PI_TREE)
    command(tmp_path, "libcamera-hello", "echo No cameras available!")
    finding = check_picamera2(Host(tmp_path))[1]
    assert (finding.state, finding.mend) == ("warn", None)
    plant(tmp_path, {"boot/firmware/config.txt": "# camera_auto_detect=1\n"})
    mend = check_picamera2(Host(tmp_path))[1].mend
    assert mend is not None
    assert mend.startswith("echo camera_auto_detect=1 | ")
    plant(tmp_path, {"boot/firmware/config.txt": "camera_auto_detect=1\n"})
    assert check_picamera2(Host(tmp_path))[1].mend is None


def test_apts_numpy_may_be_absent(tmp_path: Path) -> None:
    assert apt_numpy(Host(tmp_path)) is None
