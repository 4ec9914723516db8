"""Reads the graph of an ONNX file (onnx.proto of ONNX 1.17) to check it before onnxruntime does anything with it.

Every number has a range, every tensor the bytes that its sizes promise, and every operation an output whose size its inputs tell. Files
with other operations, with graphs in graphs (loops) or with values in other files are refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from edgefuse.runtimes import graph
from edgefuse.runtimes.graph import Graph, Shape, Sizes, Step, Window
from edgefuse.runtimes.protobuf import Message

# fields of each message, and whether each may be repeated
_MODEL = {1: False, 2: False, 3: False, 4: False, 5: False, 6: False, 7: False, 8: True, 14: True}
_GRAPH = {1: True, 2: False, 5: True, 10: False, 11: True, 12: True, 13: True, 16: True}
_NODE = {1: True, 2: True, 3: False, 4: False, 5: True, 6: False, 7: False, 8: False, 9: True}
_ATTRIBUTE = {1: False, 2: False, 3: False, 4: False, 5: False, 7: True, 8: True, 9: True, 13: False, 20: False}
_TENSOR = {1: True, 2: False, 4: True, 5: True, 7: True, 8: False, 9: False, 10: True, 11: True, 12: False, 14: False, 16: True}
_VALUE, _TYPE, _TENSOR_TYPE = {1: False, 2: False, 3: False, 4: True}, {1: False, 6: False}, {1: False, 2: False}
_DIMENSION = {1: False, 2: False, 3: False}
# bytes of an element by its type
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}
_VARINTS, _FIXED = {5: (2, 3, 4, 5, 6, 9, 10), 7: (7,), 11: (12, 13)}, {4: (4, 1), 10: (8, 11)}
_SMALL = 64  # elements of a constant whose values may matter
_LARGEST = (1 << 31) - 1  # of a number of an attribute that has no range of its own


class _Constant(NamedTuple):
    shape: Shape
    values: tuple[float, ...] | None
    """Whole numbers or floats of a small tensor; None of a larger one."""


class _Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, tuple[int, ...]]
    """Attributes that are whole numbers."""
    texts: Mapping[str, str]
    constants: Mapping[str, _Constant]

    def number(self, name: str, default: int) -> int:
        (value,) = self.numbers.get(name, (default,))
        return value

    def values(self, index: int) -> tuple[float, ...] | None:
        """Values of a constant input; None if it is left out. Raises ValueError if the graph computes it."""
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        constant = self.constants.get(self.inputs[index])
        if constant is None or constant.values is None:
            raise ValueError(f"{self.op}: its sizes are not constants of the file")
        return constant.values or None


def read(data: bytes) -> Graph:
    """Read a file. Raises ValueError, with a message that continues the file's name, for one that must not be loaded."""
    try:
        model = Message(memoryview(data), "the model", _MODEL)
        if (content := model.part(7)) is None:
            raise ValueError("it holds no graph")
        return _graph(Message(content, "its graph", _GRAPH))
    except (UnicodeDecodeError, struct.error, TypeError, IndexError) as e:
        raise ValueError(f"it is damaged ({e})") from None


def _graph(content: Message) -> Graph:
    nodes, tensors = content.parts(1), content.parts(5)
    graph.within("its number of steps is", len(nodes), 1, graph.MAX_STEPS)
    graph.within("its number of tensors is", len(tensors), 0, graph.MAX_TENSORS)
    constants: dict[str, _Constant] = {}
    for part in tensors:
        name, constant = _constant(part)
        if name in constants:
            raise ValueError(f"it has {name[:40]!r} twice")
        constants[name] = constant
    known, fixed = set(constants), {}
    for part in content.parts(11):
        name, shape = _value(part)
        known.add(name)
        if shape is not None and name not in constants:
            fixed[name] = shape
    for part in (*content.parts(12), *content.parts(13)):
        _value(part)
    steps = []
    for part in nodes:
        node = _node(part, constants)
        if node.op == "Constant":
            raise ValueError("Constant: keep it as an initializer, so that its size can be checked")
        if missing := [name for name in node.inputs if name and name not in known]:
            raise ValueError(f"{node.op} takes {missing[0][:40]!r}, which no step before it makes")
        known.update(node.outputs)
        steps.append(Step(node.op, node.inputs, node.outputs, _sizes(node)))
    made = Graph(tuple(steps), {name: c.shape for name, c in constants.items()}, fixed)
    made.check_constants()
    return made


def _constant(part: memoryview) -> tuple[str, _Constant]:
    tensor = Message(part, "a tensor", _TENSOR)
    shape, kind = graph.shape_of(tensor.numbers(1)), tensor.number(2)
    if kind not in _BYTES or tensor.number(14):
        raise ValueError(f"a tensor of type {kind}, or with its values in another file")
    count, raw = math.prod(shape), tensor.part(9)
    held = 0 if raw is None else len(raw) / _BYTES[kind]
    values: list[float] | None = None
    if raw is not None and count <= _SMALL and held == count and kind in (1, 6, 7):
        values = np.frombuffer(raw, {1: "<f4", 6: "<i4", 7: "<i8"}[kind]).tolist()
    for field, kinds in _VARINTS.items():
        if field in tensor:
            held += tensor.count(field) if kind in kinds else math.inf
            values = [float(v) for v in tensor.numbers(field)] if count <= _SMALL else None
    for field, (size, wanted) in _FIXED.items():
        if field in tensor:
            data = b"".join(tensor.parts(field))
            held += len(data) / size if kind == wanted else math.inf
            values = np.frombuffer(data, f"<f{size}").tolist() if count <= _SMALL and len(data) % size == 0 else None
    if held != count:
        raise ValueError(f"a tensor of {shape} holds {held:g} elements of type {kind}")
    return tensor.text(8), _Constant(shape, None if values is None else tuple(values))


def _value(part: memoryview) -> tuple[str, Shape | None]:
    """Return name and shape of an input or output; no shape if it depends on the frame."""
    value = Message(part, "an input or output", _VALUE)
    kind = value.part(2)
    if kind is None:
        return value.text(1), None
    tensor = Message(kind, "a type", _TYPE).part(1)
    if tensor is None:
        raise ValueError(f"{value.text(1)[:40]!r} is no tensor")
    declared = Message(tensor, "a tensor's type", _TENSOR_TYPE).part(2)
    if declared is None:
        return value.text(1), None
    sizes = []
    for dimension in (Message(d, "a size", _DIMENSION) for d in Message(declared, "a shape", {1: True}).parts(1)):
        sizes.append(dimension.number(1) if 1 in dimension else -1)
    known = graph.shape_of([max(n, 1) if n == -1 else n for n in sizes])
    return value.text(1), known if -1 not in sizes else None


def _node(part: memoryview, constants: Mapping[str, _Constant]) -> _Node:
    node = Message(part, "a step", _NODE)
    op = node.text(4)
    if node.text(7) not in ("", "ai.onnx") or (op not in _OPERATIONS and op != "Constant"):
        raise ValueError(
            f"the operation {node.text(7)[:20]}{'.' * bool(node.text(7))}{op[:40]} is not supported, as its memory is not known"
        )
    numbers: dict[str, tuple[int, ...]] = {}
    texts: dict[str, str] = {}
    seen: set[str] = set()
    for attribute in (Message(a, "an attribute", _ATTRIBUTE) for a in node.parts(5)):
        name = attribute.text(1)
        if name in seen:
            raise ValueError(f"{op} has {name[:40]!r} twice")
        if 3 in attribute or 8 in attribute:
            numbers[name] = tuple([attribute.number(3)] if 3 in attribute else attribute.numbers(8))
            for value in numbers[name]:
                graph.within(f"{op}: {name[:40]} is", value, -_LARGEST, _LARGEST)
            graph.within(f"{op}: the numbers of {name[:40]} are", len(numbers[name]), 1, 2 * graph.MAX_RANK)
        if 4 in attribute:
            texts[name] = attribute.text(4)
        seen.add(name)
    read = [tuple(str(n, "utf-8") for n in node.parts(k)) for k in (1, 2)]
    if not read[0] or not read[1]:
        raise ValueError(f"{op} has no inputs or no outputs")
    return _Node(op, read[0], read[1], numbers, texts, constants)


def _window(node: _Node, kernel: Shape) -> Window:
    axes = len(kernel)
    ones = (1,) * axes
    pads = node.numbers.get("pads", (0,) * 2 * axes)
    if len(pads) != 2 * axes or min(pads) < 0:
        raise ValueError(f"{node.op}: pads of {pads}")
    automatic = node.texts.get("auto_pad", "NOTSET")
    if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"{node.op}: auto_pad is {automatic[:40]!r}")
    padding = None if automatic.startswith("SAME") else tuple(a + b for a, b in zip(pads[:axes], pads[axes:], strict=True))
    strides, dilations = node.numbers.get("strides", ones), node.numbers.get("dilations", ones)
    return Window(kernel, strides, dilations, padding, bool(node.number("ceil_mode", 0)))


def _convolution(node: _Node) -> Sizes:
    # the weight is a constant, or made from one of the same shape by DequantizeLinear
    group = graph.within("Conv: group is", node.number("group", 1), 1, graph.MAX_CHANNELS)

    def sizes(given: Sequence[Shape]) -> Shape:
        if len(given) < 2 or len(given[1]) < 3 or not all(given[1]):
            raise ValueError(f"Conv with a weight of {given[1:2]}")
        outputs, each, *kernel = given[1]
        if outputs % group or node.numbers.get("kernel_shape", tuple(kernel)) != tuple(kernel) or list(given[2:]) not in ([], [(outputs,)]):
            raise ValueError(f"Conv of {group} groups with a weight of {given[1]} and a bias of {given[2:]}")
        return graph.windowed(_window(node, tuple(kernel)), 1, outputs, each * group)(given)

    # its numbers, before any shape is known
    _window(node, node.numbers.get("kernel_shape", (1,) * len(node.numbers.get("strides", (1, 1))))).checked()
    return sizes


def _pool(node: _Node) -> Sizes:
    return graph.windowed(_window(node, node.numbers.get("kernel_shape", (1, 1))), 1, None, None)


def _reduction(node: _Node) -> Sizes:
    given = node.values(1)
    axes = node.numbers.get("axes") or (None if given is None else tuple(int(v) for v in given))
    return graph.reduced(axes, bool(node.number("keepdims", 1)))


def _enlargement(node: _Node) -> Sizes:
    factors = node.values(2 if len(node.inputs) > 2 else 1)
    if factors is None or (len(node.inputs) > 3 and node.inputs[3]) or "axes" in node.numbers:
        raise ValueError("Resize to a fixed size, or along some axes, is not supported; give factors for all axes")
    return graph.scaled(factors)


def _padding(node: _Node) -> Sizes:
    amounts = node.numbers.get("pads") or node.values(1)
    if amounts is None or len(amounts) % 2 or len(node.inputs) > 3:
        raise ValueError("Pad: its amounts are not known")
    whole = [int(a) for a in amounts]
    half = len(whole) // 2
    if min(whole) < 0:
        raise ValueError(f"Pad: amounts of {tuple(whole)}")
    return graph.padded([a + b for a, b in zip(whole[:half], whole[half:], strict=True)])


def _constants(node: _Node, name: str, index: int) -> tuple[int, ...] | None:
    """Return whole numbers that are an attribute in older files and a constant input in newer ones; None if they are left out."""
    given = node.numbers.get(name) or node.values(index)
    return None if given is None else tuple(int(v) for v in given)


def _reshaping(node: _Node) -> Sizes:
    wanted = _constants(node, "shape", 1)
    if wanted is None or node.number("allowzero", 0):
        raise ValueError("Reshape: its shape is not known")

    def sizes(given: Sequence[Shape]) -> Shape:
        if any(n == 0 and k >= len(given[0]) for k, n in enumerate(wanted)):
            raise ValueError(f"Reshape of {given[0]} to {wanted}")
        # 0 keeps a size
        return graph.reshaped([n or given[0][k] for k, n in enumerate(wanted)])(given)

    return sizes


def _flattening(node: _Node) -> Sizes:
    axis = node.number("axis", 1)

    def sizes(given: Sequence[Shape]) -> Shape:
        if not -len(given[0]) <= axis <= len(given[0]):
            raise ValueError(f"Flatten of {given[0]} at axis {axis}")
        return math.prod(given[0][:axis]), math.prod(given[0][axis:])

    return sizes


def _squeezing(node: _Node) -> Sizes:
    axes = _constants(node, "axes", 1)

    def sizes(given: Sequence[Shape]) -> Shape:
        rank = len(given[0])
        chosen = {k for k, n in enumerate(given[0]) if n == 1} if axes is None else {a % rank for a in axes if -rank <= a < rank}
        if (axes is not None and len(chosen) != len(axes)) or any(given[0][k] != 1 for k in chosen):
            raise ValueError(f"Squeeze of {given[0]} along {axes}")
        return tuple(n for k, n in enumerate(given[0]) if k not in chosen)

    return sizes


def _unsqueezing(node: _Node) -> Sizes:
    axes = _constants(node, "axes", 1)
    if axes is None or len(axes) > graph.MAX_RANK:
        raise ValueError("Unsqueeze: its axes are not known")

    def sizes(given: Sequence[Shape]) -> Shape:
        rank = len(given[0]) + len(axes)
        chosen = {a % rank for a in axes if -rank <= a < rank}
        if len(chosen) != len(axes):
            raise ValueError(f"Unsqueeze of {given[0]} along {axes}")
        rest = iter(given[0])
        return tuple(1 if k in chosen else next(rest) for k in range(rank))

    return sizes


def _slicing(node: _Node) -> Sizes:
    starts, ends, axes, steps = (_constants(node, name, k) for k, name in enumerate(("starts", "ends", "axes", "steps"), 1))
    if starts is None or ends is None:
        raise ValueError("Slice: its range is not known")
    axes, steps = axes or tuple(range(len(starts))), steps or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) == len(set(axes)):
        raise ValueError(f"Slice from {starts} to {ends} along {axes}")
    return graph.sliced({axis: slice(*part) for axis, *part in zip(axes, starts, ends, steps, strict=True)})


def _splitting(node: _Node) -> Sizes:
    axis, count = node.number("axis", 0), len(node.outputs)
    parts = _constants(node, "split", 1)
    if parts is not None and (len(parts) != count or len(set(parts)) > 1):
        raise ValueError("Split into parts of several sizes is not supported")

    def sizes(given: Sequence[Shape]) -> Shape:
        whole = given[0][axis] if -len(given[0]) <= axis < len(given[0]) else -1
        if whole < 0 or whole % count or (parts is not None and parts[0] * count != whole):
            raise ValueError(f"Split of {given[0]} into {count} parts along axis {axis}")
        return graph.sliced({axis: slice(0, whole // count)})(given)

    return sizes


def _gemm(node: _Node) -> Sizes:
    turned = bool(node.number("transA", 0)), bool(node.number("transB", 0))

    def sizes(given: Sequence[Shape]) -> Shape:
        if len(given) < 2 or len(given[0]) != 2 or len(given[1]) != 2:
            raise ValueError(f"Gemm of {', '.join(map(str, given))}")
        return graph.product([shape[::-1] if turn else shape for shape, turn in zip(given, turned, strict=False)])

    return sizes


_SAME = (
    "Abs", "Cast", "Ceil", "Clip", "DequantizeLinear", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Log", "Neg", "PRelu", "QuantizeLinear", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Softmax", "Softplus",
    "Sqrt", "Tanh",
)  # fmt: skip
_BROADCAST = "Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"
_OPERATIONS: dict[str, Callable[[_Node], Sizes]] = {
    **dict.fromkeys(_SAME, lambda node: graph.same),
    **dict.fromkeys(_BROADCAST, lambda node: graph.broadcast),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum"), _reduction),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), lambda node: lambda given: (*given[0][:2], *[1] * (len(given[0]) - 2))),
    "BatchNormalization": lambda node: graph.same,
    "Concat": lambda node: graph.concatenated(node.number("axis", 0)),
    "Conv": _convolution,
    "DepthToSpace": lambda node: graph.rearranged(node.number("blocksize", 0), 1, True),
    "InstanceNormalization": lambda node: graph.same,
    "Flatten": _flattening,
    "Gemm": _gemm,
    "MatMul": lambda node: graph.product,
    "Pad": _padding,
    "Reshape": _reshaping,
    "Resize": _enlargement,
    "Slice": _slicing,
    "SpaceToDepth": lambda node: graph.rearranged(node.number("blocksize", 0), 1, False),
    "Split": _splitting,
    "Squeeze": _squeezing,
    "Transpose": lambda node: graph.transposed(node.numbers.get("perm", ())),
    "Unsqueeze": _unsqueezing,
}


def _sizes(node: _Node) -> Sizes:
    return _OPERATIONS[node.op](node)
