"""A model gives the same picture on every runtime."""

from __future__ import annotations

import numpy as np
import pytest

from edgefuse.errors import MissingDependencyError
from edgefuse.frames import FramePair
from edgefuse.runtimes import choose
from edgefuse.zoo import Card, cards, find

FULL = [c.name for c in cards() if "fused" in {t.name for t in c.outputs} and c.multiple == 1]
# the ablations are mobilefuse's network with other weights, so one of them is enough on the emulated Pi
ONCE = [pytest.param(m, marks=[] if "-only" in m else pytest.mark.pi) for m in FULL]
CASES = [pytest.param(*m.values, s, marks=m.marks) for m in ONCE for s in [(80, 96), (33, 47), (1, 1), (5, 200)]]
EVEN = ("mobilefuse-edge", "nestfuse-edge")  # frames' sides, or quarters' of them, are multiples of 8
CASES += [pytest.param(m, s, marks=pytest.mark.pi) for m in EVEN for s in [(80, 96), (8, 8), (24, 200)]]


def _run(card: Card, runtime: str, precision: str, inputs: dict[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
    try:
        choice = choose(card, runtime, precision, threads)
    except MissingDependencyError as e:
        pytest.skip(str(e))
    axes = (None, None) if choice.file.layout == "NCHW" else (None, ..., None)
    outputs = choice.runtime.run({k: v[axes] for k, v in inputs.items()})
    return {k: v[0, 0] if choice.file.layout == "NCHW" else v[0, ..., 0] for k, v in outputs.items()}


def _inputs(size: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {k: rng.integers(0, 256, size).astype(np.float32) / 255 for k in ("visible", "infrared")}


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((a.astype(np.float64) - b) ** 2), 1e-12)))


@pytest.mark.parametrize(("model", "size"), CASES, ids=str)
def test_numpy_equals_onnxruntime_within_one_level(model: str, size: tuple[int, int]) -> None:
    inputs = _inputs(size)
    ours, theirs = _run(find(model), "numpy", "fp32", inputs), _run(find(model), "onnx", "fp32", inputs)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.abs(ours[name] - theirs[name]).max() <= 1 / 255


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.parametrize("model", ONCE)
def test_int8_is_within_40_db_of_fp32(model: str, runtime: str, demo_pairs: list[FramePair]) -> None:
    inputs = {
        "visible": demo_pairs[0].visible.data.mean(axis=2).astype(np.float32) / 255,
        "infrared": demo_pairs[0].infrared.data.astype(np.float32) / 255,
    }
    reference = _run(find(model), "numpy", "fp32", inputs)["fused"]
    assert _psnr(_run(find(model), runtime, "int8", inputs)["fused"], reference) >= 40


def test_a_runtime_follows_the_frame_size_up_and_down() -> None:
    card = find("mobilefuse")
    for runtime, precision in (("onnx", "int8"), ("litert", "int8"), ("numpy", "fp32")):
        try:
            choice = choose(card, runtime, precision, 2)
        except MissingDependencyError:
            continue
        for size in ((64, 64), (31, 90), (64, 64)):
            shape = (1, 1, *size) if choice.file.layout == "NCHW" else (1, *size, 1)
            inputs = {k: v.reshape(shape) for k, v in _inputs(size).items()}
            assert choice.runtime.run(inputs)["fused"].shape == shape


def test_outputs_are_the_callers_to_keep() -> None:
    for runtime, precision in (("onnx", "int8"), ("litert", "int8"), ("numpy", "fp32")):
        try:
            choice = choose(find("mobilefuse"), runtime, precision, 1)
        except MissingDependencyError:
            continue
        axes = (None, None) if choice.file.layout == "NCHW" else (None, ..., None)
        first = choice.runtime.run({k: v[axes] for k, v in _inputs((20, 20)).items()})["fused"]
        kept = first.copy()
        choice.runtime.run({k: v[axes] for k, v in _inputs((20, 20), 1).items()})
        assert np.array_equal(first, kept)


@pytest.mark.pi
def test_threads_do_not_change_the_picture() -> None:
    inputs = _inputs((80, 96))
    for runtime, precision in (("onnx", "int8"), ("numpy", "fp32")):
        one, four = (_run(find("mobilefuse"), runtime, precision, inputs, n)["fused"] for n in (1, 4))
        assert np.abs(one - four).max() <= 1e-5
