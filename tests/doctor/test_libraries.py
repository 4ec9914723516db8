from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse.doctor import Host
from edgefuse.doctor.ask import Answer, ask
from edgefuse.doctor.libraries import check_library, library_checks, library_finding
from tests.board.trees import plant
from tests.doctor.test_runtimes import PI


@pytest.mark.parametrize("name", list(library_checks()))
def test_ours_work(name: str) -> None:
    (found,) = check_library(name, Host())
    assert found.state == "ok", found.what
    assert found.facts["version"] in found.what
    if name == "opencv":
        assert "avcodec" in found.facts["versions"]


def test_opencv_for_another_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, {"cv2.py": "raise ImportError('numpy.core.multiarray failed to import')"})
    monkeypatch.syspath_prepend(str(tmp_path))
    found = library_finding("opencv", ask(Host(), "library", "opencv"), PI, {"opencv-python-headless": "4.8.0.74"})
    assert (found.state, found.mend) == ("fail", "/opt/e/bin/python -m pip install --force-reinstall opencv-python-headless")
    assert found.what == "opencv-python-headless 4.8.0.74: ImportError: numpy.core.multiarray failed to import"


def test_opencv_with_windows_on_a_machine_without() -> None:
    trouble = Answer({}, "ImportError: libGL.so.1: cannot open shared object file: No such file or directory")
    found = library_finding("opencv", trouble, PI, {"opencv-python": "4.10.0"})
    python = "/opt/e/bin/python -m pip"
    assert found.mend == f"{python} uninstall -y opencv-python && {python} install opencv-python-headless"


def test_two_opencvs() -> None:
    packages = {"opencv-python-headless": "4.10.0", "opencv-python": "4.9.0"}
    found = library_finding("opencv", Answer({"version": "4.9.0"}, None), PI, packages)
    assert found.state == "warn"
    assert "uninstall -y opencv-python-headless opencv-python &&" in (found.mend or "")


def test_missing_and_illegal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, {"psutil.py": "raise ModuleNotFoundError(\"No module named 'psutil'\", name='psutil')"})
    monkeypatch.syspath_prepend(str(tmp_path))
    found = library_finding("psutil", ask(Host(), "library", "psutil"), PI, {})
    assert (found.state, found.mend) == ("fail", "/opt/e/bin/python -m pip install psutil")
    found = library_finding("numpy", Answer({"step": "run"}, "dies of SIGILL (illegal instruction) when it runs"), PI, {"numpy": "2.3"})
    assert found.mend == "/opt/e/bin/python -m pip install 'numpy<2.3'"
