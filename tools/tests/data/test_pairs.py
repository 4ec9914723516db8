from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.data.pairs import batch, multi_focus, multi_lighting, split
from tools.data.photographs import Photograph, load


def test_coco_and_photos(coco: Path) -> None:
    loaded = load([f"coco128:{coco}", f"photos:{coco / 'images'}"])
    assert len(loaded) == 80
    assert sum(p.foreground is not None for p in loaded) == 39
    assert loaded[0].luma.shape == (120, 150)
    assert set(np.unique(loaded[0].foreground)) == {0, 1}


def test_voc_takes_object_masks_and_counts_their_outline(tmp_path: Path) -> None:
    for d in ("JPEGImages", "SegmentationObject"):
        (tmp_path / d).mkdir()
    mask = np.zeros((50, 60, 3), np.uint8)
    mask[10:20, 10:20] = (0, 0, 128)
    mask[9, 10:20] = (192, 224, 224)
    cv2.imwrite(str(tmp_path / "SegmentationObject" / "a.png"), mask)
    cv2.imwrite(str(tmp_path / "JPEGImages" / "a.jpg"), np.full((50, 60, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "JPEGImages" / "without.jpg"), np.full((50, 60, 3), 90, np.uint8))
    (only,) = load([f"voc:{tmp_path}"])
    assert only.foreground is not None
    assert only.foreground.sum() == 110


@pytest.mark.parametrize("uri", ["coco128:/nowhere", "kitti:.", "photos", "voc:."])
def test_what_is_no_data_is_said(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"expected KIND|no SegmentationObject"):
        load([uri])


def test_split_is_fixed_and_disjoint(photographs: list[Photograph]) -> None:
    parts = split(photographs)
    names = {k: {p.name for p in v} for k, v in parts.items()}
    assert sum(len(v) for v in names.values()) == len(photographs)
    fewer = split(photographs[:20])
    assert all({p.name for p in fewer[k]} <= names[k] for k in names)


def test_batches_are_balanced_deterministic_and_bounded(photographs: list[Photograph]) -> None:
    first, second = (batch(photographs, 8, 64, np.random.default_rng(5)) for _ in range(2))
    assert first.focus.sum() == 4
    for name in ("visible", "infrared", "truth", "mask"):
        a = getattr(first, name)
        assert np.array_equal(a, getattr(second, name))
        assert a.shape == (8, 1, 64, 64)
        assert a.min() >= 0
        assert a.max() <= 1


def test_the_ideal_map_rebuilds_the_truth_of_multi_focus(photographs: list[Photograph]) -> None:
    b = batch(photographs, 16, 64, np.random.default_rng(1))
    rebuilt = b.visible * b.mask + b.infrared * (1 - b.mask)
    assert np.allclose(rebuilt[b.focus], b.truth[b.focus], atol=1e-5)


def test_each_side_is_worse_where_it_should_be() -> None:
    rng = np.random.default_rng(0)
    luma = rng.random((64, 64), dtype=np.float32)
    mask = np.zeros_like(luma)
    mask[:, :32] = 1
    first, second, truth = multi_focus(luma, mask, rng)
    assert first[:, :32].std() > 1.5 * second[:, :32].std()
    assert second[:, 32:].std() > 1.5 * first[:, 32:].std()
    over, dark, truth = multi_lighting(luma, np.zeros_like(luma), rng)
    assert np.array_equal(truth, luma)
    assert over.mean() > luma.mean() > dark.mean()


def test_no_mask_at_all_is_said() -> None:
    with pytest.raises(ValueError, match="no photograph has a foreground mask"):
        batch([Photograph("a", np.zeros((80, 80), np.uint8), None)], 2, 64, np.random.default_rng(0))
