from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.errors import InputError
from edgefuse.metrics.references import REFERENCES, average, laplacian, maximum
from tests.metrics.pictures import made


@pytest.mark.parametrize("name", REFERENCES)
def test_as_the_referee_has_them(shared: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(shared / "referee"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import fusion as referee

    visible, infrared, _ = made()
    for image in (visible, visible[..., 0].copy()):
        other = cv2.cvtColor(infrared, cv2.COLOR_GRAY2BGR) if image.ndim == 3 else infrared
        assert np.array_equal(REFERENCES[name](image, infrared), getattr(referee, name)(image, other))


@pytest.mark.parametrize("name", REFERENCES)
def test_a_picture_with_itself_is_itself(name: str) -> None:
    visible, infrared, _ = made()
    assert np.array_equal(REFERENCES[name](visible, visible), visible)
    assert REFERENCES[name](infrared, visible).shape == infrared.shape


def test_by_hand() -> None:
    dark, light = np.full((5, 6), 10, np.uint8), np.full((5, 6), 255, np.uint8)
    assert (average(dark, light) == 132).all()
    assert (maximum(dark, light) == 255).all()
    assert (laplacian(dark, light) == 133).all()


def test_bad_pictures() -> None:
    with pytest.raises(InputError, match="differ in size"):
        average(np.zeros((5, 6), np.uint8), np.zeros((6, 5), np.uint8))
