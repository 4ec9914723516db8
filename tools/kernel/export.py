"""Export the kernel network of sharpen-edge: `python -m tools.kernel.export --run sharpen-kernel`.

Writes models/sharpen-kernel/: ONNX and NumPy weights, a golden pair and card.toml. Inputs and outputs are mapped to 0..1, as
edgefuse/sharpening/kernel_network.py expects; the first and last convolutions contain the scales. The convolutions pad with zeros, so
MARGIN pixels at each side of the output are invalid.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from edgefuse.sharpening.kernel_network import AXES, FEATURES, INPUT_SCALE, LEFT, MODEL, SCALE, SIMILARITY, SLOPE
from tools import cards, command_line, graph
from tools.kernel.network import CHANNELS, MARGIN, KernelNetwork, parameters
from tools.onnx_writer import OPSET

TITLE = "The kernel of sharpen-edge: features of the image that describe the covariance of the trend's residual"
SOURCE = "EdgeFuse; network: tools/kernel/network.py"
TOLERANCE = {"fp32": 1e-4}
OUTPUT_SCALES = np.repeat([SIMILARITY, SLOPE, SCALE], [FEATURES, FEATURES, 1])
GOLDEN_SIZE = 37, 29


def steps_of(network: KernelNetwork) -> graph.Graph:
    """Return the network as steps, with inputs and outputs in 0..1."""
    input_scale = float(INPUT_SCALE)
    output_scale = 1 / OUTPUT_SCALES[:, None, None, None]
    weights = {k: v.detach().double().numpy() for k, v in network.state_dict().items()}
    scale = weights["scale"].reshape(-1, 1, 1, 1) * output_scale
    arrays = {"mix.weight": weights["mix.weight"], "mix.bias": weights["mix.bias"]}
    for name, bias in (("see", weights["see.bias"]), ("straight", np.zeros(CHANNELS))):
        scaled = weights[f"{name}.weight"] / input_scale
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = scaled, bias - 0.5 * scaled.sum((1, 2, 3))
    arrays["straight.weight"], arrays["straight.bias"] = arrays["straight.weight"] * scale, arrays["straight.bias"] * scale[:, 0, 0, 0]
    arrays["say.weight"], arrays["say.bias"] = weights["say.weight"] * scale, weights["say.bias"] * scale[:, 0, 0, 0] + 0.5
    how = {"groups": 1, "dilation": 1, "stride": 1}
    chain = (("see", "shown", True), ("mix", "see", True), ("say", "mix", False), ("straight", "shown", False))
    steps: list[dict[str, Any]] = [
        {"op": "conv", "in": [source], "out": out, "weight": f"{out}.weight", "bias": f"{out}.bias", "relu": relu} | how
        for out, source, relu in chain
    ]
    steps.append({"op": "add", "in": ["say", "straight"], "out": "features"})
    return graph.Graph(steps, {k: v.astype(np.float32) for k, v in arrays.items()}, ("features",))


def as_onnx(g: graph.Graph) -> bytes:
    nodes = []
    for step in g.steps:
        if step["op"] == "add":
            nodes.append(helper.make_node("Add", step["in"], [step["out"]]))
            continue
        made, padding = step["out"], g.arrays[step["weight"]].shape[2] // 2
        raw = f"{made}.raw" if step["relu"] else made
        nodes.append(helper.make_node("Conv", [*step["in"], step["weight"], step["bias"]], [raw], pads=[padding] * 4))
        if step["relu"]:
            nodes.append(helper.make_node("Relu", [raw], [made]))
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, count, "height", "width"])
        for n, count in (("shown", AXES + LEFT), ("features", CHANNELS))
    ]
    whole = helper.make_graph(nodes, MODEL, ends[:1], ends[1:], [numpy_helper.from_array(v, k) for k, v in g.arrays.items()])
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="edgefuse")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def reference(network: KernelNetwork, shown: np.ndarray) -> np.ndarray:
    """Return the trained network's outputs without the margin, (CHANNELS, H - 2 MARGIN, W - 2 MARGIN), scaled as the files' outputs."""
    with torch.no_grad():
        made = network(torch.from_numpy((shown - np.float32(0.5)) / INPUT_SCALE)[None])[0].numpy()
    return made / OUTPUT_SCALES[:, None, None] + 0.5


def export(args: argparse.Namespace) -> Path:
    run = args.runs / args.run
    result, state = json.loads((run / "result.json").read_text()), torch.load(run / "final.pt", weights_only=True)
    network = KernelNetwork(state["width"])
    network.load_state_dict(state["network"])
    network.eval()
    g = steps_of(network)
    folder: Path = args.models / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{MODEL}.fp32.onnx").write_bytes(as_onnx(g))
    graph.save_npz(g, str(folder / f"{MODEL}.npz"))
    files = [
        cards.entry(folder / name, runtime, "fp32", "NCHW", "none")
        for name, runtime in ((f"{MODEL}.fp32.onnx", "onnx"), (f"{MODEL}.npz", "numpy"))
    ]
    rng = np.random.default_rng(args.seed)
    # smooth and around 0.5, as whitened pixels are
    shown = np.clip(rng.normal(0, 22, (AXES + LEFT, *GOLDEN_SIZE)).cumsum(1).cumsum(2) / 40 + 128, 0, 255).round().astype(np.uint8)
    made = run_steps(g, shown.astype(np.float32) / 255)
    inner = slice(MARGIN, -MARGIN)
    off = float(np.abs(made[:, inner, inner] - reference(network, shown.astype(np.float32) / 255)).max())
    if off > TOLERANCE["fp32"] / 4:
        raise ValueError(f"the exported steps are {off:.2g} off the trained network")
    np.savez_compressed(folder / cards.GOLDEN, shown=shown, **{"features.fp32": cards.store(made)})
    shape = ["height", "width"]
    head = {
        "name": MODEL, "title": TITLE, "task": "sharpening", "source": SOURCE, "licence": "Apache-2.0", "default_precision": "fp32",
        "inputs": [{
            "name": "shown", "shape": [1, AXES + LEFT, *shape], "layout": "NCHW", "dtype": "float32", "range": [0.0, 1.0],
            "colour": "the image's principal axes, whitened, and 6 components of the trend's residual: 0.5 + asinh / 16",
        }],
        "outputs": [{
            "name": "features", "shape": [1, CHANNELS, *shape], "layout": "NCHW", "dtype": "float32", "range": [0.0, 1.0],
            "colour": "none: 8 features for similarity, 8 for slopes, and the logarithm of the residual's scale",
        }],
    }  # fmt: skip
    training = {k: v for k, v in result.items() if k not in ("model", "asked", "held_out", "parameters")} | {
        "near": [round(n, 4) for n in network.near.tolist()]
    }
    quality = {"asked": result["asked"]} | ({} if args.quality is None else json.loads(args.quality.read_text()))
    cost = {"parameters": parameters(network) - 2, "macs_per_pixel": sum(v.size for k, v in g.arrays.items() if k.endswith("weight"))}
    cards.write(folder, head, files, {"cost": cost, "training": training, "quality": quality}, TOLERANCE)
    return folder


def run_steps(g: graph.Graph, shown: np.ndarray) -> np.ndarray:
    """Run the exported steps in PyTorch, with zero padding, in double precision."""
    held = {"shown": torch.from_numpy(shown)[None].double()}
    for step in g.steps:
        if step["op"] == "add":
            held[step["out"]] = sum(held[name] for name in step["in"])  # type: ignore[assignment]
            continue
        weight, bias = (torch.from_numpy(g.arrays[step[k]]).double() for k in ("weight", "bias"))
        made = torch.nn.functional.conv2d(held[step["in"][0]], weight, bias, padding=weight.shape[2] // 2)
        held[step["out"]] = made.relu() if step["relu"] else made
    return held["features"][0].float().numpy()


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.kernel.export", __doc__)
    p.add_argument("--run", default=MODEL, help="run of tools.kernel.train to export (default: %(default)s)")
    p.add_argument("--quality", type=Path, metavar="FILE", help="measured figures (JSON) to put into the card")
    command_line.add_export_options(p)
    return p


def main() -> None:
    command_line.run("tools.kernel.export", parser(), export)


if __name__ == "__main__":
    main()
