"""Exports nestfuse, nestfuse-small or nestfuse-edge: `python -m tools.nestfuse.export --model nestfuse-edge --run nestfuse-edge`.

Writes models/NAME/ as tools/mobilefuse/export.py does: ONNX and TFLite, NumPy weights, a golden pair and card.toml. Weights are first
rounded to float16, and stored so in the NumPy file, which halves its size. All runtimes compute in fp32 with the same weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from tools import command_line, graph, onnx_writer, tflite_writer
from tools.cards import entry, store
from tools.mobilefuse.export import card_text, golden_pair, write_golden
from tools.mobilefuse.train_edge import PUBLIC
from tools.nestfuse import nestfuse_graph
from tools.nestfuse.distil import crops
from tools.nestfuse.edge_network import EDGE, NestFuseEdge
from tools.nestfuse.network import ATTENTIONS, CONTRAST, NAME, SMALL, NestFuse, firing, is_block
from tools.training_loop import ROOT

TITLES = {
    NAME: "NestFuse: encoder, spatial and channel attention, nested decoder, in one graph",
    SMALL: "NestFuse small: the intermediate channels of every block halved, int8",
    EDGE: "NestFuse-edge: NestFuse pruned by measured sensitivity and distilled; the decoder at half size, a blend at full size",
}
SOURCES = {
    NAME: "Li, Wu and Durrani, NestFuse (IEEE TIM 2020), trained here",
    SMALL: "Hong, Optimizing Lightweight Convolutional Neural Networks for Hyperspectral Image Fusion: NestFuse small, trained here",
    EDGE: "EdgeFuse, after Li, Wu and Durrani, NestFuse; network: tools/nestfuse/edge_network.py",
}
TOLERANCE = {"fp32": 1 / 255, "int8": 2 / 255}
GOLDEN_SIZE = "136x104"
CALIBRATION, CALIBRATION_SIZE = 24, 128  # number and side of the crops
MEMORY_SIZES = (64, 64), (320, 240)  # memory is measured as the growth from the first to the second frame size


def rounded(network: NestFuse | NestFuseEdge) -> NestFuse | NestFuseEdge:
    """Round the weights to float16, in place."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    return network.eval()


def silenced(network: NestFuse, pairs: np.ndarray) -> tuple[int, int]:
    """Set intermediate channels that are never active on `pairs` (uint8 (N, 2, H, W)) to zero, in place. Returns (their number, of all).

    The output for these pairs stays bit-exact, and zeros compress well.
    """
    with firing(network) as fired, torch.no_grad():
        for pair in torch.from_numpy(pairs.astype(np.float32) / 255):
            seen = [network.encode(frame[None, None]) for frame in pair]
            for features in (*seen, [network.fuse(a, b) for a, b in zip(*seen, strict=True)]):
                network.decode(features)
    with torch.no_grad():
        for name, part in network.named_modules():
            if is_block(part):
                part[0].weight[~fired[name]] = 0
                part[0].bias[~fired[name]] = 0
                part[2].weight[:, ~fired[name]] = 0
    return sum(int((~f).sum()) for f in fired.values()), sum(len(f) for f in fired.values())


def operators(path: Path) -> dict[str, int]:
    """Count the convolutions by precision: int8 if input and weight come from int8 and the output goes to int8."""
    nodes = onnx.load(path).graph.node
    maker = {out: n for n in nodes for out in n.output}
    taken = Counter((n.op_type, i) for n in nodes for i in n.input)
    counts: Counter[str] = Counter()
    for n in nodes:
        if n.op_type == "Conv":
            whole = all(i in maker and maker[i].op_type == "DequantizeLinear" for i in n.input[:2])
            counts["int8" if whole and taken["QuantizeLinear", n.output[0]] else "fp32"] += 1
    return dict(counts)


def peak_bytes_per_pixel(folder: Path, runtime: str, precision: str) -> int:
    """Return the memory per pixel of a frame: the difference of a process's peaks for two frame sizes."""
    peaks = []
    for width, height in MEMORY_SIZES:
        command = [sys.executable, "-m", "tools.peak_memory", str(folder), runtime, precision, f"{width}x{height}"]
        peaks.append(int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout))
    pixels = [w * h for w, h in MEMORY_SIZES]
    return max(0, round((peaks[1] - peaks[0]) / (pixels[1] - pixels[0])))


def network_of(args: argparse.Namespace) -> NestFuse | NestFuseEdge:
    checkpoint = args.runs / args.run / "last.pt"
    if args.model == EDGE:
        network = NestFuseEdge(args.attention, args.contrast)
        network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
        return network
    return nestfuse_graph.load(checkpoint, 4 if args.model == SMALL else 2, args.attention, args.contrast)


def export(args: argparse.Namespace) -> Path:
    name: str = args.model
    result = json.loads((args.runs / args.run / "result.json").read_text())
    network = rounded(network_of(args))
    quiet = silenced(network, crops(args.calibration, 48, 64, args.seed)) if isinstance(network, NestFuse) else None
    g = nestfuse_graph.trace(network)
    folder: Path = args.models / name
    folder.mkdir(parents=True, exist_ok=True)
    files: list[tuple[str, str, str, str, str]] = []

    def write(runtime: str, precision: str, data: bytes, quantisation: str) -> None:
        ending, layout = ("tflite", "NHWC") if runtime == "litert" else ("onnx", "NCHW")
        (folder / f"{name}.{precision}.{ending}").write_bytes(data)
        files.append((f"{name}.{precision}.{ending}", runtime, precision, layout, quantisation))

    if "int8" in args.precisions:
        pairs = [tuple(p.astype(np.float32) / 255) for p in crops(args.calibration, CALIBRATION, CALIBRATION_SIZE, args.seed)]
        limits = nestfuse_graph.ranges(g, pairs, args.headroom)
        how = "per channel; first and last convolutions and attention fp32"
        write("onnx", "int8", onnx_writer.int8(g, name, limits), f"static QDQ, S8S8, {how}")
        write("litert", "int8", tflite_writer.int8(g, limits), f"static, {how}")
    if "fp32" in args.precisions:
        write("onnx", "fp32", onnx_writer.fp32(g, name), "none")
        write("litert", "fp32", tflite_writer.fp32(g), "none")
        graph.save_npz(graph.Graph(g.steps, {k: v.astype(np.float16) for k, v in g.arrays.items()}, g.outputs), str(folder / f"{name}.npz"))
        files.append((f"{name}.npz", "numpy", "fp32", "NCHW", "none; stored as float16"))
    entries = [entry(folder / f[0], *f[1:]) for f in files]
    visible, infrared = golden_pair(GOLDEN_SIZE)
    arrays: dict[str, np.ndarray] = {"visible": visible, "infrared": infrared}
    with torch.no_grad():
        made = network(*(torch.from_numpy(x.astype(np.float32) / 255)[None, None] for x in (visible, infrared)))
    arrays["fused.fp32"] = store(made[0, 0].numpy())
    head = {"name": name, "title": TITLES[name], "task": "fusion", "source": SOURCES[name], "licence": "Apache-2.0"}
    head["default_precision"] = args.default or args.precisions[0]
    cost: dict[str, Any] = {"parameters": g.parameters, "macs_per_pixel": g.macs_per_pixel}
    quality = {**result.pop("test"), **({} if args.quality is None else json.loads(args.quality.read_text()))}
    if quiet is not None:
        cost["intermediate_channels"], cost["of_them_zero"] = quiet[1], quiet[0]
    fusion = {"attention": args.attention, "contrast": args.contrast}
    tables = {"cost": cost, "training": {k: v for k, v in (result | fusion).items() if k != "model" and v is not None}}

    def card(golden: str) -> None:
        text = card_text(head, g, entries, golden, tables | {"quality": quality}, {k: TOLERANCE[k] for k in args.precisions})
        (folder / "card.toml").write_text(text)

    card("")  # a runtime can only load a model with a card; its golden digest and quality are added below
    digest = write_golden(folder, entries, arrays, "fused", quality)
    card(digest)
    cost["peak_bytes_per_pixel"] = {f"{f[1]}_{f[2]}": peak_bytes_per_pixel(folder, f[1], f[2]) for f in files}
    for f in files:
        if f[1:3] == ("onnx", "int8"):
            cost["convolutions"] = operators(folder / f[0])
    card(digest)
    return folder


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.nestfuse.export", __doc__)
    p.add_argument("--model", choices=(NAME, SMALL, EDGE), default=EDGE)
    p.add_argument("--run", required=True, help="run of tools.nestfuse.train or tools.nestfuse.distil")
    p.add_argument("--attention", choices=ATTENTIONS, default="average", help="channel attention; the nuclear norm can't be exported")
    p.add_argument("--contrast", type=float, default=CONTRAST, help="contrast of the spatial attention (default: %(default)s)")
    p.add_argument("--precisions", nargs="+", choices=("fp32", "int8"), default=["fp32"], help="files to write; the first is the default")
    p.add_argument("--default", choices=("fp32", "int8"), help="the card's default precision (default: the first)")
    p.add_argument("--headroom", type=float, default=1.0, help="a tensor's int8 range as a share of its largest value")
    p.add_argument("--calibration", nargs="+", type=Path, default=PUBLIC, metavar="DIR", help="folders of real pairs")
    p.add_argument("--quality", type=Path, metavar="FILE", help="measured figures (JSON) to put into the card")
    command_line.add_export_options(p)
    return p


def main() -> None:
    command_line.run("tools.nestfuse.export", parser(), export)


if __name__ == "__main__":
    main()
