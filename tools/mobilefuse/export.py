"""Export a trained checkpoint: `python -m tools.mobilefuse.export --model mobilefuse-edge`.

Writes models/NAME/: fp32 and int8 ONNX, TFLite, NumPy weights, card.toml, and a golden pair with the output of each file. The golden pair
is from EdgeFuse's demo scene, at an odd size on purpose; it contains no training data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from edgefuse import zoo
from edgefuse.runtimes import choose
from edgefuse.sources import open_source
from tools import command_line, graph, onnx_writer, quantize
from tools.cards import GOLDEN, entry, store, to_toml
from tools.data.pairs import batch, split
from tools.data.photographs import IMAGES, load
from tools.data.targets import part_of
from tools.mobilefuse.network import KINDS
from tools.mobilefuse.target_network import NAME
from tools.mobilefuse.train import PUBLIC
from tools.mobilefuse.train_edge import PUBLIC as EDGE_PUBLIC

TITLES = {
    NAME: "MobileFuse-edge: a closed-form blend in bands, changed towards the infrared frame at warm targets that a small network confirms",
    "mobilefuse": "MobileFuse: a network computes the blending map at full resolution, trained on the blended image",
    "mobilefuse-blending-only": "Ablation of MobileFuse: the map supervised by the foreground mask",
    "mobilefuse-generative-only": "Ablation of MobileFuse: a network computes the image directly, without the blending module",
}
EDGE = "EdgeFuse, after Perreault et al., MobileFuse (the blend, Eq. 1, band by band); network: tools/mobilefuse/target_network.py"
PAPER = "Perreault et al., MobileFuse: Multimodal Image Fusion at the Edge (Eq. 1, section III); widths and dilations are ours"
TOLERANCE = {"fp32": 1 / 255, "int8": 1 / 255}
GOLDEN_SIZE, GOLDEN_EDGE_SIZE = "131x97", "640x480"
CALIBRATION_PAIRS = 12  # number of crops per kind and folder; of whole pairs, twice as many


def calibration_pairs(data: list[str], folders: list[Path], seed: int, size: int = 128) -> list[quantize.Pair]:
    """Return pairs for calibration, float32 (size, size) in [0, 1]: training pairs, and the centres of real pairs in `folders`.

    data: photographs, KIND:DIR. folders: each contains visible/ and infrared/ with files of equal names.
    """
    b = batch(split(load(data))["train"], CALIBRATION_PAIRS, size, np.random.default_rng(seed))
    pairs = [(v[0], i[0]) for v, i in zip(b.visible, b.infrared, strict=True)]
    for folder in folders:
        files = sorted(p for p in (folder / "visible").iterdir() if p.suffix.lower() in IMAGES)
        for path in files[:: max(1, len(files) // CALIBRATION_PAIRS)]:
            frames = [cv2.imread(str(folder / m / path.name), cv2.IMREAD_GRAYSCALE) for m in ("visible", "infrared")]
            if any(f is None or min(f.shape) < size for f in frames):
                continue
            y, x = ((n - size) // 2 for n in frames[0].shape)
            crops = [f[y : y + size, x : x + size].astype(np.float32) / 255 for f in frames]
            pairs.append((crops[0], crops[1]))
    return pairs


def quarter(frame: np.ndarray) -> np.ndarray:
    """Reduce a uint8 frame (H, W) to a quarter of its size, as the fuser does, and crop it to multiples of 8."""
    half = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small = cv2.resize(half, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return small[: small.shape[0] // 8 * 8, : small.shape[1] // 8 * 8]


def quarter_pairs(folders: list[Path]) -> list[quantize.Pair]:
    """Return pairs for calibration at a quarter of the size, float32 (80, 96) in [0, 1], evenly chosen from each folder.

    Leaves out held-back pairs. Raises ValueError if no pair is large enough.
    """
    pairs = []
    for folder in folders:
        files = sorted(p for p in (folder / "visible").iterdir() if p.suffix.lower() in IMAGES)
        files = [p for p in files if part_of(f"{folder.name}/{p.stem}") != "held back"]
        for path in files[:: max(1, len(files) // (2 * CALIBRATION_PAIRS))]:
            frames = [cv2.imread(str(folder / m / path.name), cv2.IMREAD_GRAYSCALE) for m in ("visible", "infrared")]
            if all(f is not None and f.shape[0] >= 320 and f.shape[1] >= 384 for f in frames):
                v, i = (quarter(f)[:80, :96].astype(np.float32) / 255 for f in frames)
                pairs.append((v, i))
    if not pairs:
        raise ValueError(f"no pair of at least 384x320 in {', '.join(map(str, folders))}; give --calibration other folders")
    return pairs


def golden_pair(size: str, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return frame `index` of the demo scene by day: (visible luma, infrared), uint8 of `size` ("WIDTHxHEIGHT")."""
    with open_source(f"demo?scene=day&size={size}&frames={index + 1}") as source:
        pairs = [source.read() for _ in range(index + 1)]
    pair = pairs[-1]
    assert pair is not None
    return cv2.cvtColor(pair.visible.data, cv2.COLOR_BGR2GRAY), pair.infrared.data


def head_of(name: str) -> dict[str, str]:
    """Return the first entries of the model's card."""
    return {
        "name": name, "title": TITLES[name], "task": "fusion", "source": EDGE if name == NAME else PAPER, "licence": "Apache-2.0",
        "default_precision": "fp32" if name == NAME else "int8",
    }  # fmt: skip


def card_text(
    head: dict[str, str], g: graph.Graph, files: list[dict[str, Any]], golden: str, tables: dict[str, dict[str, Any]],
    tolerance: dict[str, float] = TOLERANCE,
) -> str:  # fmt: skip
    """Return the text of card.toml. golden: SHA-256 of golden.npz. tables: further tables by name."""
    tensor = '{{ name = "{}", shape = {}, layout = "NCHW", dtype = "float32", range = [0.0, 1.0], colour = "{}" }}'
    colours = {"visible": "luma", "infrared": "grey, white hot", "fused": "luma", "map": "none: share of visible"}
    colours["target"] = "none: evidence for a warm target"
    lines = [f"{k} = {to_toml(v)}" for k, v in head.items()]
    for key, names, factor in (("inputs", ("visible", "infrared"), g.reduction), ("outputs", g.outputs, g.output_reduction)):
        shape = to_toml(onnx_writer.reduced(factor, g.multiple))
        lines += ["", f"{key} = ["] + [f"  {tensor.format(n, shape, colours[n])}," for n in names] + ["]"]
    for f in files:
        lines += ["", "[[files]]"] + [f"{k} = {to_toml(v)}" for k, v in f.items()]
    lines += [
        "",
        "[golden]",
        'file = "golden.npz"',
        f'sha256 = "{golden}"',
        f"tolerance = {to_toml({k: round(v, 6) for k, v in tolerance.items()})}",
    ]
    for table, values in tables.items():
        lines += ["", f"[{table}]"] + [f"{k} = {to_toml(v)}" for k, v in values.items()]
    return "\n".join(lines) + "\n"


def export(args: argparse.Namespace) -> Path:
    """Write the model's folder, and return it."""
    name = args.model
    result = json.loads((args.runs / name / "result.json").read_text())
    network: Any
    if name == NAME:
        network = graph.load_target(args.runs / name / "last.pt")
        pairs = quarter_pairs(args.calibration or EDGE_PUBLIC)
    else:
        network = graph.load(args.runs / name / "last.pt", name, args.sharpness)
        pairs = calibration_pairs(args.data, args.calibration, args.seed)
        if name != "mobilefuse-generative-only":
            result["sharpness"] = args.sharpness
    quantize.equalise(network, pairs)
    g = graph.trace(network)
    folder: Path = args.models / name
    folder.mkdir(parents=True, exist_ok=True)
    ranges = quantize.ranges(network, g, pairs)
    (folder / f"{name}.fp32.onnx").write_bytes(onnx_writer.fp32(g, name))
    (folder / f"{name}.int8.onnx").write_bytes(onnx_writer.int8(g, name, ranges))
    tflite = quantize.tflite(network, g, pairs)
    if name != NAME:
        del tflite["fp32"]  # larger and slower than int8; only MobileFuse-edge is so small that fp32 is faster
    for precision, data in tflite.items():
        (folder / f"{name}.{precision}.tflite").write_bytes(data)
    graph.save_npz(g, str(folder / f"{name}.npz"))

    ends = "channels equalised; " + ("first five and last convolution fp32" if name == NAME else "streams, last convolution and blend fp32")
    files = [
        entry(folder / f"{name}.int8.onnx", "onnx", "int8", "NCHW", f"static QDQ, S8S8, per channel; {ends}"),
        entry(folder / f"{name}.fp32.onnx", "onnx", "fp32", "NCHW", "none"),
        entry(folder / f"{name}.int8.tflite", "litert", "int8", "NHWC", f"static, per channel; {ends}"),
        *(entry(folder / f"{name}.fp32.tflite", "litert", "fp32", "NHWC", "none") for precision in tflite if precision == "fp32"),
        entry(folder / f"{name}.npz", "numpy", "fp32", "NCHW", "none"),
    ]
    visible, infrared = map(quarter, golden_pair(GOLDEN_EDGE_SIZE, 60)) if name == NAME else golden_pair(GOLDEN_SIZE)
    arrays: dict[str, np.ndarray] = {"visible": visible, "infrared": infrared}
    with torch.no_grad():
        made = network(*(torch.from_numpy(x.astype(np.float32) / 255)[None, None] for x in (visible, infrared)))
        outputs = (made,) if isinstance(made, torch.Tensor) else made
    arrays |= {f"{n}.fp32": store(o[0, 0].numpy()) for n, o in zip(g.outputs, outputs, strict=False)}
    quality = {**result.pop("test")}
    command = "python -m tools.mobilefuse.train_edge" if name == NAME else f"python -m tools.mobilefuse.train --model {name}"
    tables = {
        "cost": {"parameters": g.parameters, "macs_per_pixel": g.macs_per_pixel},
        "training": {k: v for k, v in result.items() if k != "model"}
        | {"calibration": [p.name for p in args.calibration], "command": command},
    }
    # runtimes load the model by its card, so write it first; the digest and the quality are added below
    (folder / "card.toml").write_text(card_text(head_of(name), g, files, "", tables | {"quality": quality}))
    digest = write_golden(folder, files, arrays, g.outputs[0], quality)
    (folder / "card.toml").write_text(card_text(head_of(name), g, files, digest, tables | {"quality": quality}))
    return folder


def write_golden(folder: Path, files: list[dict[str, Any]], arrays: dict[str, np.ndarray], first: str, quality: dict[str, Any]) -> str:
    """Write golden.npz and return its SHA-256. The card must be in `folder`.

    arrays: the pair, and the outputs in fp32. Adds the outputs of the int8 files to it, and to `quality` the PSNR of their output `first`
    against fp32, in dB.
    """
    for file in files:
        if file["precision"] == "int8":
            got = run_file(folder, file["runtime"], arrays["visible"], arrays["infrared"])
            arrays |= {f"{n}.int8.{file['runtime']}": store(a) for n, a in got.items()}
            mse = float(np.mean((got[first] - arrays[f"{first}.fp32"] / 65535) ** 2))
            quality[f"golden_int8_{file['runtime']}_psnr_db"] = round(-10 * float(np.log10(max(mse, 1e-12))), 2)
    np.savez_compressed(folder / GOLDEN, **arrays)
    return hashlib.sha256((folder / GOLDEN).read_bytes()).hexdigest()


def run_file(folder: Path, runtime: str, visible: np.ndarray, infrared: np.ndarray) -> dict[str, np.ndarray]:
    """Run the model's int8 file for `runtime` on a uint8 pair, and return its outputs by name."""
    choice = choose(zoo.read_card(folder), runtime, "int8", 1)
    inputs = {k: choice.tensor(x.astype(np.float32) / 255) for k, x in (("visible", visible), ("infrared", infrared))}
    return {k: v.squeeze() for k, v in choice.runtime.run(inputs).items()}


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.mobilefuse.export", __doc__)
    p.add_argument("--model", choices=(*KINDS, NAME), default=NAME)
    p.add_argument(
        "--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="photographs for calibration pairs, as in tools.mobilefuse.train"
    )
    p.add_argument(
        "--calibration", nargs="*", type=Path, default=[], metavar="DIR", help="folders of real pairs that are used for calibration, too"
    )
    p.add_argument(
        "--sharpness", type=float, default=5.0,
        help="factor on the logits of the map, because trained maps are close to 0.5 on visible/infrared pairs (default: %(default)s, "
        "see tools/README.md)",
    )  # fmt: skip
    command_line.add_export_options(p, "folder that tools.mobilefuse.train or tools.mobilefuse.train_edge wrote to")
    return p


def main() -> None:
    command_line.run("tools.mobilefuse.export", parser(), export)


if __name__ == "__main__":
    main()
