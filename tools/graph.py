"""A network as plain steps and arrays, batch norm folded: what the ONNX, int8 and NumPy exports are all written from.

A step is {"op", "in", "out", ...}; the numpy runtime (edgefuse/runtimes/numpy.py) executes the same list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tools.mobilefuse.network import MobileFuse
from tools.mobilefuse.target_network import REDUCTION, TargetNet

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Graph:
    """steps, and float32 arrays by name: NAME.weight (O, I / groups, K, K) and NAME.bias (O,)."""

    steps: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    reduction: int = 1  # of the inputs, from the frame's size
    multiple: int = 1  # of the frame's sides
    exact: tuple[str, ...] = ()  # outputs of convolutions that stay in fp32, beside those that tools/onnx_writer.py names

    @property
    def parameters(self) -> int:
        return sum(a.size for a in self.arrays.values())

    @property
    def shrunk(self) -> dict[str, float]:
        """How many times smaller than the frame each tensor is, each way; a `stride` of 0.5 enlarges."""
        found: dict[str, float] = {"visible": self.reduction, "infrared": self.reduction}
        for step in self.steps:
            found[step["out"]] = max(found[name] for name in step["in"]) * step.get("stride", 1)
        return found

    @property
    def macs_per_pixel(self) -> float:
        """Multiply-accumulates of the convolutions for each pixel of the frame."""
        shrunk = self.shrunk
        total = sum(self.arrays[s["weight"]].size / shrunk[s["out"]] ** 2 for s in self.steps if s["op"] == "conv")
        return int(total) if total == int(total) else round(total, 2)

    @property
    def output_reduction(self) -> int:
        """Of the outputs, from the frame's size."""
        return int(self.shrunk[self.outputs[0]])


def folded(network: Network) -> Network:
    """The same function in eval mode, batch norms folded into their convolutions, in place."""
    network.eval()
    for unit in network.modules():
        if isinstance(unit, nn.Sequential) and len(unit) == 3 and isinstance(unit[1], nn.BatchNorm2d):
            unit[0] = fuse_conv_bn_eval(unit[0], unit[1])
            unit[1] = nn.Identity()
    return network


def trace(network: MobileFuse | TargetNet) -> Graph:
    """The graph of a folded network."""
    steps: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}

    def array(t: Tensor | None) -> np.ndarray:
        assert t is not None
        return t.detach().numpy().astype(np.float32)

    def chain(units: nn.Sequential, name: str, source: str) -> str:
        for k, unit in enumerate(units):
            conv, out = unit[0], f"{name}.{k}"
            arrays[f"{out}.weight"], arrays[f"{out}.bias"] = array(conv.weight), array(conv.bias)
            steps.append({
                "op": "conv", "in": [source], "out": out, "weight": f"{out}.weight", "bias": f"{out}.bias",
                "groups": conv.groups, "dilation": conv.dilation[0], "stride": conv.stride[0], "relu": len(unit) == 3,
            })  # fmt: skip
            source = out
        return source

    if isinstance(network, TargetNet):
        sources = ["visible", "infrared"]
        steps += [{"op": "centre", "in": [name], "out": f"{name}.centred"} for name in sources]
        steps.append({"op": "concat", "in": [f"{name}.centred" for name in sources], "out": "pair"})
        drawn = chain(network.body, "body", chain(network.stem, "stem", "pair"))
        steps += [{"op": "widen", "in": [drawn], "out": "widened"}, {"op": "clip", "in": ["widened"], "out": "target"}]
        return Graph(steps, arrays, ("target",), REDUCTION)
    streams = [chain(network.visible, "stream_visible", "visible"), chain(network.infrared, "stream_infrared", "infrared")]
    steps.append({"op": "max", "in": streams, "out": "merged"})
    drawn = chain(network.decoder, "decoder", "merged")
    if network.kind == "mobilefuse-generative-only":
        steps.append({"op": "clip", "in": [drawn], "out": "fused"})
        return Graph(steps, arrays, ("fused",))
    steps.append({"op": "sigmoid", "in": [drawn], "out": "map"})
    steps.append({"op": "blend", "in": ["visible", "infrared", "map"], "out": "fused"})
    return Graph(steps, arrays, ("fused", "map"))


def load_target(checkpoint: Path) -> TargetNet:
    """The folded target network of a training checkpoint, its logits from -4 to 4 drawn in to 0 to 1."""
    network = TargetNet()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    folded(network)
    last = network.body[-1][0]
    with torch.no_grad():
        last.weight /= 8
        last.bias.copy_(last.bias / 8 + 0.5)
    return network


def load(checkpoint: Path, kind: str, sharpness: float = 1.0) -> MobileFuse:
    """The folded network of a training checkpoint; the logits of its map, where it has one, times `sharpness`."""
    network = MobileFuse(kind)
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    folded(network)
    if kind != "mobilefuse-generative-only":
        with torch.no_grad():
            for parameter in network.decoder[-1][0].parameters():
                parameter *= sharpness
    return network


def save_npz(graph: Graph, path: str) -> None:
    """The model file of the numpy runtime."""
    steps = np.frombuffer(json.dumps(graph.steps).encode(), np.uint8)
    np.savez_compressed(path, graph=steps, **graph.arrays)
