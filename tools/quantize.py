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
from tools.networks.mobilefuse import MobileFuse

Pair = tuple[np.ndarray, np.ndarray]  # visible, infrared: float32 (H, W) in [0, 1]
CLIP = 1e-5  # share of a tensor's values that may lie beyond its range


def ranges(network: MobileFuse, graph: Graph, pairs: Sequence[Pair]) -> dict[str, tuple[float, float]]:
    """(low, high) of each tensor that becomes int8, over the calibration pairs; both inputs of a MAX share its range."""
    highs: dict[str, list[float]] = {}

    def watch(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def note(_: nn.Module, __: object, out: Tensor) -> None:
            highs.setdefault(name, []).append(float(np.quantile(out.numpy(), 1 - CLIP)))

        return note

    chains = {"stream_visible": network.visible, "stream_infrared": network.infrared, "decoder": network.decoder}
    hooks = [unit.register_forward_hook(watch(f"{name}.{k}")) for name, units in chains.items() for k, unit in enumerate(units)]
    with torch.no_grad():
        for visible, infrared in pairs:
            network(*(torch.from_numpy(x.copy())[None, None] for x in (visible, infrared)))
    for hook in hooks:
        hook.remove()
    found = {name: (0.0, max(values)) for name, values in highs.items()}
    for step in graph.steps:
        if step["op"] == "max":
            shared = (0.0, max(found[n][1] for n in step["in"]))
            found |= dict.fromkeys((*step["in"], step["out"]), shared)
    return found


class ChannelsLast(nn.Module):
    """A MobileFuse with (N, H, W, 1) inputs and outputs, TFLite's layout: converted so, it has no reshapes and any frame size."""

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


def tflite_int8(network: MobileFuse, graph: Graph, pairs: Sequence[Pair], size: tuple[int, int] = (96, 128)) -> bytes:
    """int8 convolutions between float32 inputs and outputs. `size` (height, width) is only the size it is traced at."""
    import litert_torch
    from ai_edge_quantizer import qtyping, quantizer, recipe

    height, width = size
    calibration = [{k: x[None, :height, :width, None].copy() for k, x in zip(("visible", "infrared"), p, strict=True)} for p in pairs]
    sample = {k: torch.from_numpy(v) for k, v in calibration[0].items()}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        plain, small = f"{folder}/fp32.tflite", f"{folder}/int8.tflite"
        litert_torch.convert(ChannelsLast(network).eval(), sample_kwargs=sample).export(plain)
        q = quantizer.Quantizer(plain)
        q.load_quantization_recipe(recipe.static_wi8_ai8())
        names = qtyping.TFLOperationName
        # inputs and outputs of one kind, and the map's arithmetic exact
        for op in (names.INPUT, names.OUTPUT, names.SUB, names.ADD, names.MUL, names.LOGISTIC):
            q.update_quantization_recipe(regex=".*", operation_name=op, algorithm_key=recipe.AlgorithmName.NO_QUANTIZE)
        q.quantize(q.calibrate({"serving_default": calibration})).export_model(small, overwrite=True)
        return Path(small).read_bytes()
