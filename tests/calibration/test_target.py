"""Targets seen by two cameras of different size, one of them with black and white inverted."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.calibration import points, target
from edgefuse.calibration.registration import project
from edgefuse.calibration.views import views
from edgefuse.errors import CalibrationError
from edgefuse.frames import Frame, FramePair
from tests.calibration.scenes import board_pair

TO_INFRARED = np.array([[0.48, 0.01, 3], [-0.01, 0.47, 4], [2e-5, 0, 1]])


@pytest.mark.parametrize("kind", ["checkerboard", "dots"])
def test_a_warm_target_gives_the_homography(kind: target.Kind) -> None:
    pair = board_pair(kind, 8, 5, TO_INFRARED, (200, 160))
    marks, missing = target.find(views([pair]), kind, 8, 5)
    assert (marks.shape, missing) == ((40, 4), [])
    fitted = points.fit(marks, (400, 320), (200, 160))
    spots = np.array([(40.0, 40), (160, 40), (160, 120), (40, 120)])
    assert np.hypot(*(project(fitted.homography, project(TO_INFRARED, spots * 2)) - spots * 2).T).max() < 0.6
    assert fitted.error_px < 0.5


def test_views_without_the_target_are_named_and_the_others_used() -> None:
    y, x = np.mgrid[:320, :400]
    plain = (x / 4 + y / 8).astype(np.uint8)
    other = FramePair(Frame(plain, "visible", 0, "wall"), Frame(plain, "infrared", 0, "wall"), 0)
    shown = board_pair("checkerboard", 8, 5, TO_INFRARED, (400, 320))
    marks, missing = target.find(views([other, shown]), "checkerboard", 8, 5)
    assert (len(marks), missing) == (40, ["wall (visible and infrared)"])
    with pytest.raises(CalibrationError, match=r"no checkerboard of 8x5 inner corners in wall \(visible and infrared\); warm"):
        target.find(views([other]), "checkerboard", 8, 5)
