"""The NumPy runtime, compared with a simple reference implementation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.runtimes import choose, convolution
from edgefuse.runtimes import numpy as numpy_runtime
from edgefuse.runtimes.numpy import NumpyRuntime
from edgefuse.util import compiled
from tests.runtimes.tiny import Array, Steps, arrays_for, card_for, conv_step, graph_of, npz, runtime_for


def reference(x: Array, weight: Array, bias: Array, dilation: int, relu: bool, stride: int = 1) -> NDArray[np.float64]:
    """Convolution by its definition: a sum over taps for each output pixel, in float64. One input channel in `weight` means depthwise."""
    channels, height, width = x.shape
    outputs, inputs, kernel, _ = weight.shape
    y = np.zeros((outputs, -(-height // stride), -(-width // stride)))
    for o in range(outputs):
        sources = range(channels) if inputs == channels else [o]
        for row in range(y.shape[1]):
            for column in range(y.shape[2]):
                total = float(bias[o])
                for dy in range(kernel):
                    for dx in range(kernel):
                        r, c = row * stride + (dy - kernel // 2) * dilation, column * stride + (dx - kernel // 2) * dilation
                        if 0 <= r < height and 0 <= c < width:
                            total += sum(float(x[s, r, c]) * float(weight[o, k, dy, dx]) for k, s in enumerate(sources))
                y[o, row, column] = max(total, 0.0) if relu else total
    return y


# the last two: more columns than the compiled version processes at a time, and exactly as many
SIZES = [(1, 1), (1, 7), (5, 1), (2, 3), (5, 7), (3, 37), (2, 16)]


@pytest.fixture(autouse=True, params=["numpy", "compiled"], scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "compiled" and compiled.library() is None:
        pytest.skip("EdgeFuse was installed without a C compiler")
    with pytest.MonkeyPatch.context() as patch:
        kind = convolution.CompiledConvolution if request.param == "compiled" else convolution.Convolution
        patch.setattr(numpy_runtime, "best", lambda: kind)
        yield


@pytest.mark.pi
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (3, 4), (5, 1)])
def test_dense_convolution(tmp_path: Path, size: tuple[int, int], relu: bool, kernel: int, dilation: int) -> None:
    rng = np.random.default_rng(kernel * 10 + dilation)
    arrays = arrays_for(rng, 3, 2, kernel, depthwise=False)
    x = rng.normal(size=(1, 3, *size)).astype(np.float32)
    y = runtime_for(tmp_path, [conv_step(dilation=dilation, relu=relu)], arrays).run({"x": x})["y"]
    assert (y.dtype, y.shape) == (np.float32, (1, 2, *size))
    np.testing.assert_allclose(y[0], reference(x[0], arrays["w"], arrays["b"], dilation, relu), rtol=1e-5, atol=1e-5)


@pytest.mark.pi
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (3, 4)])
def test_depthwise_convolution(tmp_path: Path, size: tuple[int, int], kernel: int, dilation: int) -> None:
    rng = np.random.default_rng(kernel * 10 + dilation)
    arrays = arrays_for(rng, 4, 4, kernel, depthwise=True)
    x = rng.normal(size=(1, 4, *size)).astype(np.float32)
    y = runtime_for(tmp_path, [conv_step(dilation=dilation, groups=4, relu=True)], arrays).run({"x": x})["y"]
    np.testing.assert_allclose(y[0], reference(x[0], arrays["w"], arrays["b"], dilation, True), rtol=1e-5, atol=1e-5)


def test_dilation_and_relu_may_be_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = arrays_for(rng, 1, 1, 3, depthwise=False)
    x = rng.normal(size=(1, 1, 4, 5)).astype(np.float32)
    y = runtime_for(tmp_path, [conv_step()], arrays).run({"x": x})["y"]
    assert y.min() < 0
    np.testing.assert_allclose(y[0], reference(x[0], arrays["w"], arrays["b"], 1, False), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strip_bytes", [1, 4 * 13 * 4 * 3, 4 * 13 * 4 * 17, 1 << 30])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("depthwise", [False, True])
def test_strips_and_threads_do_not_change_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip_bytes: int, threads: int, depthwise: bool
) -> None:
    rng = np.random.default_rng(5)
    arrays = arrays_for(rng, 4, 4, 3, depthwise)
    x = rng.normal(size=(1, 4, 17, 13)).astype(np.float32)
    step = conv_step(dilation=2, groups=4 if depthwise else 1)
    monkeypatch.setattr(convolution, "_STRIP_BYTES", strip_bytes)
    runtime = runtime_for(tmp_path, [step], arrays, threads)
    y = runtime.run({"x": x})["y"]
    runtime.close()
    np.testing.assert_allclose(y[0], reference(x[0], arrays["w"], arrays["b"], 2, False), rtol=1e-5, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.booleans(), st.integers(1, 2000), st.integers(0, 2**32 - 1))
def test_any_size_dilation_and_strip(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, dilation: int, depthwise: bool, strip: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    arrays = arrays_for(rng, 2, 2, 3, depthwise)
    x = rng.normal(size=(1, 2, height, width)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "_STRIP_BYTES", strip)
        runtime = runtime_for(tmp_path_factory.mktemp("m"), [conv_step(dilation=dilation, groups=2 if depthwise else 1)], arrays)
        y = runtime.run({"x": x})["y"]
    np.testing.assert_allclose(y[0], reference(x[0], arrays["w"], arrays["b"], dilation, False), rtol=1e-5, atol=1e-5)


def test_maximum(tmp_path: Path) -> None:
    a, b = (np.random.default_rng(k).normal(size=(1, 2, 3, 5)).astype(np.float32) for k in (1, 2))
    y = runtime_for(tmp_path, [{"op": "max", "in": ["x", "z"], "out": "y"}], inputs=("x", "z")).run({"x": a, "z": b})["y"]
    np.testing.assert_array_equal(y, np.where(a > b, a, b))


def test_sigmoid_neither_overflows_nor_leaves_its_range(tmp_path: Path) -> None:
    x = np.array([-np.inf, -1e30, -100, -5, -1e-3, 0, 0.5, 20, 1e30, np.inf], np.float32).reshape(1, 1, 2, 5)
    y = runtime_for(tmp_path, [{"op": "sigmoid", "in": ["x"], "out": "y"}]).run({"x": x})["y"]
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert y.dtype == np.float32
    assert ((y >= 0) & (y <= 1)).all()
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_clip(tmp_path: Path) -> None:
    x = np.array([[[[-1, 0, 0.25, 1, 7]]]], np.float32)
    y = runtime_for(tmp_path, [{"op": "clip", "in": ["x"], "out": "y"}]).run({"x": x})["y"]
    np.testing.assert_array_equal(y, [[[[0, 0, 0.25, 1, 1]]]])
    np.testing.assert_array_equal(x, [[[[-1, 0, 0.25, 1, 7]]]])


def test_blend_is_equation_1(tmp_path: Path) -> None:
    v, i, m = (np.random.default_rng(k).random((1, 1, 3, 5), np.float32) for k in (1, 2, 3))
    step = {"op": "blend", "in": ["v", "i", "m"], "out": "y"}
    y = runtime_for(tmp_path, [step], inputs=("v", "i", "m")).run({"v": v, "i": i, "m": m})["y"]
    np.testing.assert_allclose(y, v.astype(float) * m + i.astype(float) * (1 - m), atol=1e-6)
    assert y.dtype == np.float32


def chain() -> Steps:
    return [
        {"op": "conv", "in": ["x"], "out": "features", "weight": "w", "bias": "b", "relu": True},
        {"op": "sigmoid", "in": ["features"], "out": "map"},
        {"op": "max", "in": ["features", "map"], "out": "top"},
        {"op": "clip", "in": ["top"], "out": "y"},
    ]


def test_a_chain_of_steps_with_an_output_that_is_used_again(tmp_path: Path) -> None:
    arrays = arrays_for(np.random.default_rng(2), 1, 1, 3, depthwise=False)
    x = np.random.default_rng(3).random((1, 1, 6, 4), np.float32)
    outputs = runtime_for(tmp_path, chain(), arrays, outputs=("y", "map")).run({"x": x})
    features = reference(x[0], arrays["w"], arrays["b"], 1, True)
    expected = 1 / (1 + np.exp(-features))
    assert set(outputs) == {"y", "map"}
    np.testing.assert_allclose(outputs["map"][0], expected, atol=1e-5)
    np.testing.assert_allclose(outputs["y"][0], np.clip(np.maximum(features, expected), 0, 1), atol=1e-5)


def test_outputs_are_the_caller_s_and_inputs_stay_as_they_are(tmp_path: Path) -> None:
    arrays = arrays_for(np.random.default_rng(2), 1, 1, 3, depthwise=False)
    runtime = runtime_for(tmp_path, chain(), arrays, outputs=("y", "map"))
    first, second = (np.random.default_rng(k).random((1, 1, 6, 4), np.float32) for k in (1, 2))
    kept = first.copy()
    outputs = runtime.run({"x": first})
    copies = {k: v.copy() for k, v in outputs.items()}
    runtime.run({"x": second})
    for name, copy in copies.items():
        np.testing.assert_array_equal(outputs[name], copy)
    np.testing.assert_array_equal(first, kept)


def test_frames_may_change_their_size(tmp_path: Path) -> None:
    arrays = arrays_for(np.random.default_rng(2), 1, 2, 3, depthwise=False)
    runtime = runtime_for(tmp_path, [conv_step()], arrays, threads=2)
    for size in ((4, 6), (1, 1), (9, 2)):
        x = np.random.default_rng(1).random((1, 1, *size), np.float32)
        np.testing.assert_allclose(runtime.run({"x": x})["y"][0], reference(x[0], arrays["w"], arrays["b"], 1, False), atol=1e-5)
    runtime.close()
    runtime.close()


def test_it_can_be_chosen_by_name(tmp_path: Path) -> None:
    card = card_for(tmp_path, npz(graph=graph_of([{"op": "clip", "in": ["x"], "out": "y"}])))
    choice = choose(card, "numpy", threads=3)
    assert (choice.name, choice.version, choice.precision, choice.threads, choice.why) == (
        "numpy",
        np.__version__,
        "fp32",
        3,
        "as asked for",
    )
    assert isinstance(choice.runtime, NumpyRuntime)
    choice.runtime.close()


@pytest.mark.parametrize("size", [*SIZES, (4, 6), (9, 16)], ids=str)
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("strip", [1, 1 << 20])
def test_strided_convolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], stride: int, depthwise: bool, kernel: int, dilation: int,
    strip: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(convolution, "_STRIP_BYTES", strip)
    rng = np.random.default_rng(kernel * 10 + stride)
    arrays = arrays_for(rng, 2, 2, kernel, depthwise)
    x = rng.normal(size=(1, 2, *size)).astype(np.float32)
    step = conv_step(dilation=dilation, stride=stride, groups=2 if depthwise else 1)
    y = runtime_for(tmp_path, [step], arrays).run({"x": x})["y"]
    assert y.shape == (1, 2, -(-size[0] // stride), -(-size[1] // stride))
    np.testing.assert_allclose(y[0], reference(x[0], arrays["w"], arrays["b"], dilation, False, stride), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [2, 5])
def test_strided_convolution_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(convolution, "_STRIP_BYTES", 4 * 7 * 4 * 2)
    rng = np.random.default_rng(1)
    arrays, x = arrays_for(rng, 4, 4, 3, depthwise=False), rng.normal(size=(1, 4, 17, 13)).astype(np.float32)
    runtime = runtime_for(tmp_path, [conv_step(stride=2)], arrays, threads)
    y = runtime.run({"x": x})["y"]
    runtime.close()
    np.testing.assert_allclose(y[0], reference(x[0], arrays["w"], arrays["b"], 1, False, 2), rtol=1e-5, atol=1e-5)


def test_centre_takes_each_channel_s_mean_away(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(3, 2, (1, 2, 5, 7)).astype(np.float32)
    kept = x.copy()
    y = runtime_for(tmp_path, [{"op": "centre", "in": ["x"], "out": "y"}]).run({"x": x})["y"]
    expected = np.stack([plane - np.float64(plane.sum(dtype=np.float64)) / plane.size for plane in x[0]])
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[0], expected, atol=1e-5)
    np.testing.assert_array_equal(x, kept)


def test_concat_stacks_channels_in_order(tmp_path: Path) -> None:
    a, b = (np.random.default_rng(k).random((1, k, 3, 5), np.float32) for k in (1, 2))
    y = runtime_for(tmp_path, [{"op": "concat", "in": ["x", "z"], "out": "y"}], inputs=("x", "z")).run({"x": a, "z": b})["y"]
    np.testing.assert_array_equal(y[0], [a[0, 0], b[0, 0], b[0, 1]])


@pytest.mark.parametrize("size", [*SIZES, (6, 9)], ids=str)
def test_widen_is_the_largest_neighbour(tmp_path: Path, size: tuple[int, int]) -> None:
    x = np.random.default_rng(1).normal(-2, 1, (1, 2, *size)).astype(np.float32)
    y = runtime_for(tmp_path, [{"op": "widen", "in": ["x"], "out": "y"}]).run({"x": x})["y"]
    for c, row, column in np.ndindex(y.shape[1:]):
        assert y[0, c, row, column] == x[0, c, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].max()


def test_pool_enlarge_and_shuffle_undo_each_other(tmp_path: Path) -> None:
    x = np.random.default_rng(2).random((1, 2, 4, 6), np.float32)
    enlarged = runtime_for(tmp_path / "a", [{"op": "enlarge", "in": ["x"], "out": "y"}]).run({"x": x})["y"]
    assert enlarged.shape == (1, 2, 8, 12)
    np.testing.assert_array_equal(enlarged[0, 1, 2:4, 4:6], np.full((2, 2), x[0, 1, 1, 2]))
    pooled = [{"op": "pool", "in": ["x"], "out": "y"}]
    np.testing.assert_array_equal(runtime_for(tmp_path / "b", pooled).run({"x": enlarged})["y"], x)
    assert runtime_for(tmp_path / "c", pooled).run({"x": x})["y"][0, 1, 0, 2] == x[0, 1, :2, 4:6].max()
    four = np.concatenate([x] * 4, axis=1)[:, ::2]  # two channels, repeated four times
    shuffled = runtime_for(tmp_path / "d", [{"op": "shuffle", "in": ["x"], "out": "y"}]).run({"x": four})["y"]
    np.testing.assert_array_equal(shuffled, enlarged[:, :1])


def test_shuffle_fills_two_by_two_row_by_row(tmp_path: Path) -> None:
    x = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    y = runtime_for(tmp_path, [{"op": "shuffle", "in": ["x"], "out": "y"}]).run({"x": x})["y"]
    np.testing.assert_array_equal(y[0, 0], [[0, 1], [2, 3]])


def test_concat_takes_three(tmp_path: Path) -> None:
    x = np.random.default_rng(3).random((1, 2, 3, 5), np.float32)
    y = runtime_for(tmp_path, [{"op": "concat", "in": ["x", "x", "x"], "out": "y"}]).run({"x": x})["y"]
    np.testing.assert_array_equal(y[0], np.concatenate([x[0]] * 3))


@pytest.mark.parametrize("attention", ["average", "max"])
def test_attend_is_the_mean_of_spatial_and_channel_attention(tmp_path: Path, attention: str) -> None:
    a, b = (np.random.default_rng(k).random((1, 3, 4, 5), np.float32) for k in (4, 5))
    step = {"op": "attend", "in": ["x", "z"], "out": "y", "attention": attention, "contrast": 7.0}
    y = runtime_for(tmp_path, [step], inputs=("x", "z")).run({"x": a, "z": b})["y"]
    p, q = (np.exp(7 * x[0].mean(axis=0)) for x in (a, b))
    spatial = (p * a[0] + q * b[0]) / (p + q)
    over = np.mean if attention == "average" else np.max
    p, q = (over(x[0], axis=(1, 2))[:, None, None] for x in (a, b))
    np.testing.assert_allclose(y[0], (spatial + (p * a[0] + q * b[0]) / (p + q)) / 2, atol=1e-5)
