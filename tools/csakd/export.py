"""Exports CSAKD's student: `python -m tools.csakd.export --run csakd`.

Writes models/csakd-student/: int8 ONNX and TFLite, a golden pair and card.toml. The teacher is not exported; the card has its figures.
Layers in which small differences matter stay in float32: both heads, the layer that joins them, the one that mixes the streams' outputs
(8 bits cost 0.1 to 0.5 dB), the one that computes the bands, and the skip connection from the enlarged cube.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgefuse.hyperspectral.spectral_axis import resampled
from edgefuse.runtimes import Choice
from edgefuse.sharpening.csakd import bounded, network_inputs
from tools import cards, command_line
from tools.csakd.network import BANDS, CSAKD, SLOTS, macs_per_pixel, parameters, read
from tools.csakd.train import PUBLIC, psnr, score
from tools.data.wald import Scene, batch, degraded, interpolated, load, wide_bands
from tools.sscnet.export import golden_cube, without_unused_domains

NAME = "csakd-student"
TITLE = "CSAKD's student: a hyperspectral cube and a multispectral image, 4 times finer, to a fine cube"
SOURCE = "Hsu et al., CSAKD: Knowledge Distillation With Cross Self-Attention for Hyperspectral and Multispectral Image Fusion (2024)"
EXACT = "head_cube", "head_image", "meet", "total", "mix", "draw"
QUANTISATION = "{}; heads, where they meet, what mixes the streams and draws the bands, and the skip fp32"
TOLERANCE = {"int8": 0.02}  # activations may be rounded differently on another machine
SIDE = 64  # side of the crops for int8's ranges, and of the TFLite file's input before resizing


class Sharp(nn.Module):
    """The network as exported, with the sharp cube clipped to [0, 1] as output."""

    def __init__(self, network: CSAKD) -> None:
        super().__init__()
        self.network = network

    def forward(self, cube: Tensor, image: Tensor) -> Tensor:
        return self.network(cube, image).clamp(0, 1)


class SharpChannelsLast(nn.Module):
    """The same network in TFLite's layout."""

    def __init__(self, network: CSAKD) -> None:
        super().__init__()
        self.network = network

    def forward(self, cube: Tensor, image: Tensor) -> dict[str, Tensor]:
        made = self.network(*(x.permute(0, 3, 1, 2) for x in (cube, image)))
        return {"sharp": made.clamp(0, 1).permute(0, 2, 3, 1)}


def onnx_int8(network: CSAKD, calibration: list[dict[str, np.ndarray]]) -> bytes:
    """Quantise the convolutions, except `EXACT`, as static QDQ (S8S8, per-channel weights); the rest stays in float32."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        plain, ready, small = (f"{folder}/{n}.onnx" for n in ("plain", "ready", "small"))
        axes = {name: {2: "rows", 3: "columns"} for name in ("cube", "image", "sharp")}
        torch.onnx.export(
            Sharp(network), tuple(torch.from_numpy(x) for x in calibration[0].values()), plain, input_names=["cube", "image"],
            output_names=["sharp"], dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        exact = [n.name for n in onnx.load(ready).graph.node if n.op_type == "Conv" and n.name.split("/")[-2] in EXACT]
        assert {name.split("/")[-2] for name in exact} == set(EXACT), exact
        quantize_static(
            ready, small, Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"], per_channel=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, nodes_to_exclude=exact,
        )  # fmt: skip
        return without_unused_domains(floats_elsewhere(Path(small).read_bytes()))


def floats_elsewhere(model: bytes) -> bytes:
    """Restrict 8 bits in a quantised ONNX model to the inputs of its quantised convolutions. onnxruntime's quantiser also passes the 8-bit
    version of such a tensor to all its other consumers: here the residual connections and the place where the streams join."""
    import onnx

    read = onnx.load_from_string(model)
    makers = {out: node for node in read.graph.node for out in node.output}

    def quantised(node: onnx.NodeProto | None) -> bool:
        return node is not None and node.op_type == "Conv" and makers.get(node.input[1], node).op_type == "DequantizeLinear"

    for node in read.graph.node:
        for k, name in enumerate(node.input):
            rounded = makers.get(name)
            if rounded is None or rounded.op_type != "DequantizeLinear" or quantised(node) or rounded.input[0] not in makers:
                continue
            whole = makers[rounded.input[0]].input[0]
            if not quantised(makers.get(whole)):
                node.input[k] = whole
    return read.SerializeToString()


def tflite_int8(network: CSAKD, calibration: list[dict[str, np.ndarray]]) -> bytes:
    """Convert to TFLite with int8 convolutions, except `EXACT`, and float32 inputs and outputs."""
    import litert_torch
    from ai_edge_quantizer import qtyping, quantizer, recipe

    last = [{k: np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for k, x in c.items()} for c in calibration]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        plain, small = f"{folder}/fp32.tflite", f"{folder}/int8.tflite"
        sample = {k: torch.from_numpy(v) for k, v in last[0].items()}
        litert_torch.convert(SharpChannelsLast(network).eval(), sample_kwargs=sample).export(plain)
        q = quantizer.Quantizer(plain)
        q.load_quantization_recipe(recipe.static_wi8_ai8())
        names, nothing = qtyping.TFLOperationName, recipe.AlgorithmName.NO_QUANTIZE
        for op in names:
            if op not in (names.CONV_2D, names.ALL_SUPPORTED):
                with contextlib.suppress(ValueError):
                    q.update_quantization_recipe(regex=".*", operation_name=op, algorithm_key=nothing)
        for layer in EXACT:
            q.update_quantization_recipe(regex=rf".*Conv2d_{layer}(\W|$)", operation_name=names.CONV_2D, algorithm_key=nothing)
        q.quantize(q.calibrate({"serving_default": last})).export_model(small, overwrite=True)
        return Path(small).read_bytes()


def golden_pair(rows: int = 16, columns: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return a synthetic pair, uint8 (172, rows, columns) and (6, ...): the cube degraded and enlarged; no training data."""
    sharp = golden_cube(rows, columns).transpose(1, 2, 0)[..., :BANDS].astype(np.float32) / 255
    both = interpolated(degraded(sharp)), wide_bands(sharp)
    cube, image = (np.round(255 * np.clip(x, 0, 1)).astype(np.uint8).transpose(2, 0, 1) for x in both)
    return cube, image


def _head() -> dict[str, Any]:
    """Return the card's keys on the model, its inputs and its output."""

    def tensor(name: str, channels: int, colour: str) -> dict[str, Any]:
        shape = [1, channels, "height", "width"]
        return {"name": name, "shape": shape, "layout": "NCHW", "dtype": "float32", "range": [0.0, 1.0], "colour": colour}

    return {
        "name": NAME, "title": TITLE, "task": "sharpening", "source": SOURCE, "licence": "Apache-2.0", "default_precision": "int8",
        "inputs": [
            tensor("cube", BANDS, "reflectance, band by band, enlarged by cubic interpolation"),
            tensor("image", SLOTS, "reflectance: blue, green, red, near infrared, two short-wave"),
        ],
        "outputs": [tensor("sharp", BANDS, "reflectance, band by band")],
    }  # fmt: skip


def export(args: argparse.Namespace) -> Path:
    """Export the model and return its folder."""
    network, teacher = (read(args.runs / args.run, kind) for kind in ("student", "teacher"))
    scenes = load(args.data)
    rng = np.random.default_rng(args.seed)
    learned = [s for s in scenes if s.part == "train"]
    calibration = [dict(zip(("cube", "image"), batch(learned, 1, SIDE, rng), strict=False)) for _ in range(args.crops)]
    folder: Path = args.models / NAME
    files = cards.int8_files(
        folder, onnx_int8(network, calibration), tflite_int8(network, calibration),
        QUANTISATION.format("static QDQ, S8S8, per channel"), QUANTISATION.format("static, per channel"),
    )  # fmt: skip

    result = json.loads((args.runs / args.run / "result.json").read_text())
    if before := result.get("from"):
        told = json.loads((args.runs / before / "result.json").read_text())
        result["from"] = {"run": before} | {k: told[k] for k in ("steps", "batch", "rate", "seconds")}
    size, large = parameters(network), parameters(teacher)
    work, much = macs_per_pixel(network), macs_per_pixel(teacher)
    networks = nn.ModuleDict({"teacher": teacher, "student": network})
    quality: dict[str, Any] = dict(score(networks, scenes))
    networks.eval()
    tables: dict[str, dict[str, Any]] = {
        "cost": {"parameters": size, "macs_per_pixel": work},
        "training": {k: v for k, v in result.items() if k not in ("model", "test", "networks")} | {
            "held_out": sorted({s.name for s in scenes if s.part == "test"}),
            "teacher": {"parameters": large, "macs_per_pixel": much},
            "share": {"parameters": round(size / large, 4), "macs": round(work / much, 4)},
            "paper": {"parameters": 7_440_000, "of_teacher": 26_800_000, "gmacs": 145, "of_teacher_gmacs": 942},
            "export": f"tools.csakd.export --run {args.run}",
        },
        "quality": quality,
    }  # fmt: skip
    cube, image = golden_pair()
    arrays = {"cube": cube, "image": image}
    taken = {k: x.astype(np.float32) / 255 for k, x in arrays.items()}
    with torch.no_grad():
        arrays["sharp.fp32"] = cards.store(Sharp(network)(*(torch.from_numpy(x)[None] for x in taken.values()))[0].numpy())

    def run(runtime: str, choice: Choice) -> tuple[str, np.ndarray]:
        for bands in (4, 6):
            quality[f"student_{bands}_int8_{runtime}_db"] = _held_out(choice, scenes, bands)
        return "sharp", _run(choice, **taken)

    cards.write_tested(folder, _head(), files, tables, TOLERANCE, arrays, run)
    return folder


def _run(choice: Choice, cube: np.ndarray, image: np.ndarray) -> np.ndarray:
    tensors = {"cube": choice.tensor(cube), "image": choice.tensor(image)}
    made = choice.runtime.run({k: np.ascontiguousarray(x) for k, x in tensors.items()})
    return choice.planes(made["sharp"])


def _held_out(choice: Choice, scenes: list[Scene], bands: int) -> float:
    """Return the mean PSNR in dB over the held-out scenes, as in `tools.csakd.train.score`."""
    each = []
    for scene in (s for s in scenes if s.part == "test"):
        cube, image = network_inputs(scene.start, wide_bands(scene.truth, bands), BANDS)
        detail = (_run(choice, cube, image) - cube).transpose(1, 2, 0)
        each.append(psnr(scene.truth, scene.start + bounded(resampled(detail, scene.truth.shape[2]), scene.start)))
    return round(float(np.mean(each)), 2)


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.csakd.export", __doc__)
    p.add_argument("--run", default="csakd", help="run under --runs to export (its final.pt; default: %(default)s)")
    p.add_argument(
        "--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="data to measure int8's ranges on, with the held-out scenes"
    )
    p.add_argument("--crops", type=int, default=48, help="crops of 64 x 64 pixels for ranges (default: %(default)s)")
    command_line.add_export_options(p)
    return p


def main() -> None:
    command_line.run("tools.csakd.export", parser(), export)


if __name__ == "__main__":
    main()
