"""Graphs of ONNX and TFLite files are checked before onnxruntime and LiteRT see them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgefuse import zoo
from edgefuse.errors import ModelError
from edgefuse.runtimes import graph, onnx_graph, tflite_graph
from edgefuse.runtimes.graph import Graph, Limiter, Step
from tests.bench.onnx_files import _field, _value, _varint

READ = {"onnx": onnx_graph.read, "litert": tflite_graph.read}


def ints(name: str, *values: int) -> bytes:
    """An attribute of whole numbers, packed."""
    packed = b"".join(_varint(v & (1 << 64) - 1) for v in values)
    return _field(5, _field(1, name) + _field(8, packed) + _field(20, 7))


def number(name: str, value: int) -> bytes:
    return _field(5, _field(1, name) + _varint(3 << 3) + _varint(value & (1 << 64) - 1) + _field(20, 2))


def node(op: str, inputs: Sequence[str], output: str = "y", *attributes: bytes) -> bytes:
    return _field(1, b"".join(_field(1, n) for n in inputs) + _field(2, output) + _field(4, op) + b"".join(attributes))


def tensor(name: str, shape: Sequence[int], raw: bytes, kind: int = 1) -> bytes:
    dims = b"".join(_varint(1 << 3) + _varint(n & (1 << 64) - 1) for n in shape)
    return _field(5, dims + _field(2, kind) + _field(8, name) + _field(9, raw))


def model(*parts: bytes) -> bytes:
    content = b"".join(parts) + _field(11, _value("x", "float", (1, 2, "h", "w"))) + _field(12, _value("y", "float", ("a", "b", "c", "d")))
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, content)


def floats(*shape: int) -> bytes:
    return np.zeros(shape, np.float32).tobytes()


WEIGHT = tensor("w", (4, 2, 3, 3), floats(4, 2, 3, 3))


def conv(*attributes: bytes, weight: bytes = WEIGHT) -> bytes:
    return model(node("Conv", ("x", "w"), "y", *attributes), weight)


SOUND = conv(ints("dilations", 2, 2), ints("pads", 2, 2, 2, 2), ints("strides", 2, 2), ints("kernel_shape", 3, 3), number("group", 1))
HOSTILE = {
    "a dilation of 2^32 - 5": (conv(ints("dilations", 2**32 - 5, 1)), r"dilations is 4294967291, expected"),
    "a dilation of 0": (conv(ints("dilations", 0, 1)), "a dilation of 0"),
    "a stride of 2^31": (conv(ints("strides", 1, 2**31)), "strides is 2147483648"),
    "a stride of 4000": (conv(ints("strides", 4000, 1)), "a stride of 4000"),
    "negative padding": (conv(ints("pads", -1, 0, 0, 0)), "pads of"),
    "padding of millions": (conv(ints("pads", 10**6, 0, 0, 0)), "a padding of 1000000"),
    "groups of -1": (conv(number("group", -1)), "group is -1"),
    "a kernel of thousands": (conv(ints("kernel_shape", 4096, 3)), "a kernel of 4096"),
    "a negative size": (conv(weight=tensor("w", (4, 2, 3, -3), b"")), "a tensor of"),
    "sizes whose product overflows": (conv(weight=tensor("w", (2**31, 2**31, 2**31, 8), b"")), "a tensor of"),
    "a tensor without its values": (conv(weight=tensor("w", (4, 2, 3, 3), b"")), "holds 0 elements"),
    "a tensor with other values": (conv(weight=tensor("w", (4, 2, 3, 3), bytes(3))), "holds 0.75 elements"),
    "a type that there is not": (conv(weight=tensor("w", (4,), bytes(16), 99)), "type 99"),
    "a loop": (model(node("Loop", ("x",))), "operation Loop is not supported"),
    "a graph in a step": (model(node("Relu", ("x",), "y", _field(5, _field(1, "body") + _field(6, b"")))), "a field 6"),
    "an operation of others": (model(node("Conv", ("x", "w"), "y", _field(7, "com.other")), WEIGHT), "com.other.Conv is not supported"),
    "memory that a number asks for": (model(node("ConstantOfShape", ("x",))), "ConstantOfShape is not supported"),
    "an enlargement": (model(node("Resize", ("x", "", "s")), tensor("s", (4,), struct.pack("<4f", 1, 1, 1e6, 1e6))), "an enlargement by"),
    "a size that the graph computes": (model(node("Resize", ("x", "", "x"))), "not constants"),
    "a step of nothing": (model(node("Relu", ("z",))), "which no step before it makes"),
    "constants that multiply": (
        model(node("Add", ("a", "b")), tensor("a", (1 << 17, 1), floats(1 << 17)), tensor("b", (1, 1 << 17), floats(1 << 17))),
        "Add takes and makes",
    ),
    "a number of 70 bits": (_varint(7 << 3) + b"\xff" * 10, "more than 64 bits"),
    "two graphs": (SOUND + _field(7, b""), "field 7 twice"),
    "no graph": (b"", "no graph"),
    "a length beyond the end": (b"\x3a\xff\x7f", "incomplete"),
}  # fmt: skip


@pytest.mark.parametrize("runtime", READ)
def test_shipped_models_are_read_and_their_sizes_known(runtime: str) -> None:
    files = [(card, file) for card in zoo.cards() for file in card.files if file.runtime == runtime]
    assert len(files) >= 8
    for _, file in files:
        parsed = READ[runtime](file.verified())
        assert len(parsed.steps) > 3, file.path


def test_a_sound_graph_makes_what_its_convolution_says() -> None:
    parsed = onnx_graph.read(SOUND)
    assert parsed.steps[0].sizes([(1, 2, 32, 41), (4, 2, 3, 3)]) == (1, 4, 16, 21)
    parsed.check({"x": (1, 2, 32, 41)}, 1 << 30)
    with pytest.raises(ValueError, match="a convolution of 2 channels on a tensor of"):
        parsed.check({"x": (1, 3, 32, 41)}, 1 << 30)
    with pytest.raises(ValueError, match="takes and makes"):
        parsed.check({"x": (1, 2, 3200, 4100)}, 1 << 24)


def whole(name: str, *values: int) -> bytes:
    return tensor(name, (len(values),), struct.pack(f"<{len(values)}q", *values), 7)


LAST = (1 << 63) - 1  # exporters write "to the end" so
SHAPES = {
    "Reshape": (node("Reshape", ("x", "n")), whole("n", 0, -1, 8), [(1, 2, 12, 8)], (1, 24, 8)),
    "Flatten": (node("Flatten", ("x",), "y", number("axis", 2)), b"", [(1, 2, 12, 8)], (2, 96)),
    "Squeeze": (node("Squeeze", ("x", "n")), whole("n", 0, -1), [(1, 2, 12, 1)], (2, 12)),
    "Unsqueeze": (node("Unsqueeze", ("x", "n")), whole("n", 0, -1), [(2, 12)], (1, 2, 12, 1)),
    "Slice": (node("Slice", ("x", "n", "m", "a", "s")), whole("n", 1, -4) + b"", [(1, 2, 12, 8)], (1, 1, 12, 2)),
    "Split": (node("Split", ("x",), "y", number("axis", 1)), b"", [(1, 2, 12, 8)], (1, 2, 12, 8)),
    "MatMul": (node("MatMul", ("x", "w")), tensor("w", (8, 3), floats(8, 3)), [(1, 2, 12, 8), (8, 3)], (1, 2, 12, 3)),
    "Gemm": (node("Gemm", ("x", "w"), "y", number("transB", 1)), tensor("w", (3, 8), floats(3, 8)), [(4, 8), (3, 8)], (4, 3)),
    "Cast": (node("Cast", ("x",), "y", number("to", 1)), b"", [(1, 2)], (1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("op", SHAPES)
def test_sizes_of_operations_that_detectors_end_with(op: str) -> None:
    step, constant, given, made = SHAPES[op]
    more = [whole("m", 2, LAST), whole("a", 1, 3), whole("s", 1, 2)] if op == "Slice" else []
    parsed = onnx_graph.read(model(step, *([constant] if constant else []), *more))
    assert parsed.steps[0].sizes(given) == made


@pytest.mark.parametrize(
    ("step", "constant", "says"),
    [
        (node("Reshape", ("x", "n")), whole("n", -1, -1), "a shape of"),
        (node("Reshape", ("x", "n")), whole("n", 7), "as"),
        (node("Reshape", ("x", "x")), b"", "not constants"),
        (node("Squeeze", ("x", "n")), whole("n", 1), "Squeeze of"),
        (node("Unsqueeze", ("x", "n")), whole("n", 9), "Unsqueeze of"),
        (node("Slice", ("x", "n", "n", "n", "z")), whole("n", 0) + b"", "steps of 0"),
        (node("Flatten", ("x",), "y", number("axis", 5)), b"", "at axis 5"),
        (node("Split", ("x",), "y", number("axis", 5)), b"", "along axis 5"),
        (node("MatMul", ("x", "n")), whole("n", 3), "a product of"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(step: bytes, constant: bytes, says: str) -> None:
    more = [whole("z", 0)] if b"Slice" in step else []
    with pytest.raises(ValueError, match=says):
        onnx_graph.read(model(step, *([constant] if constant else []), *more)).check({"x": (1, 2, 12, 8)}, 1 << 30)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_onnx_graphs_are_refused(name: str) -> None:
    data, says = HOSTILE[name]
    with pytest.raises(ModelError, match=rf"m\.onnx: .*{says}"):
        Limiter(Path("m.onnx"), onnx_graph.read, data)


def test_steps_that_double_without_end_are_refused() -> None:
    twice = [Step("Resize", (str(k),), (str(k + 1),), graph.scaled((1, 1, 2, 2))) for k in range(20)]
    made = Graph(tuple(twice), {})
    made.check_constants()
    with pytest.raises(ValueError, match="Resize takes and makes"):
        made.check({"0": (1, 1, 64, 64)}, 1 << 40)


def shipped_tflite() -> bytes:
    card = zoo.find("mobilefuse-edge")
    return next(file.verified() for file in card.files if file.runtime == "litert")


def test_each_number_of_a_tflite_file_may_be_anything() -> None:
    """Whatever its first kilobytes and its tables say: read, or refused with a ValueError, never another error, and soon."""
    data = shipped_tflite()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(3):
            at = int(rng.integers(0, len(data) // 4)) * 4
            changed[at : at + 4] = struct.pack("<I", int(rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFB, len(data)))))
        try:
            tflite_graph.read(bytes(changed))
        except ValueError:
            refused += 1
    assert refused > 10
    for end in (0, 7, 8, 100, len(data) // 2):
        with pytest.raises(ValueError, match=r"."):
            tflite_graph.read(data[:end])
