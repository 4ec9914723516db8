"""halo, blackened and day: comparison with a second, simple implementation, with values by hand, and with the project's referee."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from edgefuse.errors import InputError
from edgefuse.metrics.natural import SIGMAS, Natural
from edgefuse.metrics.references import REFERENCES
from edgefuse.metrics.targets import Targets, summary
from tests.metrics.pictures import Image, made

Real = np.ndarray


def plain_gaussian(picture: Real, sigma: float, radius: int) -> Real:
    """Smooth along rows, then columns, mirrored at the border, by the formula."""
    kernel = np.array([math.exp(-(k**2) / (2 * sigma**2)) for k in range(-radius, radius + 1)])
    kernel /= kernel.sum()
    for axis in (0, 1):
        wide = np.pad(picture, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="reflect")
        length = picture.shape[axis]
        picture = sum(weight * np.take(wide, range(k, k + length), axis) for k, weight in enumerate(kernel))
    return picture


def plain_steepness(picture: Image, sigma: int) -> Real:
    smooth = np.pad(plain_gaussian(picture.astype(np.float64), sigma, 4 * sigma), 1, mode="reflect")
    lengths = np.zeros(picture.shape)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            a = smooth[y : y + 3, x : x + 3]
            right = a[0, 2] + 2 * a[1, 2] + a[2, 2] - a[0, 0] - 2 * a[1, 0] - a[2, 0]
            down = a[2, 0] + 2 * a[2, 1] + a[2, 2] - a[0, 0] - 2 * a[0, 1] - a[0, 2]
            lengths[y, x] = math.hypot(right, down) / 8
    return lengths


def plain_cold(infrared: Image) -> np.ndarray:
    warm = infrared > infrared.mean() + 2 * infrared.std()
    cold = np.ones(infrared.shape, bool)
    for y, x in zip(*np.nonzero(warm), strict=True):
        cold[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = False
    return cold


def plain_ssim(a: Image, b: Image) -> Real:
    x, y = a.astype(np.float64), b.astype(np.float64)
    mx, my, xx, yy, xy = (plain_gaussian(p, 1.5, 5) for p in (x, y, x * x, y * y, x * y))
    c1, c2 = 6.5025, 58.5225
    return (2 * mx * my + c1) * (2 * (xy - mx * my) + c2) / ((mx**2 + my**2 + c1) * (xx - mx**2 + yy - my**2 + c2))


def lumas() -> tuple[Image, Image, Image]:
    visible, infrared, fused = made()
    return cv2.cvtColor(visible, cv2.COLOR_BGR2GRAY), infrared, cv2.cvtColor(fused, cv2.COLOR_BGR2GRAY)


def test_halo_as_a_plain_implementation_has_it() -> None:
    visible, infrared, fused = lumas()
    fused[10:40, 5:40] = 255
    expected = []
    for sigma in SIGMAS:
        steepest = np.maximum(plain_steepness(visible, sigma), plain_steepness(infrared, sigma))
        expected.append(np.maximum(0, plain_steepness(fused, sigma) - steepest).sum() / steepest.sum())
    assert min(expected) > 0.001
    assert Natural(visible, infrared).halo(fused) == pytest.approx(expected, rel=1e-9)


def test_blackened_and_day_as_a_plain_implementation_has_them() -> None:
    visible, infrared, fused = lumas()
    dark = (fused * 0.45).astype(np.uint8)
    cold = plain_cold(infrared)
    assert 0.5 < cold.mean() < 1
    lit = [(y, x) for y, x in zip(*np.nonzero(cold), strict=True) if visible[y, x] > 40]
    blackened = sum(dark[at] < visible[at] / 2 for at in lit) / len(lit)
    assert 0.05 < blackened < 0.95
    natural = Natural(visible, infrared)
    assert natural.blackened(dark) == blackened
    assert natural.day(fused) == pytest.approx(plain_ssim(visible, fused)[cold].mean(), abs=1e-9)


def test_colour_counts_by_luma() -> None:
    visible, infrared, fused = made()
    grey = lumas()
    colour, plain = Natural(visible, cv2.cvtColor(infrared, cv2.COLOR_GRAY2BGR)), Natural(*grey[:2])
    assert colour.halo(fused) == pytest.approx(plain.halo(grey[2]))
    assert colour.blackened(fused) == plain.blackened(grey[2])
    assert colour.day(fused) == pytest.approx(plain.day(grey[2]))


def street() -> tuple[Image, Image]:
    """Return a daylight pair: a uniform road at level 120 with a person of level 100 in the visible and 200 in the infrared frame."""
    visible, infrared = np.full((90, 120), 120, np.uint8), np.full((90, 120), 60, np.uint8)
    visible[40:60, 50:58], infrared[40:60, 50:58] = 100, 200
    return visible, infrared


def test_a_bubble_around_a_person_is_a_halo_and_its_black_surroundings_are_blackened() -> None:
    visible, infrared = street()
    natural = Natural(visible, infrared)
    average = REFERENCES["average"](visible, infrared)
    bubble = average.copy()
    cv2.circle(bubble, (54, 50), 30, 40, -1)
    bubble[40:60, 50:58] = 200
    assert max(natural.halo(average)) < 1e-6
    assert min(natural.halo(bubble)) > 0.2
    assert natural.blackened(average) == 0
    around = (bubble == 40) & plain_cold(infrared)
    assert natural.blackened(bubble) == pytest.approx(around.sum() / plain_cold(infrared).sum())
    assert natural.day(visible) == pytest.approx(1)
    assert natural.day(bubble) < natural.day(average) < 1


def test_the_limits_themselves() -> None:
    visible, infrared = np.full((20, 20), 41, np.uint8), np.zeros((20, 20), np.uint8)
    # 20.5 is half of 41
    assert Natural(visible, infrared).blackened(visible // 2) == 1
    assert Natural(visible, infrared).blackened(visible // 2 + 1) == 0
    assert math.isnan(Natural(visible - 1, infrared).blackened(visible // 2))
    assert Natural(np.full((8, 8), 50, np.uint8), np.zeros((8, 8), np.uint8)).by_day
    assert not Natural(np.full((8, 8), 49, np.uint8), np.zeros((8, 8), np.uint8)).by_day


def test_where_all_is_warm_there_is_nothing_to_compare() -> None:
    infrared = np.zeros((9, 9), np.uint8)
    infrared[4, 4] = 255
    visible = np.full((9, 9), 100, np.uint8)
    assert math.isnan(Natural(visible, infrared).day(visible))
    assert math.isnan(Natural(visible, infrared).blackened(visible))


@given(arrays(np.uint8, (3, 24, 26)))
def test_any_pictures(planes: Image) -> None:
    visible, infrared, fused = planes
    natural = Natural(visible, infrared)
    assert all(h >= 0 for h in natural.halo(fused))
    assert max(natural.halo(visible) + natural.halo(infrared)) < 1e-5
    assert not natural.blackened(visible) > 0
    assert not abs(natural.day(fused)) > 1 + 1e-9


def test_bad_pictures() -> None:
    visible, infrared = street()
    with pytest.raises(InputError, match="infrared 119x90"):
        Natural(visible, infrared[:, 1:])
    for measure in (Natural.halo, Natural.blackened, Natural.day):
        with pytest.raises(InputError, match="fused 120x89"):
            measure(Natural(visible, infrared), visible[1:])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "folder"), [("msrs", "msrs_test"), ("targets", "targets")])
def test_as_the_referee(shared: Path, tmp_path: Path, name: str, folder: str) -> None:
    root, by_figure = shared / "data" / "fusion" / folder, {}
    for path in sorted((root / "visible").glob("*.png")):
        # read as the referee does: libpng's grey is up to a level below the luma of the same file read in colour
        visible, infrared = (cv2.imread(str(root / part / path.name), 0) for part in ("visible", "infrared"))
        fused = np.roll(REFERENCES["laplacian"](visible, infrared), 3, axis=1)
        cv2.imwrite(str(tmp_path / path.name), fused)
        natural, values = Natural(visible, infrared), by_figure.setdefault
        values("halo", []).append(natural.halo(fused))
        assert natural.by_day == path.stem.endswith("D") or name == "targets"
        if name == "targets":
            mask = cv2.imread(str(root / "mask" / path.name), 0)
            values("seen", []).extend(Targets(cv2.imread(str(path)), infrared, mask).seen(fused))
        elif natural.by_day:
            values("day", []).append((natural.blackened(fused), natural.day(fused)))
    command = [sys.executable, "-B", str(shared / "referee" / "natural.py"), str(tmp_path), "--set", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("this "))
    said = [float(number) for number in re.findall(r"[0-9]+\.[0-9]+", line)]
    ours = list(np.mean(by_figure["halo"], axis=0))
    if name == "targets":
        kept = summary(by_figure["seen"])
        assert kept is not None
        ours += [kept.mean, kept.worst_tenth]
    else:
        blackened, day = np.mean(by_figure["day"], axis=0)
        ours += [100 * blackened, day]
    steps = [0.1 if name == "msrs" and k == 3 else 0.001 for k in range(5)]
    assert all(abs(a - b) <= 0.51 * step for a, b, step in zip(ours, said, steps, strict=True)), (ours, said)
