"""Value objects: accepted data, and immutability."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numpy.typing import DTypeLike

from edgefuse.frames import Frame, FramePair, FusedFrame


@pytest.mark.parametrize(
    ("shape", "dtype", "size", "colour"),
    [
        ((3, 5), np.uint8, (5, 3), False),
        ((3, 5), np.uint16, (5, 3), False),
        ((3, 5, 3), np.uint8, (5, 3), True),
        ((1, 1, 3), np.uint16, (1, 1), True),
    ],
)
def test_valid_pictures(shape: tuple[int, ...], dtype: DTypeLike, size: tuple[int, int], colour: bool) -> None:
    frame = Frame(np.zeros(shape, dtype), "visible", 7, "f")
    assert (frame.size, frame.colour) == (size, colour)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((5,), np.uint8), ((3, 5, 1), np.uint8), ((3, 5, 4), np.uint8), ((1, 3, 5, 3), np.uint8), ((3, 5), np.float32), ((3, 5), np.int16),
     ((3, 5), np.bool_), ((3, 5), np.dtype(np.uint16).newbyteorder())],
)  # fmt: skip
def test_invalid_pictures(shape: tuple[int, ...], dtype: DTypeLike) -> None:
    with pytest.raises(ValueError, match=r"^frame f: expected uint8 or uint16 \(H, W\) or \(H, W, 3\), got "):
        Frame(np.zeros(shape, dtype), "visible", 0, "f")


def test_a_pair_has_its_visible_frames_name_and_both_sizes() -> None:
    visible = Frame(np.zeros((4, 6, 3), np.uint8), "visible", 1, "v")
    infrared = Frame(np.zeros((2, 3), np.uint16), "infrared", 2, "i")
    pair = FramePair(visible, infrared, 9)
    assert (pair.name, pair.nbytes, pair.index) == ("v", 4 * 6 * 3 + 2 * 3 * 2, 9)
    fused = FusedFrame(np.zeros((4, 6), np.uint8), pair)
    assert (fused.name, dict(fused.stages_ns)) == ("v", {})


@pytest.mark.parametrize("field", ["data", "name", "time_ns", "invented"])
def test_frames_are_frozen(field: str) -> None:
    frame = Frame(np.zeros((2, 2), np.uint8), "visible", 0, "f")
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        setattr(frame, field, 1)
    assert frame.time_ns == 0


def test_fused_frames_do_not_share_their_stages() -> None:
    frame = Frame(np.zeros((2, 2), np.uint8), "visible", 0, "f")
    a, b = (FusedFrame(frame.data, FramePair(frame, frame, 0)) for _ in range(2))
    assert a.stages_ns is not b.stages_ns


def test_a_low_resolution_map_is_enlarged_on_request() -> None:
    frame = Frame(np.zeros((50, 61), np.uint8), "visible", 0, "f")
    pair = FramePair(frame, frame, 0)
    assert FusedFrame(frame.data, pair).blending_map is None
    whole = np.random.default_rng(0).random((50, 61), np.float32)
    assert FusedFrame(frame.data, pair, {}, whole).blending_map is whole
    decided = np.repeat(np.linspace(0, 1, 8, dtype=np.float32)[None], 8, axis=0)  # the map of the frame, which was padded to 64 x 64
    enlarged = FusedFrame(frame.data, pair, {}, decided, 8).blending_map
    assert enlarged is not None
    assert (enlarged.shape, enlarged.dtype) == ((50, 61), np.float32)
    # a cell's value applies at its centre
    np.testing.assert_allclose(enlarged[:, 4:60], np.tile((np.arange(4, 60) + 0.5 - 4) / 56, (50, 1)), atol=1e-5)
