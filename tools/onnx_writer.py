"""Writes a `Graph` as ONNX: fp32, or int8 as static QDQ (S8S8, per-channel weights).

Written node by node, to place the quantisers: ReLU is part of the zero point, and the streams and the last convolution stay in fp32. In
the streams int8 would cost 10 dB (a frame at night uses a tenth of their range) and save no time, because their few channels are limited
by memory bandwidth. Eighty percent of the arithmetic is in the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tools.graph import Graph

OPSET = 17
WEIGHT_MAX = 127
EXACT = ("stream_", "stem.", "body.0", "body.1", "body.2", "body.3")  # units whose inputs are the frames or first features


def fp32_names(graph: Graph) -> set[str]:
    """Return the outputs of the convolutions that stay in fp32: the first ones, and the last one, which has a single channel."""
    convs = [s for s in graph.steps if s["op"] == "conv"]
    chosen = {s["out"] for s in convs if s["out"].startswith(EXACT) or graph.arrays[s["weight"]].shape[0] == 1}
    return chosen | set(graph.exact)


def reduced(factor: int, multiple: int = 1) -> list[int | str]:
    """Return the symbolic shape, as in cards and ONNX files, of the frame divided by `factor`, or padded to a `multiple`."""
    how = f"/{factor}" if factor > 1 else f"%{multiple}" if multiple > 1 else ""
    return [1, 1, *(f"{n}{how}" for n in ("height", "width"))]


class _Writer:
    def __init__(self, graph: Graph, ranges: Mapping[str, tuple[float, float]] | None) -> None:
        self.graph, self.ranges = graph, ranges
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.integers: dict[str, str] = {}  # tensor -> its int8 version, if it exists
        self.scales: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, op: str, inputs: list[str], out: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"{op}_{out}", **attributes))
        return out

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = value
        return name

    def quantiser(self, tensor: str) -> list[str]:
        """Return the inputs scale and zero point for `tensor`."""
        assert self.ranges is not None
        low, high = self.ranges[tensor]
        low, high = min(low, 0.0), max(high, 1e-6)
        scale = np.float32((high - low) / 255)
        zero = np.int8(np.clip(round(-128 - low / scale), -128, 127))
        self.scales[tensor] = (np.asarray(scale), np.asarray(zero))
        return [self.constant(f"{tensor}.scale", np.asarray(scale)), self.constant(f"{tensor}.zero", np.asarray(zero))]

    def quantised(self, tensor: str) -> str:
        if tensor not in self.integers:
            self.integers[tensor] = self.add("QuantizeLinear", [tensor, *self.quantiser(tensor)], f"{tensor}.int8")
        return self.integers[tensor]

    def floats(self, tensor: str) -> str:
        """Return `tensor` in fp32, dequantised again for each use, as onnxruntime's QDQ patterns require."""
        if tensor not in self.integers:
            return tensor
        out = f"{tensor}.float{len(self.nodes)}"
        return self.add("DequantizeLinear", [self.integers[tensor], f"{tensor}.scale", f"{tensor}.zero"], out)

    def conv(self, step: dict, int8: bool) -> None:
        weight, bias = self.graph.arrays[step["weight"]], self.graph.arrays[step["bias"]]
        source, out, d = step["in"][0], step["out"], step["dilation"]
        if int8:
            self.quantised(source)
        x = self.floats(source)
        if int8:
            scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3)), 1e-8).astype(np.float32) / WEIGHT_MAX
            rounded = np.clip(np.round(weight / scale[:, None, None, None]), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
            names = [self.constant(f"{step['weight']}.int8", rounded), self.constant(f"{step['weight']}.scale", scale)]
            names.append(self.constant(f"{step['weight']}.zero", np.zeros(len(scale), np.int8)))
            w = self.add("DequantizeLinear", names, f"{out}.weight.float", axis=0)
            both = (self.scales[source][0] * scale).astype(np.float32)
            names = [
                self.constant(f"{out}.bias.int32", np.round(bias / both).astype(np.int32)),
                self.constant(f"{out}.bias.scale", both),
            ]
            names.append(self.constant(f"{out}.bias.zero", np.zeros(len(both), np.int32)))
            b = self.add("DequantizeLinear", names, f"{out}.bias.float", axis=0)
        else:
            w, b = self.constant(step["weight"], weight), self.constant(step["bias"], bias)
        pad, k = d * (weight.shape[2] // 2), weight.shape[2]
        raw = out if int8 or not step["relu"] else f"{out}.raw"
        self.add(
            "Conv",
            [x, w, b],
            raw,
            group=step["groups"],
            dilations=[d, d],
            strides=[step["stride"]] * 2,
            pads=[pad] * 4,
            kernel_shape=[k, k],
        )
        if raw != out:
            self.add("Relu", [raw], out)
        if int8:
            # saturation at the zero point acts as the ReLU
            self.quantised(out)

    def kept(self, op: str, sources: list[str], out: str, others: Sequence[str] = (), **attributes: object) -> None:
        """Add an operator that only moves values; its output is int8 if its input is."""
        self.add(op, [*(self.floats(t) for t in sources), *others], out, **attributes)
        if all(t in self.integers for t in sources):
            self.quantised(out)

    def attend(self, step: dict) -> None:
        """Add b + (a - b) (spatial share + channel share) / 2, with the shares of a, as in tools/nestfuse/network.py."""
        (a, b), out = (self.floats(t) for t in step["in"]), step["out"]
        means = [self.add("ReduceMean", [x], f"{out}.mean{k}", axes=[1], keepdims=1) for k, x in enumerate((a, b))]
        apart = self.add("Sub", means, f"{out}.apart")
        decided = self.add("Mul", [apart, self.constant(f"{out}.contrast", np.float32(step["contrast"]))], f"{out}.decided")
        spatial = self.add("Sigmoid", [decided], f"{out}.spatial")
        summed = {"average": "ReduceMean", "max": "ReduceMax"}[step["attention"]]
        p, q = (self.add(summed, [x], f"{out}.sum{k}", axes=[2, 3], keepdims=1) for k, x in enumerate((a, b)))
        both = self.add("Add", [self.add("Add", [p, q], f"{out}.sums"), self.constant("tiny", np.float32(1e-6))], f"{out}.both")
        channel = self.add("Div", [p, both], f"{out}.channel")
        half = self.constant("half", np.float32(0.5))
        halves = [self.add("Mul", [x, half], f"{x}.half") for x in (spatial, channel)]
        difference = self.add("Sub", [a, b], f"{out}.difference")
        share = self.add("Add", halves, f"{out}.share")
        self.add("Add", [b, self.add("Mul", [difference, share], f"{out}.part")], out)
        if self.ranges is not None and out in self.ranges:
            self.quantised(out)

    def build(self, name: str) -> onnx.ModelProto:
        in_fp32 = fp32_names(self.graph) if self.ranges is not None else {s["out"] for s in self.graph.steps}
        for step in self.graph.steps:
            source, out = step["in"], step["out"]
            if step["op"] == "conv":
                self.conv(step, out not in in_fp32)
            elif step["op"] == "max":
                self.add("Max", [self.floats(t) for t in source], out)
            elif step["op"] == "centre":
                self.add("ReduceMean", source, f"{out}.mean", axes=[2, 3], keepdims=1)
                self.add("Sub", [source[0], f"{out}.mean"], out)
            elif step["op"] == "concat":
                self.kept("Concat", source, out, axis=1)
            elif step["op"] == "pool":
                self.kept("MaxPool", source, out, kernel_shape=[2, 2], strides=[2, 2])
            elif step["op"] == "enlarge":
                scales = ["", self.constant("twice", np.array([1, 1, 2, 2], np.float32))]
                how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                self.kept("Resize", source, out, scales, **how)
            elif step["op"] == "shuffle":
                self.add("DepthToSpace", [self.floats(source[0])], out, blocksize=2)
            elif step["op"] == "add":
                self.add("Add", [self.floats(t) for t in source], out)
            elif step["op"] == "attend":
                self.attend(step)
            elif step["op"] == "widen":
                self.add("MaxPool", [self.floats(source[0])], out, kernel_shape=[3, 3], pads=[1] * 4)
            elif step["op"] == "sigmoid":
                self.add("Sigmoid", [self.floats(source[0])], out)
            elif step["op"] == "clip":
                limits = [self.constant("zero", np.float32(0)), self.constant("one", np.float32(1))]
                self.add("Clip", [self.floats(source[0]), *limits], out)
            elif step["op"] == "blend":
                visible, infrared, blending_map = source
                self.add("Sub", [visible, infrared], "difference")
                self.add("Mul", [blending_map, "difference"], "share")
                self.add("Add", [infrared, "share"], out)
            else:
                raise ValueError(f"no ONNX form for step {step['op']!r}")
        shapes = dict.fromkeys(("visible", "infrared"), reduced(self.graph.reduction, self.graph.multiple))
        shapes |= dict.fromkeys(self.graph.outputs, reduced(self.graph.output_reduction, self.graph.multiple))
        values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()}
        graph = helper.make_graph(
            self.nodes, name, [values["visible"], values["infrared"]], [values[n] for n in self.graph.outputs],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in self.constants.items()],
        )  # fmt: skip
        # IR version 8 and opset 17 load in every onnxruntime since 1.13
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="edgefuse")
        onnx.checker.check_model(model, full_check=True)
        return model


def fp32(graph: Graph, name: str) -> bytes:
    return _Writer(graph, None).build(name).SerializeToString()


def int8(graph: Graph, name: str, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Return the int8 model. ranges: (low, high) by tensor name, as `tools.quantize.ranges` measures them."""
    return _Writer(graph, ranges).build(name).SerializeToString()
