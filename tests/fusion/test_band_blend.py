"""The blend in bands: no new details without gain; the picture is the same for all strips and threads, compiled or not."""

from __future__ import annotations

import tracemalloc
from itertools import product
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.fusion.band_blend import BandBlend
from edgefuse.fusion.band_rows import CompiledRows, NumpyRows, Rows, Strength, select, strengthen, weigh
from edgefuse.util import compiled
from edgefuse.util.arrays import UInt8Array
from tests.fusion.pairs import random

SIZES = [(1, 1), (1, 40), (33, 1), (31, 17), (32, 32), (97, 131), (64, 96)]
seeds = st.integers(0, 2**32 - 1)
needs_compiler = pytest.mark.skipif(compiled.library() is None, reason="EdgeFuse was installed without a C compiler")
WAYS = [pytest.param(NumpyRows, id="numpy"), pytest.param(CompiledRows, id="compiled", marks=needs_compiler)]


def chosen(
    visible: tuple[UInt8Array, UInt8Array], infrared: tuple[UInt8Array, UInt8Array],
    weights: tuple[UInt8Array | None, UInt8Array | None] = (None, None), gain: int = 0, core: int = 0, noise: int = 0,
) -> NDArray[np.int64]:  # fmt: skip
    """Return the signed result of `select` for two (source, base) pairs."""
    scratch = [np.empty_like(visible[0]) for _ in range(6)]
    positive, negative = select(visible, infrared, weights, Strength(gain, core, noise), scratch)
    assert not np.any((positive > 0) & (negative > 0))
    return positive.astype(np.int64) - negative


def details(
    seed: int, spread: int
) -> tuple[tuple[UInt8Array, UInt8Array], tuple[UInt8Array, UInt8Array], NDArray[np.int64], NDArray[np.int64]]:
    """Return two (source, base) pairs whose details are up to `spread` levels, and those details."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(2):
        base = rng.integers(0, 256, (8, 16))
        source = np.clip(base + rng.integers(-spread, spread + 1, base.shape), 0, 255)
        out.append((source.astype(np.uint8), base.astype(np.uint8)))
    d_v, d_i = (s.astype(int) - b for s, b in out)
    return out[0], out[1], d_v, d_i


@given(seeds, st.sampled_from([2, 9, 60, 255]), st.integers(0, 14))
def test_the_choice_lies_between_the_two_details(seed: int, spread: int, noise: int) -> None:
    visible, infrared, d_v, d_i = details(seed, spread)
    d = chosen(visible, infrared, noise=noise)
    assert np.all(d >= np.minimum(d_v, d_i))
    assert np.all(d <= np.maximum(d_v, d_i))
    if not noise:
        np.testing.assert_array_equal(d, np.maximum(0, np.maximum(d_v, d_i)) - np.maximum(0, np.maximum(-d_v, -d_i)))


def weighed(detail: NDArray[np.int64], weight: UInt8Array) -> NDArray[np.int64]:
    return np.asarray(np.sign(detail) * ((2 * np.abs(detail) * weight.astype(np.int64) + 255) // 510), np.int64)


@given(seeds, st.sampled_from([2, 9, 60, 255]), st.integers(0, 14))
def test_with_any_weights_it_lies_between_the_weighed_details(seed: int, spread: int, noise: int) -> None:
    visible, infrared, d_v, d_i = details(seed, spread)
    weights = random((8, 16), seed), random((8, 16), seed + 1)
    d = chosen(visible, infrared, weights, noise=noise)
    w_v, w_i = weighed(d_v, weights[0]), weighed(d_i, weights[1])
    assert np.all(d >= np.minimum(w_v, w_i))
    assert np.all(d <= np.maximum(w_v, w_i))


def test_weights_go_from_nothing_to_all() -> None:
    before = np.arange(256, dtype=np.uint8).reshape(1, -1)
    for weight, expected in ((0, np.zeros_like(before)), (255, before)):
        detail = before.copy()
        weigh(detail, np.full_like(before, weight))
        np.testing.assert_array_equal(detail, expected)
    last = np.zeros_like(before)
    for weight in range(256):
        detail = before.copy()
        weigh(detail, np.full_like(before, weight))
        assert np.all(detail >= last)
        last = detail


@given(seeds, st.integers(0, 16), st.integers(0, 20), st.integers(0, 14))
def test_no_gain_and_no_weight_turns_a_detail_s_sign(seed: int, gain: int, core: int, noise: int) -> None:
    visible, infrared, d_v, d_i = details(seed, 60)
    weights = random((8, 16), seed), random((8, 16), seed + 1)
    d = chosen(visible, infrared, weights, gain, core, noise)
    assert np.all(d[(d_v >= 0) & (d_i >= 0)] >= 0)
    assert np.all(d[(d_v <= 0) & (d_i <= 0)] <= 0)
    plain = chosen(visible, infrared, weights, noise=noise)
    assert np.all(d * plain >= 0)
    assert np.all(np.abs(d) >= np.abs(plain))
    assert np.all(np.abs(d) <= np.minimum(2 * np.abs(plain), 255))


@pytest.mark.pi
@pytest.mark.parametrize("gain", range(17))
@pytest.mark.parametrize("core", [0, 7, 30])
def test_strengthened_by_sixteenths_above_the_core(gain: int, core: int) -> None:
    before = np.arange(256, dtype=np.uint8).reshape(1, -1)
    detail = before.copy()
    strengthen(detail, gain, core)
    expected = np.minimum(before + np.maximum(before.astype(int) - core, 0) * gain // 16, 255)
    np.testing.assert_array_equal(detail, expected)
    np.testing.assert_array_equal(detail[before <= core], before[before <= core])


def blended(
    visible: UInt8Array, infrared: UInt8Array, share: float | NDArray[np.float32], gain: int = 0, chroma: float = 1.0, noise: float = 0.0,
    less: UInt8Array | None = None, **how: Any,
) -> UInt8Array:  # fmt: skip
    bands = BandBlend(visible.shape[1], visible.shape[0], **how)
    bands.reduce(visible, infrared)
    blending_map = np.full(bands.eighths["visible"].shape, share, np.float32)
    out = np.full(visible.shape, 77, np.uint8)
    bands.mix(blending_map, gain, noise)
    bands.finish(visible, out, gain, chroma, noise, less)
    bands.close()
    return out


@pytest.mark.pi
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("rows", WAYS)
def test_all_of_one_frame_is_that_frame(size: tuple[int, int], rows: type[Rows]) -> None:
    visible, infrared = random(size, 1), random(size, 2)
    assert np.abs(blended(visible, infrared, 1.0, rows=rows).astype(int) - visible).max() <= 2
    assert np.abs(blended(visible, infrared, 0.0, rows=rows).astype(int) - infrared).max() <= 2
    colour = random((*size, 3), 3, 80, 170)
    assert np.abs(blended(colour, infrared, 1.0, rows=rows).astype(int) - colour).max() <= 3


def test_a_bright_sky_is_not_painted_black() -> None:
    visible, infrared = np.full((64, 64), 240, np.uint8), np.full((64, 64), 5, np.uint8)
    assert blended(visible, infrared, 0.1).min() >= 240 * 3 // 8
    # except where the visible frame has no weight
    assert blended(visible, infrared, 0.0).max() <= 5


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rows", WAYS)
def test_two_equal_frames_come_back(size: tuple[int, int], share: float, rows: type[Rows]) -> None:
    image = random(size, 4)
    assert np.array_equal(blended(image, image, share, rows=rows), image)


@settings(max_examples=25)
@given(st.integers(1, 70), st.integers(1, 70), st.floats(0, 1, width=32), seeds)
def test_base_and_middle_are_convex_mixes(height: int, width: int, share: float, seed: int) -> None:
    bands = BandBlend(width, height)
    rng = np.random.default_rng(seed)
    visible, infrared = (cv2.blur(rng.integers(0, 256, (height, width), dtype=np.uint8), (5, 5)) for _ in range(2))
    bands.reduce(visible.reshape(height, width), infrared.reshape(height, width))
    blending_map = np.full(bands.eighths["visible"].shape, share, np.float32)
    bands.mix(blending_map)
    a, b = (bands.eighths[name].astype(int) for name in ("visible", "infrared"))
    assert np.all(bands.base >= np.minimum(a, b))
    assert np.all(bands.base <= np.maximum(a, b))
    size = bands.fused_quarter.shape[::-1]
    details = [
        bands.quarters[n].astype(int) - cv2.resize(bands.eighths[n], size, interpolation=cv2.INTER_LINEAR_EXACT) for n in bands.quarters
    ]
    middle = bands.fused_quarter.astype(int) - cv2.resize(bands.base, size, interpolation=cv2.INTER_LINEAR_EXACT)
    # saturation at black and white only reduces a detail
    inside = (bands.fused_quarter > 0) & (bands.fused_quarter < 255)
    # a source's weight only reduces it, too
    details.append(np.zeros_like(details[0]))
    assert np.all((middle >= np.minimum.reduce(details))[inside])
    assert np.all((middle <= np.maximum.reduce(details))[inside])


@pytest.mark.pi
@pytest.mark.parametrize("shape", [(97, 131), (97, 131, 3), (200, 64), (160, 96, 3)], ids=str)
@pytest.mark.parametrize("rows", WAYS)
def test_strips_and_threads_do_not_change_a_level(shape: tuple[int, ...], rows: type[Rows]) -> None:
    visible, infrared = random(shape, 5), random(shape[:2], 6)
    share = np.random.default_rng(7).random(tuple(-(-n // 32) * 4 for n in shape[:2]), np.float32)
    share[:3], share[3:6] = 0, 1
    less = random(tuple(-(-n // 32) * 8 for n in shape[:2]), 8)
    whole = blended(visible, infrared, share, 9, 0.6, 2.0, less, strip_bytes=1 << 30, rows=rows)
    for strip_bytes in (1, 160 * 32, 160 * 64, 160 * 96, 160 * 160):
        for threads in (1, 2, 4):
            how = {"strip_bytes": strip_bytes, "threads": threads, "rows": rows}
            assert np.array_equal(blended(visible, infrared, share, 9, 0.6, 2.0, less, **how), whole)


@needs_compiler
@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 130), st.integers(1, 130), st.booleans(), st.integers(0, 16), st.sampled_from([0.0, 0.31, 0.77, 1.0]),
    st.sampled_from([0.0, 0.7, 4.0]), st.sampled_from(["low", "high", "all", "extreme"]), st.booleans(), seeds,
)  # fmt: skip
def test_compiled_and_not_agree_to_the_bit(
    height: int, width: int, colour: bool, gain: int, chroma: float, noise: float, shares: str, pulled: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    visible = rng.integers(0, 256, (height, width, 3) if colour else (height, width), dtype=np.uint8)
    infrared = cv2.blur(rng.integers(0, 256, (height, width), dtype=np.uint8), (5, 5)).reshape(height, width)
    share = rng.random(tuple(-(-n // 32) * 4 for n in (height, width)), np.float32)
    # weights for either source, both, or none
    share = {"low": 0.2 + 0.2 * share, "high": 0.5 + 0.4 * share, "all": share, "extreme": np.clip(2 * share - 0.5, 0, 1)}[shares]
    less = rng.integers(0, 256, tuple(-(-n // 32) * 8 for n in (height, width)), dtype=np.uint8) if pulled else None
    both = [blended(visible, infrared, share, gain, chroma, noise, less, rows=rows) for rows in (NumpyRows, CompiledRows)]
    assert np.array_equal(*both)


@pytest.mark.pi
@needs_compiler
@pytest.mark.parametrize("size", [(1, 15), (5, 16), (33, 17), (40, 31), (37, 96), (70, 131)], ids=str)
@pytest.mark.parametrize("colour", [False, True])
def test_blocks_of_pixels_agree_with_numpy_to_the_bit(size: tuple[int, int], colour: bool) -> None:
    """On ARM, pictures of at least 16 pixels a row are blended in blocks, which the hypothesis test above does not run on the Pi."""
    for seed, (gain, chroma, noise, pulled) in enumerate(product((0, 9), (0.31, 1.0), (0.0, 2.0), (False, True))):
        rng = np.random.default_rng(seed)
        visible = rng.integers(0, 256, (*size, 3) if colour else size, dtype=np.uint8)
        infrared = cv2.blur(rng.integers(0, 256, size, dtype=np.uint8), (3, 3)).reshape(size)
        share = rng.random(tuple(-(-n // 32) * 4 for n in size), np.float32)
        # weights for the visible details, the infrared ones, both or none
        share = (0.2 + 0.2 * share, 0.5 + 0.4 * share, share, 2 * share - 0.5)[seed // 2 % 4].clip(0, 1)
        less = rng.integers(0, 256, tuple(-(-n // 32) * 8 for n in size), dtype=np.uint8) if pulled else None
        expected, made = (blended(visible, infrared, share, gain, chroma, noise, less, rows=rows) for rows in (NumpyRows, CompiledRows))
        assert np.array_equal(made, expected), (gain, chroma, noise, pulled)


@pytest.mark.parametrize("rows", WAYS)
def test_frames_may_be_views(rows: type[Rows]) -> None:
    visible, infrared = random((64, 96, 3), 1), random((64, 96), 2)
    expected = blended(visible, infrared, 0.4, 9, 0.6, rows=rows)
    inside = np.zeros((70, 100, 3), np.uint8)
    inside[3:67, 2:98] = visible
    upside_down = np.ascontiguousarray(visible[::-1])[::-1]
    for view in (inside[3:67, 2:98], upside_down, np.asfortranarray(visible)):
        assert np.array_equal(blended(view, infrared, 0.4, 9, 0.6, rows=rows), expected)


def test_frames_are_not_written_to() -> None:
    """A grey frame that needs no padding is used without a copy, so the next frame must not be written into it."""
    bands = BandBlend(64, 64)
    grey, infrared = random((64, 64), 1), random((64, 64), 2)
    kept = grey.copy(), infrared.copy()
    bands.reduce(grey, infrared)
    bands.reduce(random((64, 64, 3), 3), np.asfortranarray(random((64, 64), 4)))
    assert np.array_equal(grey, kept[0])
    assert np.array_equal(infrared, kept[1])
    assert np.array_equal(bands.planes[1], random((64, 64), 4))


@pytest.mark.parametrize("colour", [False, True])
def test_one_more_pair_makes_no_new_planes(colour: bool) -> None:
    visible, infrared = random((480, 640, 3) if colour else (480, 640), 1), random((480, 640), 2)
    bands, out = BandBlend(640, 480), np.empty_like(visible)
    blending_map = np.random.default_rng(0).random((60, 80), np.float32)

    def once() -> None:
        bands.reduce(visible, infrared)
        bands.mix(blending_map, 9, 2.0)
        bands.finish(visible, out, 9, 0.6, 2.0)

    once()
    tracemalloc.start()
    once()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000
