"""Post-training static quantisation: activation ranges from calibration pairs, then int8 ONNX (QDQ) and int8 TFLite."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tools.graph import Graph
from tools.mobilefuse.network import MobileFuse
from tools.mobilefuse.target_network import TargetNet

Pair = tuple[np.ndarray, np.ndarray]  # visible, infrared: float32 (H, W) in [0, 1]
# a tensor's int8 range as a share of its largest value: 0.7 gives 2.4 dB more than 1, and 4 dB more than 0.5, on MSRS's training pairs
HEADROOM = 0.7
TARGET_HEADROOM = 0.85  # for the target network, whose few channels have similar ranges


def _highs(network: MobileFuse | TargetNet, pairs: Sequence[Pair]) -> dict[str, np.ndarray]:
    """Return the largest value of each channel of each unit's output over the pairs, by the graph's tensor name.

    Not a quantile: clipping one value in a thousand costs 2 to 5 dB, because the few large values decide the map.
    """
    highs: dict[str, np.ndarray] = {}

    def watch(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def note(_: nn.Module, __: object, out: Tensor) -> None:
            high = out.amax(dim=(0, 2, 3)).numpy()
            highs[name] = np.maximum(highs.get(name, high), high)

        return note

    hooks = [unit.register_forward_hook(watch(name)) for name, unit in _units(network)]
    with torch.no_grad():
        for visible, infrared in pairs:
            network(*(torch.from_numpy(x.copy())[None, None] for x in (visible, infrared)))
    for hook in hooks:
        hook.remove()
    return highs


def _units(network: MobileFuse | TargetNet) -> list[tuple[str, nn.Sequential]]:
    return [(f"{name}.{k}", unit) for name, units in network.chains().items() for k, unit in enumerate(units)]


def equalise(network: MobileFuse | TargetNet, pairs: Sequence[Pair]) -> None:
    """Scale the channels of every activation to equal ranges, in place, without changing the output of a folded network.

    ReLU and MAX commute with positive factors, so the next convolution is multiplied by the factor that a channel is divided by (Nagel et
    al., Data-Free Quantization, section 4.1, with measured ranges). One int8 scale then fits all channels of a depthwise network.
    """
    highs = _highs(network, pairs)
    units = dict(_units(network))

    def rescale(names: Sequence[str], following: nn.Sequential) -> None:
        high = np.max([highs[n] for n in names], axis=0)
        depthwise = following[0].groups > 1
        # depthwise weights have a scale per channel and accept any factor; pointwise weights share a row's scale, hence the square root
        factor = np.clip(high / max(high.max(), 1e-6), 1e-3, 1) ** (1.0 if depthwise else 0.5)
        f = torch.from_numpy(factor.astype(np.float32))[:, None, None, None]
        with torch.no_grad():
            for n in names:
                units[n][0].weight /= f
                units[n][0].bias /= f[:, 0, 0, 0]
            following[0].weight *= f if depthwise else f.reshape(1, -1, 1, 1)

    for name, chain in network.chains().items():
        for k in range(len(chain) - 1):
            rescale([f"{name}.{k}"], chain[k + 1])
    if isinstance(network, TargetNet):
        rescale([f"stem.{len(network.stem) - 1}"], network.body[0])
        return
    last = len(network.visible) - 1
    rescale([f"stream_visible.{last}", f"stream_infrared.{last}"], network.decoder[0])


def ranges(network: MobileFuse | TargetNet, graph: Graph, pairs: Sequence[Pair]) -> dict[str, tuple[float, float]]:
    """Measure (low, high) of each tensor that becomes int8 over the calibration pairs; both inputs of a MAX share its range."""
    headroom = TARGET_HEADROOM if isinstance(network, TargetNet) else HEADROOM
    limits = {name: (0.0, headroom * float(high.max())) for name, high in _highs(network, pairs).items()}
    for step in graph.steps:
        if step["op"] == "max":
            shared = (0.0, max(limits[n][1] for n in step["in"]))
            limits |= dict.fromkeys((*step["in"], step["out"]), shared)
    return limits


class ChannelsLast(nn.Module):
    """A MobileFuse with TFLite's layout (N, H, W, 1), so that the conversion adds no reshapes and fits any frame size."""

    def __init__(self, network: MobileFuse) -> None:
        super().__init__()
        self.network = network

    def forward(self, visible: Tensor, infrared: Tensor) -> dict[str, Tensor]:
        n = self.network
        merged = torch.maximum(n.visible(visible.permute(0, 3, 1, 2)), n.infrared(infrared.permute(0, 3, 1, 2)))
        drawn = n.decoder(merged).permute(0, 2, 3, 1)
        if n.kind == "mobilefuse-generative-only":
            return {"fused": drawn.clamp(0, 1)}
        blending_map = torch.sigmoid(drawn)
        return {"fused": infrared + blending_map * (visible - infrared), "map": blending_map}


class TargetChannelsLast(nn.Module):
    """The same for a TargetNet."""

    def __init__(self, network: TargetNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, visible: Tensor, infrared: Tensor) -> dict[str, Tensor]:
        n = self.network
        pair = torch.cat([x - x.mean((1, 2), keepdim=True) for x in (visible, infrared)], 3).permute(0, 3, 1, 2)
        drawn = nn.functional.max_pool2d(n.body(n.stem(pair)), 3, 1, 1)
        return {"target": drawn.clamp(0, 1).permute(0, 2, 3, 1)}


def tflite(network: MobileFuse | TargetNet, graph: Graph, pairs: Sequence[Pair], size: tuple[int, int] = (96, 128)) -> dict[str, bytes]:
    """Return TFLite models by precision: fp32, and int8 convolutions with float32 inputs and outputs. size: (rows, columns)."""
    import litert_torch
    from ai_edge_quantizer import qtyping, quantizer, recipe

    height, width = size
    calibration = [{k: x[None, :height, :width, None].copy() for k, x in zip(("visible", "infrared"), p, strict=True)} for p in pairs]
    sample = {k: torch.from_numpy(v) for k, v in calibration[0].items()}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        plain, small = f"{folder}/fp32.tflite", f"{folder}/int8.tflite"
        wrapped = TargetChannelsLast(network) if isinstance(network, TargetNet) else ChannelsLast(network)
        litert_torch.convert(wrapped.eval(), sample_kwargs=sample).export(plain)
        q = quantizer.Quantizer(plain)
        q.load_quantization_recipe(recipe.static_wi8_ai8())
        names = qtyping.TFLOperationName
        # inputs and outputs have one type, the map's arithmetic is exact, first and last convolutions as in tools/onnx_writer.py
        kinds = (names.INPUT, names.OUTPUT, names.SUB, names.ADD, names.MUL, names.LOGISTIC, names.MAXIMUM, names.MEAN, names.CONCATENATION)
        exact = [(".*", op) for op in (*kinds, names.MAX_POOL_2D, names.PAD)]
        chain, units = list(network.chains().items())[-1]
        first, last = r"^[^;]*Sequential_(visible|infrared|stem)/", rf"^[^;]*Sequential_{chain}/[^;]*Sequential_{len(units) - 1}/"
        early = r"^[^;]*Sequential_body/[^;]*Sequential_[0-3]/"
        exact += [(regex, op) for regex in (first, early, last) for op in (names.CONV_2D, names.DEPTHWISE_CONV_2D)]
        for regex, op in exact:
            q.update_quantization_recipe(regex=regex, operation_name=op, algorithm_key=recipe.AlgorithmName.NO_QUANTIZE)
        q.quantize(q.calibrate({"serving_default": calibration})).export_model(small, overwrite=True)
        return {"fp32": Path(plain).read_bytes(), "int8": Path(small).read_bytes()}
