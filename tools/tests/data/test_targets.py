from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.data import targets
from tools.tests.conftest import scene


def _street(draw: Callable[[np.ndarray], object]) -> np.ndarray:
    """Return a cool, uneven infrared frame with hot objects."""
    frame = cv2.GaussianBlur(np.random.default_rng(0).integers(60, 120, (240, 320), np.uint8), (0, 0), 3)
    draw(frame)
    return cv2.GaussianBlur(frame, (0, 0), 1)


def test_a_hot_body_is_found_where_it_is() -> None:
    labels = targets.find(_street(lambda f: cv2.ellipse(f, (160, 120), (9, 24), 0, 0, 360, 220, -1)))
    assert labels.dtype == np.int32
    assert labels.max() == 1
    assert labels[120, 160] == 1
    ys, xs = np.nonzero(labels)
    assert 90 <= ys.min() <= ys.max() <= 150
    assert 145 <= xs.min() <= xs.max() <= 175


@pytest.mark.parametrize(
    "draw",
    [
        lambda f: cv2.rectangle(f, (40, 120), (280, 160), 220, -1),
        lambda f: cv2.line(f, (60, 60), (180, 64), 220, 3),
        lambda f: cv2.ellipse(f, (160, 120), (9, 24), 0, 0, 360, 100, -1),
    ],
    ids=["road", "wire", "lukewarm"],
)
def test_what_is_no_target(draw: Callable[[np.ndarray], object]) -> None:
    assert not targets.find(_street(draw)).any()


def _pair() -> targets.Pair:
    visible, infrared = scene(0)
    return targets.Pair("made_up/0", visible, infrared, {"visible": targets.find(visible), "infrared": targets.find(infrared)})


def _centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(0)


def test_crops_and_their_labels() -> None:
    made = targets.crops([_pair()], 12, (192, 256), seed=0, swap=0.0)
    assert made.pairs.shape == (12, 2, 48, 64)
    assert made.labels.shape == (12, 2, 24, 32)
    assert made.pairs.dtype == np.uint8
    assert made.labels.dtype == bool
    again = targets.crops([_pair()], 12, (192, 256), seed=0, swap=0.0)
    assert np.array_equal(made.pairs, again.pairs)
    full = targets.full_crops([_pair()], 3, (192, 256), seed=0)
    assert full.shape == (3, 2, 192, 256)
    # the same random parts at full size
    small = cv2.resize(full[0, 1], (64, 48), interpolation=cv2.INTER_AREA)
    assert np.array_equal(small, made.pairs[0, 1])


def test_labels_follow_a_flip() -> None:
    """Where the label is set, the infrared crop is hottest, flipped or not."""
    made = targets.crops([_pair()], 30, (192, 256), seed=1, swap=0.0)
    certain = [(p[1], t[0]) for p, t in zip(made.pairs, made.labels, strict=True) if t[0].any()]
    assert len(certain) >= 15
    for infrared, label in certain:
        hottest = np.unravel_index(np.argmax(cv2.GaussianBlur(infrared, (0, 0), 1)), infrared.shape)
        assert label[hottest[0] // 2, hottest[1] // 2]
    assert len({_centre(label)[1] > 16 for _, label in certain}) == 2


def test_labels_follow_a_swap() -> None:
    pair = _pair()
    other = targets.Pair(
        "made_up/1", pair.infrared, pair.visible, {"visible": pair.targets["infrared"], "infrared": pair.targets["visible"]}
    )
    for seed in range(6):
        a = targets.crop(pair, (192, 256), np.random.default_rng(seed), 0.0)
        b = targets.crop(other, (192, 256), np.random.default_rng(seed), 1.0)
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_split_is_by_name(pairs: Path) -> None:
    parts = targets.load([pairs])
    names = {f"{pairs.name}/{k:02}" for k in range(12)}
    held_back = {name for name in names if zlib.crc32(name.encode()) % 3 == 0}
    assert held_back
    assert {p.name for part in parts.values() for p in part} == names - held_back
    for part in parts:
        assert all(targets.part_of(p.name) == part for p in parts[part])
    assert all(p.targets["infrared"].any() for p in parts["train"])


def test_bad_folders_are_said_in_one_line(tmp_path: Path) -> None:
    for folder in ("visible", "infrared"):
        (tmp_path / folder).mkdir()

    def refused(match: str) -> None:
        with pytest.raises(ValueError, match=match) as e:
            targets.load([tmp_path])
        assert len(str(e.value).splitlines()) == 1

    refused("no pair in .* falls to train")
    cv2.imwrite(str(tmp_path / "visible/a.png"), np.zeros((40, 50), np.uint8))
    refused("a.png: expected a readable infrared frame of the same name and size")
    cv2.imwrite(str(tmp_path / "infrared/a.png"), np.zeros((40, 40), np.uint8))
    refused("of the same name and size")
    (tmp_path / "visible/a.png").unlink()
    (tmp_path / "visible").rmdir()
    refused("no such folder")
