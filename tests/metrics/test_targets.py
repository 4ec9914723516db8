from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefuse.errors import InputError
from edgefuse.metrics.references import REFERENCES
from edgefuse.metrics.targets import Targets, summary

# the referee's loop, with its output printed exactly
REFEREE = """
import runpy, sys, numpy as np
sys.path.insert(0, {referee!r}); sys.argv = ["targets.py", {fused!r}]; sys.dont_write_bytecode = True
import targets
sort, seen = np.sort, []
np.sort = lambda k: seen.append([float(v) for v in k]) or sort(k)
targets.main()
print(seen)
"""


def test_as_the_referee(shared: Path, tmp_path: Path) -> None:
    folder, kept = shared / "data" / "fusion" / "targets", {}
    for path in sorted((folder / "visible").glob("*.png")):
        visible, infrared, mask = (cv2.imread(str(folder / d / path.name), 0) for d in ("visible", "infrared", "mask"))
        targets = Targets(visible, infrared, mask)
        fused = np.roll(REFERENCES["laplacian"](visible, infrared), 3, axis=1)
        cv2.imwrite(str(tmp_path / path.name), fused)
        rows = {"this": fused} | {name: make(visible, infrared) for name, make in REFERENCES.items()}
        for name, picture in rows.items():
            kept.setdefault(name, []).extend(targets.kept(picture))
    code = REFEREE.format(referee=str(shared / "referee"), fused=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    lines = done.stdout.splitlines()
    said = dict(zip((line.split()[0] for line in lines[:-1]), eval(lines[-1]), strict=True))
    for name, values in kept.items():
        assert values == pytest.approx(said[name], abs=1e-6)
        figures = summary(values)
        text = f"kept {figures.mean:.3f}  worst tenth {figures.worst_tenth:.3f}  below half {figures.below_half:.1%}"
        assert any(line.startswith(name) and text in line for line in lines)


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a grey street with a warm body of 10 x 8 pixels, visible only in the infrared frame, and its mask."""
    visible, infrared, mask = np.full((70, 90), 90, np.uint8), np.full((70, 90), 50, np.uint8), np.zeros((70, 90), np.uint8)
    infrared[30:40, 40:48] = 210
    mask[30:40, 40:48] = 255
    return visible, infrared, mask


def test_by_hand() -> None:
    visible, infrared, mask = scene()
    targets = Targets(visible, infrared, mask)
    assert len(targets) == 1
    assert targets.kept(infrared) == [1.0]
    assert targets.kept(visible) == [0.0]
    # the contrast of the average is half: 80 / 4 of 160 / 4
    assert targets.kept(REFERENCES["average"](visible, infrared)) == [pytest.approx(0.5)]
    assert targets.kept(255 - infrared) == [1.0]


def test_colour_counts_by_luma() -> None:
    visible, infrared, mask = scene()
    colour = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in (visible, infrared, mask)]
    assert Targets(*colour).kept(colour[1]) == Targets(visible, infrared, mask).kept(infrared)


def test_small_targets_and_targets_without_surroundings_are_left_out() -> None:
    visible, infrared, mask = scene()
    mask[5:10, 5:10] = 255
    assert len(Targets(visible, infrared, mask)) == 1
    assert len(Targets(visible, infrared, np.full_like(mask, 255))) == 0
    assert len(Targets(visible, infrared, np.zeros_like(mask))) == 0


def test_a_target_that_no_camera_sees_is_kept_by_any_contrast() -> None:
    visible, _, mask = scene()
    assert Targets(visible, visible, mask).kept(visible) == [0.0]
    assert Targets(visible, visible, mask).kept(mask) == [1.0]


def test_a_neighbour_is_not_part_of_the_ring() -> None:
    visible, infrared, mask = scene()
    alone = Targets(visible, infrared, mask).kept(REFERENCES["average"](visible, infrared))
    mask[30:40, 52:60] = 255
    infrared[30:40, 52:60] = 210
    both = Targets(visible, infrared, mask).kept(REFERENCES["average"](visible, infrared))
    assert both == [pytest.approx(alone[0])] * 2


def plain_lab(blue: float, green: float, red: float) -> np.ndarray:
    """Convert one colour, 0..255, to CIE Lab by the formulas of IEC 61966-2-1 and CIE 15 (D65)."""
    linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red / 255, green / 255, blue / 255)])
    xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]) @ linear
    f = [t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in xyz / (0.95047, 1.0, 1.08883)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_seen_by_hand() -> None:
    visible, infrared, mask = scene()
    colour = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
    road, coat = (90, 90, 90), (60, 80, 150)
    fused = colour.copy()
    fused[30:40, 40:48] = coat
    half = np.hstack([fused[:, :44], colour[:, 44:]])  # half of the coat
    best = abs(plain_lab(210, 210, 210) - plain_lab(50, 50, 50))[0] / 4
    targets = Targets(colour, infrared, mask)
    expected = np.linalg.norm(plain_lab(*coat) - plain_lab(*road)) / 4 / best
    assert targets.seen(fused) == [pytest.approx(expected, abs=2e-3)]
    assert targets.seen(half) == [pytest.approx(expected / 2, abs=2e-3)]
    assert targets.seen(infrared) == [1.0]
    assert targets.seen(colour) == [0.0]


def test_seen_counts_the_deviation_of_the_ring_in_all_three_channels() -> None:
    visible, infrared, mask = scene()
    fused = np.full((70, 90, 3), 90, np.uint8)
    fused[::2] = (20, 120, 90)  # every second row has another colour, so that a ring contains both equally
    fused[30:40, 40:48] = 210
    around = [plain_lab(90, 90, 90), plain_lab(20, 120, 90)]
    target, best = plain_lab(210, 210, 210), abs(plain_lab(210, 210, 210) - plain_lab(50, 50, 50))[0] / 4
    deviation = np.sqrt(np.var(around, axis=0).sum())
    expected = np.linalg.norm(target - np.mean(around, axis=0)) / (deviation + 4) / best
    # the ring has one more row of the first colour
    assert Targets(visible, infrared, mask).seen(fused) == [pytest.approx(expected, rel=0.02)]


def test_a_target_that_only_colour_shows_is_seen_and_not_kept() -> None:
    visible, _, mask = scene()
    fused = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
    fused[30:40, 40:48] = (90, 61, 147)  # luma 90, as the road
    targets = Targets(fused, visible, mask)
    assert cv2.cvtColor(fused, cv2.COLOR_BGR2GRAY)[35, 44] == 90
    assert targets.kept(fused) == [0.0]
    assert targets.seen(fused) == [1.0]
    assert targets.seen(visible) == [0.0]


def test_summary() -> None:
    figures = summary([1.0] * 17 + [0.4, 0.2, 0.0])
    assert (figures.targets, figures.below_half, figures.worst_tenth) == (20, 0.15, pytest.approx(0.1))
    assert figures.mean == pytest.approx(17.6 / 20)
    assert summary([0.3]).worst_tenth == 0.3
    assert summary([]) is None
    assert not math.isnan(figures.mean)


def test_bad_pictures() -> None:
    visible, infrared, mask = scene()
    with pytest.raises(InputError, match="mask 89x70"):
        Targets(visible, infrared, mask[:, 1:])
    with pytest.raises(InputError, match="fused 90x69"):
        Targets(visible, infrared, mask).kept(visible[1:])
    with pytest.raises(InputError, match="fused 90x69"):
        Targets(visible, infrared, mask).seen(visible[1:])
