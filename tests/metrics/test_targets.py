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

# the referee's own loop, its print made exact
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
    """A grey street, a warm body of 10 x 8 pixels that only the infrared frame sees, and its mask."""
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
