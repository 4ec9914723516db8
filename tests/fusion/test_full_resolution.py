"""Models at full resolution: frames that have to be padded for the network, and frames that do not fit into memory."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgefuse
from edgefuse.board import free_memory
from edgefuse.errors import ModelError
from edgefuse.fusion import memory_check
from edgefuse.fusion.full_resolution import FullResolution
from edgefuse.runtimes import choose
from edgefuse.zoo import Card
from tests.fusion.pairs import pair, random
from tests.runtimes.tiny import card_for, graph_of, npz

SHAPES = ("height%8", "width%8")
STEPS = [{"op": "pool", "in": ["visible"], "out": "small"}, {"op": "enlarge", "in": ["small"], "out": "fused"}]


def largest_of_four(folder: Path) -> Card:
    """A model that outputs the visible frame with each 2 x 2 block replaced by its maximum; sides must be multiples of 8."""
    card = card_for(folder, npz(graph=graph_of(STEPS)), ("visible", "infrared"), ("fused",))
    inputs = tuple(replace(t, shape=(1, 1, *SHAPES)) for t in card.inputs)
    return replace(card, inputs=inputs)


@pytest.mark.parametrize("size", [(1, 1), (8, 16), (17, 3), (63, 65)])
def test_a_frame_is_padded_by_its_border_and_comes_back_in_its_size(tmp_path: Path, size: tuple[int, int]) -> None:
    card = largest_of_four(tmp_path)
    assert card.multiple == 8
    visible, infrared = random(size, 1), random(size, 2)
    made = FullResolution(card, choose(card, "numpy"), "keep").make(visible, infrared, 0)
    padded = np.pad(visible, [(0, -n % 8) for n in size], mode="edge")
    tall = np.maximum(padded[::2], padded[1::2])
    expected = np.maximum(tall[:, ::2], tall[:, 1::2]).repeat(2, 0).repeat(2, 1)[: size[0], : size[1]]
    np.testing.assert_array_equal(made.data, expected)


def test_a_frame_that_does_not_fit_is_refused_with_what_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(largest_of_four(tmp_path), cost={"peak_bytes_per_pixel": {"numpy_fp32": 1000}})
    monkeypatch.setattr(memory_check, "free", lambda: 84_000_000)
    method = FullResolution(card, choose(card, "numpy"), "keep")
    assert method.make(random((200, 300)), random((200, 300)), 0).data.shape == (200, 300)
    message = "tiny (fp32, numpy) takes about 256 MB for a frame of 640x400 and 64 MB are free; what fits: "
    with pytest.raises(ModelError, match=re.escape(message) + ".*frames of up to 320x200$"):
        method.make(random((400, 640)), random((400, 640)), 0)


def test_free_memory_is_the_machine_s_or_the_control_group_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "cgroup_limit", lambda: None)
    assert memory_check.free() > 0
    monkeypatch.setattr(free_memory, "cgroup_limit", lambda: 1)
    assert memory_check.free() < 0


def test_a_model_that_does_not_say_what_it_takes_is_let_run(tmp_path: Path) -> None:
    card = largest_of_four(tmp_path)
    assert memory_check.needed(card, "numpy", "fp32", 1 << 40) is None
    memory_check.check(card, choose(card, "numpy"), (1 << 20, 1 << 20))


@pytest.mark.parametrize("size", [(1, 1), (17, 3), (63, 65), (96, 80)])
def test_nestfuse_edge_takes_any_size_and_keeps_colour(size: tuple[int, int]) -> None:
    with edgefuse.load("nestfuse-edge", threads=1) as fuser:
        grey = fuser.fuse(pair(random(size, 1), random(size, 2)))
        colour = fuser.fuse(pair(random((*size, 3), 1), random(size, 2)))
    assert (grey.data.shape, colour.data.shape) == (size, (*size, 3))


def test_nestfuse_edge_draws_little_beside_a_blend() -> None:
    visible, infrared = random((64, 64), 1), random((64, 64), 2)
    with edgefuse.load("nestfuse-edge", threads=1) as fuser:
        for equal in (visible, infrared):
            same = fuser.fuse(pair(cv2.blur(equal, (5, 5)), cv2.blur(equal, (5, 5))))
            assert np.abs(same.data.astype(int) - cv2.blur(equal, (5, 5))).mean() < 4
