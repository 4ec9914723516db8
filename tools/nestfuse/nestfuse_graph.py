"""Converts nestfuse and nestfuse-edge to a `Graph`: encoder twice with the same weights, attention and decoder in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from tools import onnx_writer
from tools.graph import Graph
from tools.nestfuse.edge_network import NestFuseEdge
from tools.nestfuse.network import MULTIPLE, NestFuse

SOURCES = ("visible", "infrared")


class Tracer:
    """Records steps and weights; each method returns the name of its output tensor."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.arrays: dict[str, Any] = {}

    def step(self, op: str, sources: list[str], out: str, **more: Any) -> str:
        self.steps.append({"op": op, "in": sources, "out": out, **more})
        return out

    def conv(self, conv: nn.Conv2d, weights: str, source: str, out: str, relu: bool = True) -> str:
        """Add a convolution. weights: the name of its weights, which several convolutions may share."""
        assert conv.bias is not None
        for kind, tensor in (("weight", conv.weight), ("bias", conv.bias)):
            self.arrays[f"{weights}.{kind}"] = tensor.detach().float().contiguous().numpy()
        how = {"groups": conv.groups, "dilation": conv.dilation[0], "stride": conv.stride[0], "relu": relu}
        return self.step("conv", [source], out, weight=f"{weights}.weight", bias=f"{weights}.bias", **how)

    def units(self, part: nn.Sequential, weights: str, source: str, out: str) -> str:
        """Add convolutions, each followed by a ReLU."""
        convs = [u for u in part if isinstance(u, nn.Conv2d)]
        for k, unit in enumerate(convs):
            source = self.conv(unit, f"{weights}.{k}", source, out if k == len(convs) - 1 else f"{out}.{k}")
        return source

    def enlarge(self, source: str) -> str:
        return self.step("enlarge", [source], f"{source}.enlarged", stride=0.5)

    def graph(self, *exact: str) -> Graph:
        return Graph(self.steps, self.arrays, ("fused",), multiple=MULTIPLE, exact=exact)


def trace(network: NestFuse | NestFuseEdge) -> Graph:
    return _nestfuse(network) if isinstance(network, NestFuse) else _edge(network)


def _nestfuse(network: NestFuse) -> Graph:
    t = Tracer()
    levels: list[list[str]] = [[] for _ in network.encoder]
    for source in SOURCES:
        made = t.units(network.first, "first", source, f"{source}.first")
        for k, part in enumerate(network.encoder):
            taken = made if k == 0 else t.step("pool", [made], f"{made}.pooled", stride=2)
            made = t.units(part, f"encoder.{k}", taken, f"{source}.{k}")
            levels[k].append(made)
    how = {"attention": network.attention, "contrast": network.contrast}
    x = {f"{k + 1}0": t.step("attend", both, f"x{k + 1}0", **how) for k, both in enumerate(levels)}
    for name, sources in (("11", "10"), ("21", "20"), ("31", "30"), ("12", "10 11"), ("22", "20 21"), ("13", "10 11 12")):
        below = f"{int(name[0]) + 1}{int(name[1]) - 1}"
        joined = t.step("concat", [*(x[s] for s in sources.split()), t.enlarge(x[below])], f"x{name}.joined")
        x[name] = t.units(network.decoder[name], f"decoder.{name}", joined, f"x{name}")
    t.step("clip", [t.conv(network.last, "last", x["13"], "drawn", relu=False)], "fused")
    # a few channels on which everything depends: int8 in the first block alone would cost 7 dB, for 0.3 % of the arithmetic
    early = [f"{source}.{unit}" for source in SOURCES for unit in ("first", "0.0", "0")]
    return t.graph(*early, x["13"])


def ranges(graph: Graph, pairs: Sequence[tuple[np.ndarray, np.ndarray]], headroom: float = 1.0) -> dict[str, tuple[float, float]]:
    """Measure (low, high) of the tensors that become int8, with the fp32 graph on the pairs (float32 (H, W) in [0, 1]).

    Tensors whose values are only moved keep their range. headroom: the range as a share of the largest value.
    """
    model = onnx.load_from_string(onnx_writer.fp32(graph, "ranges"))
    wanted = [s["out"] for s in graph.steps if s["op"] in ("conv", "attend", "concat")]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    limits = {}
    for visible, infrared in pairs:
        made = session.run(wanted, {"visible": visible[None, None], "infrared": infrared[None, None]})
        for name, x in zip(wanted, made, strict=True):
            low, high = limits.get(name, (0.0, 0.0))
            limits[name] = min(low, headroom * float(x.min())), max(high, headroom * float(x.max()))
    for step in graph.steps:
        if step["op"] in ("pool", "enlarge") and step["in"][0] in limits:
            limits[step["out"]] = limits[step["in"][0]]
    return limits


def load(checkpoint: Path, share: int, attention: str, contrast: float) -> NestFuse:
    """Load the network of a training checkpoint, ready to be traced."""
    network = NestFuse(share, attention, contrast)
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    return network.eval()


def _edge(network: NestFuseEdge) -> Graph:
    t = Tracer()
    seen: dict[str, list[str]] = {source: [] for source in SOURCES}
    for source in SOURCES:
        made = source
        for k, part in enumerate(network.encoder):
            taken = made if k == 0 else t.step("pool", [made], f"{made}.pooled", stride=2)
            made = t.units(part, f"encoder.{k}", taken, f"{source}.{k}")
            seen[source].append(made)
    how = {"attention": network.attention, "contrast": network.contrast}
    half, quarter = (t.step("attend", list(both), f"x{k}", **how) for k, both in enumerate(zip(*seen.values(), strict=True)))
    middle = t.enlarge(t.units(network.middle, "middle", quarter, "middle"))
    shallow = t.units(network.shallow, "shallow", t.step("concat", [half, middle], "shallow.joined"), "shallow")
    joined = t.step("concat", [seen["visible"][0], seen["infrared"][0], shallow], "shares.joined")
    logits = t.conv(network.shares[2], "shares.1", t.units(network.shares[:2], "shares", joined, "shares.inner"), "logits", relu=False)
    share = t.step("sigmoid", [t.step("shuffle", [logits], "logits.full", stride=0.5)], "shares.full")
    t.step("blend", ["visible", "infrared", share], "blended")
    drawn = t.step("shuffle", [t.conv(network.last, "last", shallow, "drawn", relu=False)], "drawn.full", stride=0.5)
    t.step("clip", [t.step("add", ["blended", drawn], "sum")], "fused")
    return t.graph("visible.0.0", "infrared.0.0", "logits", "drawn")
