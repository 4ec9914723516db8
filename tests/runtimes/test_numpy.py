"""The NumPy runtime against the plainest reference there is, and against hostile files."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.errors import ModelError
from edgefuse.runtimes import choose
from edgefuse.runtimes import numpy as numpy_runtime
from edgefuse.runtimes.numpy import NumpyRuntime
from edgefuse.zoo import Card, read_card

Array = NDArray[Any]
Steps = list[dict[str, Any]]

CARD = """
name = "tiny"
title = "Tiny"
task = "fusion"
source = "a test"
licence = "Apache-2.0"
default_precision = "fp32"
inputs = [{inputs}]
outputs = [{outputs}]
cost = {{}}
training = {{}}
quality = {{}}
[[files]]
name = "m.npz"
runtime = "numpy"
precision = "fp32"
layout = "NCHW"
quantisation = "none"
sha256 = "{digest}"
[golden]
file = "golden.npz"
sha256 = ""
tolerance = {{}}
"""
TENSOR = '{{name = "{}", shape = [1, 1, "h", "w"], layout = "NCHW", dtype = "float32", range = [0, 1], colour = "luma"}}'


def card_for(folder: Path, data: bytes, inputs: tuple[str, ...] = ("x",), outputs: tuple[str, ...] = ("y",)) -> Card:
    folder.mkdir(exist_ok=True)
    (folder / "m.npz").write_bytes(data)
    described = {k: ", ".join(TENSOR.format(n) for n in names) for k, names in (("inputs", inputs), ("outputs", outputs))}
    (folder / "card.toml").write_text(CARD.format(digest=hashlib.sha256(data).hexdigest(), **described))
    return read_card(folder)


def graph_of(steps: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(steps).encode(), np.uint8)


def npz(save: Any = np.savez, **arrays: Array) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def runtime_for(
    folder: Path, steps: Steps, arrays: Mapping[str, Array] | None = None, threads: int = 1, **names: tuple[str, ...]
) -> NumpyRuntime:
    card = card_for(folder, npz(graph=graph_of(steps), **(arrays or {})), **names)
    return NumpyRuntime(card, card.files[0], threads)


def conv_step(**more: Any) -> dict[str, Any]:
    return {"op": "conv", "in": ["x"], "out": "y", "weight": "w", "bias": "b", **more}


def reference(x: Array, weight: Array, bias: Array, dilation: int, relu: bool) -> NDArray[np.float64]:
    """The definition: a sum over taps for each output pixel, in float64. One input channel in `weight` means depthwise."""
    channels, height, width = x.shape
    outputs, inputs, kernel, _ = weight.shape
    y = np.zeros((outputs, height, width))
    for o in range(outputs):
        sources = range(channels) if inputs == channels else [o]
        for row in range(height):
            for column in range(width):
                total = float(bias[o])
                for dy in range(kernel):
                    for dx in range(kernel):
                        r, c = row + (dy - kernel // 2) * dilation, column + (dx - kernel // 2) * dilation
                        if 0 <= r < height and 0 <= c < width:
                            total += sum(float(x[s, r, c]) * float(weight[o, k, dy, dx]) for k, s in enumerate(sources))
                y[o, row, column] = max(total, 0.0) if relu else total
    return y


def arrays_for(rng: np.random.Generator, channels: int, outputs: int, kernel: int, depthwise: bool) -> dict[str, Array]:
    weight = rng.normal(size=(outputs, 1 if depthwise else channels, kernel, kernel)).astype(np.float32)
    return {"w": weight, "b": rng.normal(size=outputs).astype(np.float32)}


SIZES = [(1, 1), (1, 7), (5, 1), (2, 3), (5, 7)]


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
    monkeypatch.setattr(numpy_runtime, "_STRIP_BYTES", strip_bytes)
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
        patch.setattr(numpy_runtime, "_STRIP_BYTES", strip)
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


class Bomb:
    """Makes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


CLIP: Steps = [{"op": "clip", "in": ["x"], "out": "y"}]


def bare(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def member(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def tampered(archive: bytes, local: int, central: int, value: int) -> bytes:
    """`archive`, of one member, with a byte of both its headers changed."""
    data = bytearray(archive)
    data[local] = data[data.index(b"PK\1\2") + central] = value
    return bytes(data)


def broken_stream(archive: bytes) -> bytes:
    name, extra = struct.unpack_from("<HH", archive, 26)
    begin = 30 + name + extra
    return archive[:begin] + b"\xff" * 4 + archive[begin + 4 :]


HOSTILE = {
    "garbage": b"garbage" * 100,
    "a lone array": bare(np.zeros(3)),
    "a truncated archive": npz(graph=graph_of(CLIP))[:-30],
    "a damaged array": npz(graph=graph_of(CLIP)).replace(b"clip", b"CLIP"),
    "no graph": npz(w=np.zeros(3)),
    "an unknown step": npz(graph=graph_of([{"op": "system", "in": ["x"], "out": "y"}])),
    "a private step": npz(graph=graph_of([{"op": "__class__", "in": ["x"], "out": "y"}])),
    "a step without a name": npz(graph=graph_of([{"in": ["x"], "out": "y"}])),
    "a step whose name is a list": npz(graph=graph_of([{"op": ["clip"]}])),
    "a graph that is a number": npz(graph=graph_of(5)),
    "a graph that is a text": npz(graph=graph_of("clip")),
    "a graph that is a table": npz(graph=graph_of({"op": "clip"})),
    "a graph that is no JSON": npz(graph=np.frombuffer(b"[{", np.uint8)),
    "a graph that is no text": npz(graph=np.full(9, 255, np.uint8)),
    "weights that are texts": npz(graph=graph_of(CLIP), w=np.array(["a", "b"])),
    "an array that is longer than its file": member("graph.npy", header("(10,)") + b"[]"),
}
# zipfile, zlib, json and numpy have as many errors as there are files here
MALFORMED = {
    "nothing": b"",
    "an empty array file": member("graph.npy", b""),
    "an archive whose method is unknown": tampered(member("graph.npy", b"x"), 8, 10, 99),
    "an encrypted array": tampered(member("graph.npy", b"x" * 20), 6, 8, 1),
    "a broken deflate stream": broken_stream(npz(np.savez_compressed, graph=np.zeros(300, np.uint8))),
    "an array of an exabyte": member("graph.npy", header("(1152921504606846976,)")),
    "JSON nested too deep": npz(graph=np.frombuffer(b"[" * 200_000, np.uint8)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    card = card_for(tmp_path, data)
    with pytest.raises(ModelError, match=r"/m\.npz: not a model for the numpy runtime \("):
        NumpyRuntime(card, card.files[0], 1)


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_model_is_refused_whatever_it_makes_zipfile_raise(tmp_path: Path, data: bytes) -> None:
    card = card_for(tmp_path, data)
    with pytest.raises(ModelError, match=r"/m\.npz: not a model for the numpy runtime \("):
        NumpyRuntime(card, card.files[0], 1)


@pytest.mark.parametrize("name", ["graph", "w"])
def test_a_pickle_is_not_opened(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "sprung"
    bomb = np.empty(1, object)
    bomb[0] = Bomb(trap)
    data = npz(**{"graph": graph_of(CLIP), "w": np.zeros(1, np.float32), name: bomb})
    card = card_for(tmp_path / "m", data)
    with pytest.raises(ModelError, match=r"not a model for the numpy runtime \(ValueError: Object arrays cannot be loaded"):
        NumpyRuntime(card, card.files[0], 1)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Bomb(trap)))
    assert trap.exists()


def test_a_bare_pickle_is_not_opened(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    card = card_for(tmp_path / "m", pickle.dumps(Bomb(trap)))
    with pytest.raises(ModelError, match="not a model for the numpy runtime"):
        NumpyRuntime(card, card.files[0], 1)
    assert not trap.exists()


WEIGHTS = {"w": np.zeros((1, 1, 3, 3), np.float32), "b": np.zeros(1, np.float32)}
UNSOUND: dict[str, tuple[Steps, dict[str, Array]]] = {
    "a weight that is not there": ([conv_step(weight="nope")], WEIGHTS),
    "a convolution that names no weight": ([{"op": "conv", "in": ["x"], "out": "y"}], WEIGHTS),
    "a weight of two dimensions": ([conv_step()], WEIGHTS | {"w": np.zeros((3, 3), np.float32)}),
    "a bias of another length": ([conv_step()], WEIGHTS | {"b": np.zeros(2, np.float32)}),
    "a tensor that nobody made": ([{"op": "clip", "in": ["z"], "out": "y"}], {}),
    "a step without inputs": ([{"op": "clip", "out": "y"}], {}),
    "too many inputs for a step": ([{"op": "clip", "in": ["x", "x"], "out": "y"}], {}),
    "an output that nobody makes": ([{"op": "clip", "in": ["x"], "out": "z"}], {}),
    "a dilation that is no number": ([conv_step(dilation="2")], WEIGHTS),
}


@pytest.mark.parametrize(("steps", "arrays"), UNSOUND.values(), ids=UNSOUND.keys())
def test_a_graph_that_can_t_run_is_a_model_error(tmp_path: Path, steps: Steps, arrays: dict[str, Array]) -> None:
    with pytest.raises(ModelError, match=r"m\.npz"):
        runtime_for(tmp_path, steps, arrays).run({"x": np.zeros((1, 1, 4, 4), np.float32)})


@pytest.mark.parametrize("groups", [1, 2])
def test_a_weight_for_more_channels_than_there_are_is_a_model_error(tmp_path: Path, groups: int) -> None:
    arrays = arrays_for(np.random.default_rng(0), 2, 2, 3, depthwise=groups == 2)
    with pytest.raises(ModelError, match=r"m\.npz"):
        runtime_for(tmp_path, [conv_step(groups=groups)], arrays).run({"x": np.ones((1, 1, 4, 4), np.float32)})


def test_a_file_that_was_tampered_with_is_not_even_opened(tmp_path: Path) -> None:
    card = card_for(tmp_path, npz(graph=graph_of(CLIP)))
    (tmp_path / "m.npz").write_bytes(b"other")
    with pytest.raises(ModelError, match="sha256 is"):
        NumpyRuntime(card, card.files[0], 1)
