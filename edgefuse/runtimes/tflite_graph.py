"""Reads the graph of a TFLite file (schema.fbs of TensorFlow 2.18, version 3) to check it before LiteRT does anything with it.

LiteRT follows a file's offsets, and numbers of tensors, as they are. Here each is checked, every tensor has the bytes that its sizes
promise, and every operation an output whose size its inputs tell. Files with other operations, with several graphs (loops) or with custom
operations are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgefuse.runtimes import graph
from edgefuse.runtimes.flatbuffer import Field, Reader, Table, scalars, tables, vector
from edgefuse.runtimes.graph import Graph, Shape, Sizes, Step, Window

# tables of options by their kind
_CONV, _DEPTHWISE, _POOL, _CONCATENATION, _RESHAPE, _TO_DEPTH, _TO_SPACE, _REDUCER = 1, 2, 5, 10, 17, 19, 94, 27
_OPTIONS = {
    _CONV: scalars("i1", "i4", "i4", "i1", "i4", "i4", "i1"),
    _DEPTHWISE: scalars("i1", "i4", "i4", "i4", "i1", "i4", "i4"),
    _POOL: scalars("i1", "i4", "i4", "i4", "i4", "i1"),
    _CONCATENATION: scalars("i4", "i1"),
    _RESHAPE: {0: vector("i4")},
    _TO_DEPTH: scalars("i4"),
    _TO_SPACE: scalars("i4"),
    _REDUCER: scalars("u1"),
    9: scalars("f4"), 11: scalars("i1", "u1"), 15: scalars("i4", "i4", "u1", "u1"), 21: scalars("i1"), 28: scalars("i1", "u1"),
    29: scalars("i1"), 74: scalars("u1", "u1"), 75: scalars("f4"), **dict.fromkeys((22, 26, 33, 38, 39, 42, 43, 66, 78, 89, 91), scalars()),
}  # fmt: skip
_QUANTIZATION = {0: vector("f4"), 1: vector("f4"), 2: vector("f4"), 3: vector("i8"), 4: Field("u1"), 6: Field("i4")}
_TENSOR = {
    0: vector("i4"), 1: Field("i1"), 2: Field("u4"), 3: Field("text"), 4: Field("table", schema=_QUANTIZATION), 5: Field("u1"),
    7: vector("i4"), 8: Field("u1"),
}  # fmt: skip
_OPERATOR = {
    0: Field("u4"), 1: vector("i4"), 2: vector("i4"), 3: Field("u1"), 4: Field("union", kinds=_OPTIONS), 6: Field("i1"), 7: vector("u1"),
    8: vector("i4"), 13: Field("i4"),
}  # fmt: skip
_SUBGRAPH = {0: tables(_TENSOR), 1: vector("i4"), 2: vector("i4"), 3: tables(_OPERATOR), 4: Field("text"), 5: Field("i4")}
_MAPPED = {0: Field("text"), 1: Field("u4")}
_SIGNATURE = {0: tables(_MAPPED), 1: tables(_MAPPED), 2: Field("text"), 4: Field("u4")}
_MODEL = {
    0: Field("u4"), 1: tables({0: Field("i1"), 1: Field("text"), 2: Field("i4"), 3: Field("i4")}), 2: tables(_SUBGRAPH), 3: Field("text"),
    4: tables({0: vector("u1"), 1: Field("u8"), 2: Field("u8")}), 5: vector("i4"), 6: tables(_MAPPED), 7: tables(_SIGNATURE),
}  # fmt: skip
_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1, 10: 8}  # of an element by its type
_CODES = {2: "<i4", 4: "<i8"}  # of the types that sizes have
_MOST_CODES, _MOST_QUANTIZED = 128, 1 << 16


@dataclass(frozen=True)
class _Tensor:
    shape: Shape
    constant: bool
    values: tuple[int, ...]
    """Whole numbers of a small constant; empty otherwise."""


@dataclass(frozen=True)
class _Operator:
    name: str
    options: Table
    inputs: Sequence[_Tensor | None]

    def number(self, field: int, default: int = 0) -> int:
        return self.options.number(field, default)

    def values(self, index: int) -> tuple[int, ...]:
        """Values of a constant input. Raises ValueError if the graph computes it."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None or not tensor.constant or not tensor.values:
            raise ValueError(f"{self.name}: its sizes are not constants of the file")
        return tensor.values


def read(data: bytes) -> Graph:
    """Read a file. Raises ValueError, with a message that continues the file's name, for one that must not be loaded."""
    model = Reader(data).root(b"TFL3", _MODEL)
    subgraphs, buffers = model.tables.get(2, []), [_buffer(data, b) for b in model.tables.get(4, [])]
    if model.number(0) != 3 or len(subgraphs) != 1:
        raise ValueError(f"it is of version {model.number(0)} and has {len(subgraphs)} graphs, expected version 3 and one graph")
    codes = [max(c.number(0), c.number(3)) for c in model.tables.get(1, [])]
    graph.within("its number of operation codes is", len(codes), 1, _MOST_CODES)
    content = subgraphs[0]
    for metadata in model.tables.get(6, []):
        graph.within("a buffer's number is", metadata.number(1), 0, len(buffers) - 1)
    parts = content.tables.get(0, [])
    graph.within("its number of tensors is", len(parts), 1, graph.MAX_TENSORS)
    tensors = [_tensor(t, buffers) for t in parts]
    for signature in model.tables.get(7, []):
        graph.within("a signature is of graph", signature.number(4), 0, 0)
        for mapped in (*signature.tables.get(0, []), *signature.tables.get(1, [])):
            graph.within("a tensor's number is", mapped.number(1), 0, len(tensors) - 1)
    inputs, outputs = content.whole(1), content.whole(2)
    for number in (*inputs, *outputs):
        graph.within("a tensor's number is", number, 0, len(tensors) - 1)
    known = {k for k, t in enumerate(tensors) if t.constant} | set(inputs)
    steps = []
    operators = content.tables.get(3, [])
    graph.within("its number of steps is", len(operators), 1, graph.MAX_STEPS)
    for operator in operators:
        step, made = _step(operator, codes, tensors, known)
        if known & made:
            raise ValueError(f"{step.name} makes a tensor that is there before it")
        known |= made
        steps.append(step)
    if not known.issuperset(outputs):
        raise ValueError("no step makes its output")
    made_of = Graph(
        tuple(steps), {str(k): t.shape for k, t in enumerate(tensors) if t.constant}, {str(k): tensors[k].shape for k in inputs}
    )  # fmt: skip
    made_of.check_constants()
    return made_of


def _buffer(data: bytes, part: Table) -> memoryview:
    """Return the values of a buffer, which are in its table, or behind the model at an offset of more than 1."""
    offset, size = part.number(1), part.number(2)
    if offset <= 1:
        return part.vectors.get(0, np.zeros(0, np.uint8)).data
    if 0 in part.vectors or size > len(data) - offset:
        raise ValueError(f"a buffer of {size} bytes at byte {offset} is not in the file")
    return memoryview(data)[offset : offset + size]


def _tensor(part: Table, buffers: Sequence[memoryview]) -> _Tensor:
    shape, kind, buffer = graph.shape_of(part.whole(0)), part.number(1), part.number(2)
    graph.within("a buffer's number is", buffer, 0, len(buffers) - 1)
    if kind not in _BYTES:
        raise ValueError(f"a tensor of type {kind} is not supported")
    if part.number(5):
        raise ValueError("a tensor that keeps its values from one run to the next (is_variable) is not supported")
    signature = part.whole(7)
    if signature and (len(signature) != len(shape) or any(s != n and s != -1 for s, n in zip(signature, shape, strict=True))):
        raise ValueError(f"a tensor of {shape} with the signature {signature[: graph.MAX_RANK]}")
    if (size := len(buffers[buffer])) not in (0, math.prod(shape) * _BYTES[kind]):
        raise ValueError(f"a tensor of {shape} holds {size} bytes")
    for quantization in part.tables.get(4, []):
        _check_quantization(quantization, shape)
    code = _CODES.get(kind)
    small = size and code and math.prod(shape) <= 4 * graph.MAX_RANK
    values = tuple(np.frombuffer(buffers[buffer], code).tolist()) if small else ()
    return _Tensor(shape, bool(size), values)


def _check_quantization(part: Table, shape: Shape) -> None:
    scales, zeros = part.vectors.get(2, ()), part.whole(3) if len(part.vectors.get(3, ())) <= _MOST_QUANTIZED else (1 << 40,)
    axis = part.number(6)
    fitting = {0, 1, shape[axis] if 0 <= axis < len(shape) else 1}
    if part.number(4) or len(scales) not in fitting or len(zeros) not in {0, len(scales)} or not np.isfinite(scales).all():
        raise ValueError(f"a tensor of {shape} has {len(scales)} scales and {len(zeros)} zero points along axis {axis}")
    for zero in zeros:
        graph.within("a zero point is", zero, -(1 << 15), (1 << 16) - 1)


def _step(part: Table, codes: Sequence[int], tensors: Sequence[_Tensor], known: set[int]) -> tuple[Step, set[int]]:
    code = codes[graph.within("an operation's number is", part.number(0), 0, len(codes) - 1)]
    if code not in _OPERATIONS:
        raise ValueError(f"the operation of code {code} is not supported, as its memory is not known")
    name, kind, needed, least, make = _OPERATIONS[code]
    if part.number(3) != kind and (needed or part.number(3)):
        raise ValueError(f"{name} has options of kind {part.number(3)}, expected {kind}")
    inputs, outputs = part.whole(1), part.whole(2)
    if len(inputs) < least or len(outputs) != 1 or part.whole(8) or part.vectors.get(7, np.zeros(0)).any():
        raise ValueError(f"{name} with {len(inputs)} inputs and {len(outputs)} outputs")
    for k, number in enumerate(inputs):
        if graph.within(f"{name}: a tensor's number is", number, -1 if k >= least else 0, len(tensors) - 1) >= 0 and number not in known:
            raise ValueError(f"{name} takes tensor {number}, which no step before it makes")
    graph.within(f"{name}: a tensor's number is", outputs[0], 0, len(tensors) - 1)
    options = (part.tables.get(4) or [Table()])[0]
    sizes = make(_Operator(name, options, [None if n < 0 else tensors[n] for n in inputs]))
    return Step(name, tuple("" if n < 0 else str(n) for n in inputs), (str(outputs[0]),), sizes), set(outputs)


def _window(padding: int, kernel: Shape, stride: Shape, dilation: Shape) -> Window:
    graph.within("a padding's kind is", padding, 0, 1)
    return Window(kernel, stride, dilation, None if padding == 0 else (0, 0))


def _convolution(operator: _Operator) -> Sizes:
    depthwise = operator.name == "DEPTHWISE_CONV_2D"
    first = 5 if depthwise else 4
    stride = operator.number(2), operator.number(1)
    dilation = operator.number(first + 1, 1), operator.number(first, 1)
    multiplier = graph.within("a depth multiplier is", operator.number(3), 1, graph.MAX_CHANNELS) if depthwise else 1
    _window(operator.number(0), (1, 1), stride, dilation).checked()

    # the weight is a constant, or made from one of the same shape by DEQUANTIZE
    def sizes(given: Sequence[Shape]) -> Shape:
        weight, bias = given[1], given[2:]
        if len(weight) != 4 or not all(weight) or (depthwise and (weight[0] != 1 or weight[3] % multiplier)):
            raise ValueError(f"{operator.name} with a weight of {weight}")
        outputs, inputs = (weight[3], weight[3] // multiplier) if depthwise else (weight[0], weight[3])
        if bias and bias[0] != (outputs,):
            raise ValueError(f"{operator.name} of {outputs} outputs with a bias of {bias[0]}")
        return graph.windowed(_window(operator.number(0), weight[1:3], stride, dilation), -1, outputs, inputs)(given)

    return sizes


def _pool(operator: _Operator) -> Sizes:
    kernel, stride = (operator.number(4), operator.number(3)), (operator.number(2), operator.number(1))
    return graph.windowed(_window(operator.number(0), kernel, stride, (1, 1)), -1, None, None)


def _padding(operator: _Operator) -> Sizes:
    amounts = operator.values(1)
    if len(amounts) % 2 or min(amounts) < 0:
        raise ValueError(f"{operator.name}: amounts of {amounts}")
    return graph.padded([a + b for a, b in zip(amounts[::2], amounts[1::2], strict=True)])


def _enlargement(operator: _Operator) -> Sizes:
    height, width = operator.values(1)
    return graph.resized(*(graph.within(f"{operator.name}: a side is", n, 1, graph.MAX_SIDE) for n in (height, width)))


def _reshape(operator: _Operator) -> Sizes:
    return graph.reshaped(operator.values(1) if len(operator.inputs) > 1 else operator.options.whole(0))


_Made = Callable[[_Operator], Sizes]
_SAME: Mapping[str, tuple[int, int]] = {
    # code, and kind of the options
    "DEQUANTIZE": (6, 38), "FLOOR": (8, 0), "LOGISTIC": (14, 0), "RELU": (19, 0), "RELU_N1_TO_1": (20, 0), "RELU6": (21, 0),
    "TANH": (28, 0), "EXP": (47, 33), "PRELU": (54, 0), "NEG": (59, 42), "LOG": (73, 0), "SQRT": (75, 0), "RSQRT": (76, 0),
    "SQUARE": (92, 66),
    "LEAKY_RELU": (98, 75), "ABS": (101, 78), "CEIL": (104, 0), "ELU": (111, 0), "QUANTIZE": (114, 89), "ROUND": (116, 0),
    "HARD_SWISH": (117, 91), "SOFTMAX": (25, 9), "RELU_0_TO_1": (152, 0),
}  # fmt: skip
_BROADCAST = {"ADD": (0, 11), "MUL": (18, 21), "SUB": (41, 28), "DIV": (42, 29), "MAXIMUM": (55, 39), "MINIMUM": (57, 39)}
_REDUCTIONS = {"MEAN": 40, "SUM": 74, "REDUCE_MAX": 82, "REDUCE_MIN": 89}
# by code: name, kind of the options, whether they must be there, least number of inputs, and what makes its sizes
_OPERATIONS: dict[int, tuple[str, int, bool, int, _Made]] = {
    **{code: (name, kind, name in ("SOFTMAX", "LEAKY_RELU"), 1, lambda o: graph.same) for name, (code, kind) in _SAME.items()},
    **{code: (name, kind, False, 2, lambda o: graph.broadcast) for name, (code, kind) in _BROADCAST.items()},
    **{
        code: (name, _REDUCER, False, 2, lambda o: graph.reduced(o.values(1), bool(o.number(0)))) for name, code in _REDUCTIONS.items()
    },
    1: ("AVERAGE_POOL_2D", _POOL, True, 1, _pool),
    17: ("MAX_POOL_2D", _POOL, True, 1, _pool),
    2: ("CONCATENATION", _CONCATENATION, True, 1, lambda o: graph.concatenated(o.number(0))),
    3: ("CONV_2D", _CONV, True, 2, _convolution),
    4: ("DEPTHWISE_CONV_2D", _DEPTHWISE, True, 2, _convolution),
    5: ("DEPTH_TO_SPACE", _TO_SPACE, True, 1, lambda o: graph.rearranged(o.number(0), -1, True)),
    26: ("SPACE_TO_DEPTH", _TO_DEPTH, True, 1, lambda o: graph.rearranged(o.number(0), -1, False)),
    22: ("RESHAPE", _RESHAPE, False, 1, _reshape),
    23: ("RESIZE_BILINEAR", 15, False, 2, _enlargement),
    97: ("RESIZE_NEAREST_NEIGHBOR", 74, False, 2, _enlargement),
    34: ("PAD", 22, False, 2, _padding),
    60: ("PADV2", 43, False, 3, _padding),
    39: ("TRANSPOSE", 26, False, 2, lambda o: graph.transposed(o.values(1))),
}  # fmt: skip
