"""A network as a list of steps and arrays, with batch norms folded: the common source of the ONNX, TFLite and NumPy exports.

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
    """A network. arrays: float32 by name: NAME.weight (O, I / groups, K, K) and NAME.bias (O,)."""

    steps: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    reduction: int = 1  # factor by which the inputs are smaller than the frame
    multiple: int = 1  # the frame's sides must be multiples of it
    exact: tuple[str, ...] = ()  # convolutions, by output, that stay in fp32 in addition to those of tools/onnx_writer.py

    @property
    def parameters(self) -> int:
        return sum(a.size for a in self.arrays.values())

    @property
    def shrunk(self) -> dict[str, float]:
        """Factor by which each tensor's sides are smaller than the frame's; a `stride` of 0.5 enlarges."""
        factors: dict[str, float] = {"visible": self.reduction, "infrared": self.reduction}
        for step in self.steps:
            factors[step["out"]] = max(factors[name] for name in step["in"]) * step.get("stride", 1)
        return factors

    @property
    def macs_per_pixel(self) -> float:
        """Multiply-accumulates of the convolutions per pixel of the frame."""
        shrunk = self.shrunk
        total = sum(self.arrays[s["weight"]].size / shrunk[s["out"]] ** 2 for s in self.steps if s["op"] == "conv")
        return int(total) if total == int(total) else round(total, 2)

    @property
    def output_reduction(self) -> int:
        """Factor by which the outputs are smaller than the frame."""
        return int(self.shrunk[self.outputs[0]])


def folded(network: Network) -> Network:
    """Set a network to eval mode and fold its batch norms into the convolutions, in place."""
    network.eval()
    for unit in network.modules():
        if isinstance(unit, nn.Sequential) and len(unit) == 3 and isinstance(unit[1], nn.BatchNorm2d):
            unit[0] = fuse_conv_bn_eval(unit[0], unit[1])
            unit[1] = nn.Identity()
    return network


def trace(network: MobileFuse | TargetNet) -> Graph:
    """Return the graph of a folded network."""
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
    """Load the target network of a training checkpoint, folded, with its logits from -4 to 4 mapped to 0..1."""
    network = TargetNet()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    folded(network)
    last = network.body[-1][0]
    with torch.no_grad():
        last.weight /= 8
        last.bias.copy_(last.bias / 8 + 0.5)
    return network


def load(checkpoint: Path, kind: str, sharpness: float = 1.0) -> MobileFuse:
    """Load the network of a training checkpoint, folded. The logits of its map, if it has one, are multiplied by `sharpness`."""
    network = MobileFuse(kind)
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    folded(network)
    if kind != "mobilefuse-generative-only":
        with torch.no_grad():
            for parameter in network.decoder[-1][0].parameters():
                parameter *= sharpness
    return network


def save_npz(graph: Graph, path: str) -> None:
    """Write the model file of the numpy runtime."""
    steps = np.frombuffer(json.dumps(graph.steps).encode(), np.uint8)
    np.savez_compressed(path, graph=steps, **graph.arrays)
