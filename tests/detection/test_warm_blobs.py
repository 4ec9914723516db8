"""Tests of the detector warm-blobs: what is found, what is left out, and the shares that boxes are in."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.detection import Detection, DetectorOptions, Look, open_detector
from edgefuse.detection.blobs import WIDEST, find, overlaps, working_picture
from edgefuse.detection.silhouette import figure
from edgefuse.settings.detect import DetectSettings
from tests.detection.figures import KELVIN, counts, fused, look, street

SCORE = DetectSettings().score


def people(seen: Look) -> list[Detection]:
    return [d for d in open_detector(DetectorOptions("warm-blobs", SCORE)).detect(seen) if d.score >= SCORE]


@pytest.mark.parametrize(("size", "scale"), [((160, 120), 1), ((640, 480), 4)])
def test_two_people_are_found_where_they_stand(size: tuple[int, int], scale: int) -> None:
    people_seen = sorted(people(look(street(*((x * scale, y * scale, h * scale) for x, y, h in ((70, 40, 40), (120, 50, 24))), size=size))),
                   key=lambda d: d.left)  # fmt: skip
    assert len(people_seen) == 2
    for one, (x, y, height) in zip(people_seen, ((70, 40, 40), (120, 50, 24)), strict=True):
        wide = 2 * round(0.13 * height) + 1
        true = Detection((x - wide / 2) / 160, y / 120, (x + wide / 2) / 160, (y + height) / 120, 1.0)
        assert one.overlap(true) > 0.5


def test_a_wall_a_square_and_noise_are_no_people() -> None:
    picture = street()
    picture[30:50, 100:120] = 180
    assert people(look(picture)) == []
    assert people(look(np.full((120, 160), 90, np.uint8))) == []


def test_a_frame_that_is_smaller_than_any_person_has_none() -> None:
    assert people(look(np.arange(12, dtype=np.uint8).reshape(3, 4))) == []


@pytest.mark.parametrize(("degrees", "seen"), [(0.2, 1), (2.0, 0), (0.02, 0)])
def test_degrees_leave_out_what_is_too_hot_or_too_cold(degrees: float, seen: int) -> None:
    """Levels of 60 to 170 are 2 to 24 degrees at 0.2 degrees a level from -10, 110 to 330 at 2, and -8.8 to -6.6 at 0.02."""
    grey = street((100, 40, 40))
    assert len(people(look(counts(grey, -10, degrees), KELVIN, grey))) == seen


def test_a_wide_picture_is_halved_and_a_small_one_is_not() -> None:
    assert working_picture(np.zeros((480, 640), np.uint8)).shape == (240, 320)
    assert working_picture(np.zeros((1024, 1280), np.uint8)).shape == (256, 320)
    assert working_picture(np.zeros((300, WIDEST), np.uint8)).shape == (300, WIDEST)


def test_support_counts_thresholds_at_which_a_region_stands_alone() -> None:
    people_seen = find(working_picture(street((100, 40, 40))))
    person = np.flatnonzero((abs(people_seen.left + people_seen.width / 2 - 100) < 4) & (people_seen.height > 35))
    assert people_seen.support[person].min() >= 5


def test_overlaps_of_boxes() -> None:
    box = [np.array(v, np.float64) for v in ((0, 5, 20), (0, 0, 0), (10, 10, 10), (10, 10, 10))]
    assert overlaps(box)[0].tolist() == pytest.approx([1.0, 1 / 3, 0.0])


def test_the_figure_has_mean_0_and_norm_1() -> None:
    assert figure().mean() == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(figure()) == pytest.approx(1, abs=1e-5)


def test_the_frame_is_not_modified() -> None:
    grey = street((100, 40, 40))
    before = grey.copy()
    seen = Look(grey, fused(grey))
    people(seen)
    assert np.array_equal(grey, before)
