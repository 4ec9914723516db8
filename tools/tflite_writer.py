"""Writes a `Graph` as TFLite, operator by operator: fp32, or int8 convolutions with float32 inputs and outputs.

A converter would fix the size of enlarged tensors at the size used for tracing. All operators used here take their size from their input:
enlarging concatenates four copies (CONCATENATION) and moves them to 2 x 2 pixels (DEPTH_TO_SPACE), which the XNNPACK delegate supports,
too. An int8 CONCATENATION needs the same scale for all inputs, so each is converted by QUANTIZE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl

from tools.graph import Graph
from tools.onnx_writer import WEIGHT_MAX, fp32_names

TYPES = {np.dtype(np.float32): tfl.TensorType.FLOAT32, np.dtype(np.int8): tfl.TensorType.INT8, np.dtype(np.int32): tfl.TensorType.INT32}
SIZE = (16, 16)  # frame size in the file; the interpreter resizes it
Scale = tuple[np.ndarray, np.ndarray]  # scales and zero points


class _Writer:
    def __init__(self, graph: Graph, ranges: Mapping[str, tuple[float, float]] | None) -> None:
        self.graph, self.ranges, self.shrunk = graph, ranges, dict(graph.shrunk)
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [tfl.BufferT()]
        self.operators: list[Any] = []
        self.codes: list[tuple[int, int]] = []
        self.index: dict[str, int] = {}
        self.channels: dict[str, int] = {}
        self.integers: dict[str, Scale] = {}  # int8 tensors and their scales
        self.copies: dict[tuple[str, bytes], str] = {}
        self.aliases: dict[str, str] = {}  # tensors that are replaced by another version for all later uses

    def tensor(self, name: str, shape: list[int], dtype: Any, scale: Scale | None = None, data: np.ndarray | None = None) -> int:
        t = tfl.TensorT()
        t.name, t.shape, t.type = name.encode(), shape, TYPES[np.dtype(dtype)]
        t.shapeSignature = [-1 if k in (1, 2) and data is None and len(shape) == 4 and n > 1 else n for k, n in enumerate(shape)]
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.buffers.append(buffer)
            t.buffer = len(self.buffers) - 1
        if scale is not None:
            t.quantization = tfl.QuantizationParametersT()
            t.quantization.scale = np.atleast_1d(scale[0]).astype(np.float32)
            t.quantization.zeroPoint = np.atleast_1d(scale[1]).astype(np.int64)
        self.tensors.append(t)
        self.index[name] = len(self.tensors) - 1
        return self.index[name]

    def constant(self, name: str, data: np.ndarray, scale: Scale | None = None) -> int:
        return self.index[name] if name in self.index else self.tensor(name, list(data.shape), data.dtype, scale, data)

    def plane(self, name: str, channels: int, shrunk: float, scale: Scale | None = None) -> int:
        """Add an output tensor: (1, H, W, channels), or (1, 1, 1, channels) if `shrunk` is 0."""
        height, width = (max(1, round(n / shrunk)) for n in SIZE) if shrunk else (1, 1)
        self.channels[name], self.shrunk[name] = channels, shrunk
        if scale is not None:
            self.integers[name] = scale
        return self.tensor(name, [1, height, width, channels], np.float32 if scale is None else np.int8, scale)

    def add(self, op: str, inputs: list[int | str], out: int, options: Any = None, version: int = 1) -> None:
        code = getattr(tfl.BuiltinOperator, op)
        if (code, version) not in self.codes:
            self.codes.append((code, version))
        operator = tfl.OperatorT()
        operator.opcodeIndex = self.codes.index((code, version))
        operator.inputs = [self.index[i] if isinstance(i, str) else i for i in inputs]
        operator.outputs = [out]
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(tfl.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.operators.append(operator)

    def scale(self, tensor: str) -> Scale:
        assert self.ranges is not None
        low, high = self.ranges[tensor]
        low, high = min(low, 0.0), max(high, 1e-6)
        scale = np.float32((high - low) / 255)
        return np.asarray(scale), np.asarray(np.int8(np.clip(round(-128 - low / scale), -128, 127)))

    def integer(self, tensor: str, wanted: Scale | None = None) -> str:
        """Return `tensor` in int8, with its own scale or the given one."""
        scale = wanted or self.integers.get(tensor) or self.scale(tensor)
        if tensor in self.integers and all(np.array_equal(a, b) for a, b in zip(self.integers[tensor], scale, strict=True)):
            return tensor
        key = (tensor, b"".join(np.asarray(v).tobytes() for v in scale))
        if key not in self.copies:
            name = self.copies[key] = f"{tensor}.int8.{len(self.copies)}"
            out = self.plane(name, self.channels[tensor], self.shrunk[tensor], scale)
            self.add("QUANTIZE", [tensor], out, tfl.QuantizeOptionsT(), version=2 if tensor in self.integers else 1)
        return self.copies[key]

    def floats(self, tensor: str) -> str:
        if tensor not in self.integers:
            return tensor
        if (tensor, b"") not in self.copies:
            name = self.copies[tensor, b""] = f"{tensor}.float"
            made = self.plane(name, self.channels[tensor], self.shrunk[tensor])
            self.add("DEQUANTIZE", [tensor], made, tfl.DequantizeOptionsT(), version=2)
        return self.copies[tensor, b""]

    def conv(self, step: dict[str, Any], int8: bool) -> None:
        weight, bias = self.graph.arrays[step["weight"]], self.graph.arrays[step["bias"]]
        source, out, depthwise = step["in"][0], step["out"], step["groups"] > 1
        laid = weight.transpose(1, 2, 3, 0) if depthwise else weight.transpose(0, 2, 3, 1)
        if int8:
            source, axis = self.integer(source), 3 if depthwise else 0
            scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)), 1e-8).astype(np.float32) / WEIGHT_MAX
            rounded = np.clip(np.round(weight / scale[:, None, None, None]), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
            rounded = rounded.transpose(1, 2, 3, 0) if depthwise else rounded.transpose(0, 2, 3, 1)
            both = (self.integers[source][0] * scale).astype(np.float32)
            zeros = np.zeros(len(scale), np.int64)
            w = self.constant(f"{step['weight']}.{source}", rounded, (scale, zeros))
            self.tensors[w].quantization.quantizedDimension = axis
            b = self.constant(f"{step['bias']}.{source}", np.round(bias / both).astype(np.int32), (both, zeros))
        else:
            source = self.floats(source)
            w, b = self.constant(step["weight"], laid), self.constant(step["bias"], bias)
        options = tfl.DepthwiseConv2DOptionsT() if depthwise else tfl.Conv2DOptionsT()
        if step["stride"] > 1:
            # TFLite's SAME would pad even sides only at the end
            source = self.padded(source, step["dilation"] * (weight.shape[2] // 2))
        options.padding = tfl.Padding.SAME if step["stride"] == 1 else tfl.Padding.VALID
        options.strideW = options.strideH = step["stride"]
        options.dilationWFactor = options.dilationHFactor = step["dilation"]
        options.fusedActivationFunction = tfl.ActivationFunctionType.RELU if step["relu"] else tfl.ActivationFunctionType.NONE
        if depthwise:
            options.depthMultiplier = 1
        made = self.plane(out, len(bias), self.shrunk[out], self.scale(out) if int8 else None)
        self.add("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [source, w, b], made, options, version=3 if int8 else 1)

    def padded(self, source: str, reach: int) -> str:
        name = f"{source}.padded"
        if name not in self.index:
            out = self.plane(name, self.channels[source], self.shrunk[source], self.integers.get(source))
            height, width = self.tensors[out].shape[1:3]
            self.tensors[out].shape = [1, height + 2 * reach, width + 2 * reach, self.channels[source]]
            pads = self.constant(f"pads.{reach}", np.array([[0, 0], [reach, reach], [reach, reach], [0, 0]], np.int32))
            self.add("PAD", [source, pads], out, tfl.PadOptionsT(), version=2 if source in self.integers else 1)
        return name

    def concat(self, sources: list[str], out: str, shrunk: float) -> None:
        scale = None
        if all(s in self.integers for s in sources) and self.ranges is not None:
            scale = self.scale(out) if out in self.ranges else self.integers[sources[0]]
            sources = [self.integer(s, scale) for s in sources]
        else:
            sources = [self.floats(s) for s in sources]
        made = self.plane(out, sum(self.channels[s] for s in sources), shrunk, scale)
        options = tfl.ConcatenationOptionsT()
        options.axis = 3
        self.add("CONCATENATION", list(sources), made, options, version=2 if scale else 1)

    def shuffle(self, source: str, out: str, shrunk: float) -> None:
        options = tfl.DepthToSpaceOptionsT()
        options.blockSize = 2
        self.add("DEPTH_TO_SPACE", [source], self.plane(out, self.channels[source] // 4, shrunk, self.integers.get(source)), options,
                 version=2 if source in self.integers else 1)  # fmt: skip

    def pool(self, source: str, out: str) -> None:
        options = tfl.Pool2DOptionsT()
        options.padding, options.strideW, options.strideH, options.filterWidth, options.filterHeight = tfl.Padding.VALID, 2, 2, 2, 2
        made = self.plane(out, self.channels[source], self.shrunk[out], self.integers.get(source))
        self.add("MAX_POOL_2D", [source], made, options, version=2 if source in self.integers else 1)

    def binary(self, op: str, a: str, b: str | np.ndarray, out: str) -> str:
        """Add a OP b. b may be an array, or have a single channel or pixel."""
        if not isinstance(b, str):
            other: int | str = self.constant(f"{out}.constant", b)
            channels, shrunk = self.channels[a], self.shrunk[a]
        else:
            other, channels = b, max(self.channels[a], self.channels[b])
            shrunk = self.shrunk[a] or self.shrunk[b]
        options = getattr(tfl, {"ADD": "AddOptionsT", "SUB": "SubOptionsT", "MUL": "MulOptionsT", "DIV": "DivOptionsT"}[op])()
        self.add(op, [a, other], self.plane(out, channels, shrunk), options)
        return out

    def reduce(self, op: str, source: str, axes: list[int], out: str) -> str:
        options = tfl.ReducerOptionsT()
        options.keepDims = True
        over_frame = axes == [1, 2]
        made = self.plane(out, self.channels[source] if over_frame else 1, 0 if over_frame else self.shrunk[source])
        self.add(op, [source, self.constant(f"axes.{axes}", np.array(axes, np.int32))], made, options)
        return out

    def attend(self, step: dict[str, Any]) -> None:
        (a, b), out = (self.floats(t) for t in step["in"]), step["out"]
        means = [self.reduce("MEAN", x, [3], f"{out}.mean{k}") for k, x in enumerate((a, b))]
        apart = self.binary("SUB", means[0], means[1], f"{out}.apart")
        decided = self.binary("MUL", apart, np.float32([step["contrast"]]), f"{out}.decided")
        self.add("LOGISTIC", [decided], self.plane(f"{out}.spatial", 1, self.shrunk[a]))
        summed = {"average": "MEAN", "max": "REDUCE_MAX"}[step["attention"]]
        p, q = (self.reduce(summed, x, [1, 2], f"{out}.sum{k}") for k, x in enumerate((a, b)))
        both = self.binary("ADD", self.binary("ADD", p, q, f"{out}.sums"), np.float32([1e-6]), f"{out}.both")
        channel = self.binary("DIV", p, both, f"{out}.channel")
        halves = [self.binary("MUL", x, np.float32([0.5]), f"{x}.half") for x in (f"{out}.spatial", channel)]
        share = self.binary("ADD", halves[0], halves[1], f"{out}.share")
        difference = self.binary("SUB", a, b, f"{out}.difference")
        self.binary("ADD", self.binary("MUL", difference, share, f"{out}.part"), b, out)

    def step(self, step: dict[str, Any], in_fp32: set[str]) -> None:
        source, out = [self.aliases.get(name, name) for name in step["in"]], step["out"]
        step = {**step, "in": source}
        if step["op"] == "conv":
            self.conv(step, out not in in_fp32)
        elif step["op"] == "concat":
            self.concat(source, out, self.shrunk[out])
        elif step["op"] == "enlarge":
            self.concat(source * 4, f"{out}.copies", self.shrunk[source[0]])
            self.shuffle(f"{out}.copies", out, self.shrunk[out])
        elif step["op"] == "shuffle":
            self.shuffle(self.floats(source[0]), out, self.shrunk[out])
        elif step["op"] == "pool":
            self.pool(source[0], out)
        elif step["op"] == "attend":
            self.attend(step)
            if self.ranges is not None and out in self.ranges:
                self.aliases[out] = self.integer(out)
        elif step["op"] == "add":
            self.binary("ADD", *(self.floats(t) for t in source), out)
        elif step["op"] == "sigmoid":
            self.add("LOGISTIC", [self.floats(source[0])], self.plane(out, self.channels[source[0]], self.shrunk[out]))
        elif step["op"] == "blend":
            visible, infrared, share = source
            part = self.binary("MUL", self.binary("SUB", visible, infrared, f"{out}.difference"), share, f"{out}.part")
            self.binary("ADD", part, infrared, out)
        elif step["op"] == "clip":
            self.binary_limits(self.floats(source[0]), out)
        else:
            raise ValueError(f"no TFLite form for step {step['op']!r}")

    def binary_limits(self, source: str, out: str) -> None:
        for op, limit, name in (("MAXIMUM", 0, f"{out}.low"), ("MINIMUM", 1, out)):
            made = self.plane(name, self.channels[source], self.shrunk[source])
            self.add(op, [source, self.constant(f"limit.{limit}", np.float32([limit]))], made, tfl.MaximumMinimumOptionsT())
            source = name

    def build(self) -> bytes:
        for name in ("visible", "infrared"):
            self.plane(name, 1, self.graph.reduction)
        in_fp32 = fp32_names(self.graph) if self.ranges is not None else {s["out"] for s in self.graph.steps}
        for step in self.graph.steps:
            self.step(step, in_fp32)
        graph = tfl.SubGraphT()
        graph.tensors, graph.operators, graph.name = self.tensors, self.operators, b"main"
        graph.inputs, graph.outputs = [self.index["visible"], self.index["infrared"]], [self.index[n] for n in self.graph.outputs]
        for name in ("visible", "infrared", *self.graph.outputs):
            self.tensors[self.index[name]].name = f"serving_default_{name}:0".encode()
        model = tfl.ModelT()
        model.version, model.description, model.subgraphs, model.buffers = 3, b"edgefuse", [graph], self.buffers
        model.operatorCodes = []
        for code, version in self.codes:
            entry = tfl.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def fp32(graph: Graph) -> bytes:
    return _Writer(graph, None).build()


def int8(graph: Graph, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the int8 model. ranges: (low, high) by tensor name, as `tools.quantize.ranges` measures them."""
    return _Writer(graph, ranges).build()
