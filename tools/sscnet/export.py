"""Export SSCNet: `python -m tools.sscnet.export --run sscnet-1024-pruned`.

Writes models/sscnet-encoder/ and models/sscnet-decoder/: int8 ONNX and TFLite, a golden pair and card.toml each. The latent between them
has 8 bits: each channel's range over the training scenes is part of both graphs, so that the latent outside is in [0, 1].

The decoder's transposed convolutions are replaced by convolutions, for which int8 kernels exist. With stride 1 the kernel is rotated by 180
degrees. With stride 2 and a 2 x 2 kernel each output pixel depends on one input pixel, so it is a 1 x 1 convolution to four times the
channels, followed by depth to space.
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

from edgefuse.hyperspectral.codec.sscnet import with_place_patterns
from edgefuse.runtimes import Choice
from tools import cards, command_line
from tools.data.cubes import batch, load
from tools.sscnet.network import BANDS, SPATIAL, SSCNet, macs_per_pixel, read
from tools.sscnet.train import PUBLIC, psnr

TITLES = {
    "sscnet-encoder": "SSCNet's encoder, pruned: 202 bands to a latent of 8 bit, one of its pixels for 64",
    "sscnet-decoder": "SSCNet's decoder, pruned: the latent to 202 bands",
}
SOURCE = (
    "La Grassa et al., Hyperspectral Data Compression Using Fully Convolutional Autoencoder (2022); narrower, after Kumar and Mozaffari, "
    "Leveraging Deep Neural Network Compression Techniques for Real-Time Hyperspectral Image Processing in Edge AI; "
    "the weights (solved as a block transform) and the patterns of places are ours"
)
# the first three and the last three: a sixth of the weights, but half of the error that rounding all of them would cause
EXACT = {"sscnet-encoder": (0, 1, 2), "sscnet-decoder": (2, 3, 4)}
QUANTISATION = "weights, a scale for each output channel; the {} three convolutions' are float32, and so is all arithmetic"
TOLERANCE = {"int8": 0.02}  # rounding on another machine may change a latent value by one level
RANGE_CROPS = 24
SIDE = 128  # side of HySpecNet-11k's patches, and of the TFLite files' inputs before resizing


class Encoder(nn.Module):
    """Encodes a cube (1, bands, H, W) to a latent in [0, 1]."""

    def __init__(self, network: SSCNet, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.network = network.encoder
        self.register_buffer("scale", (1 / (high - low))[None, :, None, None])
        self.register_buffer("offset", (-low / (high - low))[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (self.network(x) * self.scale + self.offset).clamp(0, 1)


class Decoder(nn.Module):
    """Decodes a latent in [0, 1] to a cube, with convolutions only."""

    def __init__(self, network: SSCNet, low: Tensor, high: Tensor, blocks_first: bool = False) -> None:
        """blocks_first: use TensorFlow's order of channels in depth to space instead of PyTorch's."""
        super().__init__()
        self.register_buffer("scale", (high - low)[None, :, None, None])
        self.register_buffer("offset", low[None, :, None, None])
        self.spread = network.spread
        layers: list[nn.Module] = []
        for layer in network.decoder:
            layers += _as_convolution(layer, blocks_first) if isinstance(layer, nn.ConvTranspose2d) else [layer]
        self.network = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.spread(self.network(x * self.scale + self.offset)).clamp(0, 1)


class DepthToSpace(nn.Module):
    """Moves (N, 4 C, H, W) to (N, C, 2 H, 2 W); channels are ordered by row, column, C."""

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        return x.view(n, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2).reshape(n, channels // 4, 2 * height, 2 * width)


def _as_convolution(layer: nn.ConvTranspose2d, blocks_first: bool) -> list[nn.Module]:
    weight, bias = layer.weight.detach(), layer.bias.detach()  # (inputs, outputs, k, k)
    if layer.stride[0] == 1:
        made = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size[0], padding=layer.padding[0])
        made.weight.data, made.bias.data = weight.flip(2, 3).transpose(0, 1).contiguous(), bias
        return [made]
    made = nn.Conv2d(layer.in_channels, layer.out_channels * 4, 1)
    order = (2, 3, 1, 0) if blocks_first else (1, 2, 3, 0)
    made.weight.data = weight.permute(order).reshape(-1, layer.in_channels, 1, 1).contiguous()
    made.bias.data = bias.repeat(4) if blocks_first else bias.repeat_interleave(4)
    return [made, DepthToSpace() if blocks_first else nn.PixelShuffle(2)]


def latent_range(network: SSCNet, cubes: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return each latent channel's (low, high) over the cubes (bands, H, W), without one value in ten thousand at either end."""
    with torch.no_grad():
        values = torch.cat([network.encoder(network.entered(torch.from_numpy(c)[None]))[0].flatten(1) for c in cubes], dim=1).numpy()
    low, high = np.quantile(values, (1e-4, 1 - 1e-4), axis=1).astype(np.float32)
    return torch.from_numpy(low), torch.from_numpy(np.maximum(high, low + 1e-3))


def onnx_int8(module: nn.Module, sample: np.ndarray, name_in: str, name_out: str, exact: tuple[int, ...]) -> bytes:
    """Convert the convolutions' weights to int8 with a scale per output channel, except those in `exact`; computation is in float32."""
    import onnx
    from onnx import helper, numpy_helper
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        plain, ready = (f"{folder}/{n}.onnx" for n in ("plain", "ready"))
        axes = {name_in: {2: "rows", 3: "columns"}, name_out: {2: "rows_out", 3: "columns_out"}}
        torch.onnx.export(
            module, (torch.from_numpy(sample),), plain, input_names=[name_in], output_names=[name_out], dynamic_axes=axes,
            opset_version=17, dynamo=False,
        )  # fmt: skip
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        model = onnx.load(ready)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for number, node in enumerate(convolutions):
        if number in exact:
            continue
        tensor = weights[node.input[1]]
        levels, scale = in_levels(numpy_helper.to_array(tensor))
        model.graph.initializer.remove(tensor)
        names = [f"{tensor.name}_{part}" for part in ("levels", "scale", "zero", "float")]
        made = (levels, scale, np.zeros(len(scale), np.int8))
        model.graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(made, names, strict=False))
        place = list(model.graph.node).index(node)
        model.graph.node.insert(place, helper.make_node("DequantizeLinear", names[:3], names[3:], f"{node.name}_weights", axis=0))
        node.input[1] = names[3]
    return without_unused_domains(model.SerializeToString())


def in_levels(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise weights (outputs, ...) to int8 levels of -127 to 127; also return the scale of each output channel, (outputs,)."""
    scale = np.maximum(np.abs(weights).reshape(len(weights), -1).max(axis=1), 1e-12) / 127
    return np.rint(weights / scale.reshape(-1, *(1,) * (weights.ndim - 1))).astype(np.int8), scale.astype(np.float32)


def without_unused_domains(model: bytes) -> bytes:
    """Remove unused operator sets from an ONNX model, because an older onnxruntime refuses unknown ones."""
    import onnx

    read = onnx.load_from_string(model)
    used = {node.domain for node in read.graph.node}
    kept = [o for o in read.opset_import if o.domain in used]
    del read.opset_import[:]
    read.opset_import.extend(kept)
    return read.SerializeToString()


class _ChannelsLast(nn.Module):
    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module, self.name = module, name

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        (x,) = inputs.values()
        return {self.name: self.module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)}


def tflite_int8(module: nn.Module, sample: np.ndarray, name_in: str, name_out: str, exact: tuple[int, ...]) -> bytes:
    """The same as `onnx_int8` for TFLite; inputs and outputs are channels-last."""
    import litert_torch
    from ai_edge_quantizer import qtyping, quantizer, recipe

    given = {name_in: torch.from_numpy(np.ascontiguousarray(sample.transpose(0, 2, 3, 1)))}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        plain, small = f"{folder}/fp32.tflite", f"{folder}/int8.tflite"
        litert_torch.convert(_ChannelsLast(module, name_out).eval(), sample_kwargs=given).export(plain)
        q = quantizer.Quantizer(plain)
        q.load_quantization_recipe(recipe.weight_only_wi8_afp32())
        names = qtyping.TFLOperationName
        for op in names:
            if op not in (names.CONV_2D, names.ALL_SUPPORTED):
                with contextlib.suppress(ValueError):
                    q.update_quantization_recipe(regex=".*", operation_name=op, algorithm_key=recipe.AlgorithmName.NO_QUANTIZE)
        convolutions = [k for k, layer in enumerate(module.network) if isinstance(layer, nn.Conv2d)]
        for number in exact:
            unquantised = rf"Conv2d_{convolutions[number]}(\D|$)"
            q.update_quantization_recipe(regex=unquantised, operation_name=names.CONV_2D, algorithm_key=recipe.AlgorithmName.NO_QUANTIZE)
        q.quantize().export_model(small, overwrite=True)
        return resizable(Path(small).read_bytes())


def resizable(model: bytes) -> bytes:
    """Replace reshapes in a TFLite model, which contain a fixed size, by DEPTH_TO_SPACE: the converter writes each `DepthToSpace` as a
    sequence of transpositions and reshapes.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    read = schema.ModelT.InitFromPackedBuf(model, 0)
    moves = (schema.BuiltinOperator.TRANSPOSE, schema.BuiltinOperator.RESHAPE)
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in read.operatorCodes]
    if schema.BuiltinOperator.RESHAPE not in kinds:
        return model
    for buffer in read.buffers:
        if buffer.offset > 1:  # large buffers are stored after the flatbuffer
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEPTH_TO_SPACE
    code.version = 1
    read.operatorCodes.append(code)
    (graph,) = read.subgraphs
    kept: list[Any] = []
    spreading = None
    for operator in graph.operators:
        if kinds[operator.opcodeIndex] not in moves:
            spreading = None
            kept.append(operator)
        elif spreading is None:
            operator.opcodeIndex, operator.inputs = len(kinds), operator.inputs[:1]
            operator.builtinOptionsType = schema.BuiltinOptions.DepthToSpaceOptions
            operator.builtinOptions = schema.DepthToSpaceOptionsT()
            operator.builtinOptions.blockSize = 2
            spreading = operator
            kept.append(operator)
        else:
            spreading.outputs = operator.outputs
    graph.operators = kept
    builder = flatbuffers.Builder(len(model) + 4096)
    builder.Finish(read.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def golden_cube(rows: int = 16, columns: int = 24) -> np.ndarray:
    """Return a synthetic cube, uint8 (202, rows, columns): four materials with varying shares; no training data."""
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    at = np.linspace(0, 1, BANDS)
    bumps = [
        0.2 + 0.15 * at,
        0.5 * np.exp(-(((at - 0.35) / 0.12) ** 2)),
        0.4 * np.exp(-(((at - 0.7) / 0.2) ** 2)),
        0.3 * np.sin(9 * at) ** 2,
    ]
    shares = [np.ones_like(x), np.sin(x / 5) ** 2, np.cos((x + 2 * y) / 9) ** 2, (y > rows / 2) * (x > columns / 3)]
    cube = sum(b[:, None, None] * s for b, s in zip(bumps, shares, strict=True))
    return np.round(255 * np.clip(cube, 0, 1)).astype(np.uint8)


def export(args: argparse.Namespace) -> list[Path]:
    """Export both models and return their folders."""
    network = read(args.runs / args.run)
    learned = [s for s in load(args.data) if s.part == "train"]
    drawn = batch(learned, args.crops, SIDE, np.random.default_rng(args.seed))
    limits = latent_range(network, [*(trimmed(s.cube) for s in learned), *drawn])
    encoder, decoder = Encoder(network, *limits).eval(), Decoder(network, *limits).eval()
    entered = with_place_patterns if network.places else lambda cubes: cubes
    with torch.no_grad():
        # levels of 1 / 255, outside 0..255 where patterns are added
        cube = np.rint(255 * entered(golden_cube().astype(np.float32) / 255)).astype(np.int16 if network.places else np.uint8)
        latent = encoder(torch.from_numpy(cube[None].astype(np.float32) / 255))[0].numpy()
        sent = np.round(latent * 255).astype(np.uint8)
        drawn = decoder(torch.from_numpy(sent[None].astype(np.float32) / 255))[0].numpy()
    result = json.loads((args.runs / args.run / "result.json").read_text())
    for run in (args.run, result.get("from")):
        if (pruning := args.runs / f"{run}-compared" / "result.json").exists():
            pruned = json.loads(pruning.read_text())
            loss = {"loss_db": round(pruned["before"]["mean_db"] - result["test"]["mean_db"], 2)}  # includes the training after pruning
            result["pruning"] = {k: v for k, v in pruned.items() if not isinstance(v, dict)} | loss
    macs, encoding = macs_per_pixel(network), _encoder_macs(network)
    shares = [sum(p.numel() for p in part.parameters()) for part in (network.encoder, network.decoder)]
    return [
        _half(
            args,
            result,
            "sscnet-encoder",
            encoder,
            encoder,
            np.zeros((1, BANDS, SIDE, SIDE), np.float32),
            {"cube": cube},
            {"latent": latent},
            (shares[0], encoding),
        ),
        _half(
            args,
            result,
            "sscnet-decoder",
            decoder,
            Decoder(network, *limits, blocks_first=True).eval(),
            np.zeros((1, *latent.shape[:1], SIDE // SPATIAL, SIDE // SPATIAL), np.float32),
            {"latent": sent},
            {"cube": drawn},
            (shares[1], macs - encoding),
        ),
    ]


def _half(
    args: argparse.Namespace, result: dict[str, Any], name: str, module: nn.Module, channels_last: nn.Module, sample: np.ndarray,
    given: dict[str, np.ndarray], made: dict[str, np.ndarray], cost: tuple[int, float],
) -> Path:  # fmt: skip
    (((taken, x),), ((returned, y),)) = given.items(), made.items()
    folder: Path = args.models / name
    ends = taken, returned, EXACT[name]
    how = QUANTISATION.format("first" if 0 in EXACT[name] else "last")
    files = cards.int8_files(folder, onnx_int8(module, sample, *ends), tflite_int8(channels_last, sample, *ends), how, how)

    def tensor(end: str, array: np.ndarray) -> dict[str, Any]:
        step = "" if end == "cube" else f"/{SPATIAL}"
        patterned = array.dtype == np.int16
        colour = "reflectance, band by band" if end == "cube" else "none: latent of 8 bit / 255"
        if patterned:
            colour = f"{colour}, and the patterns of its pixels' places"
        return {
            "name": end, "shape": [1, len(array), f"height{step}", f"width{step}"], "layout": "NCHW", "dtype": "float32",
            "range": [-1.2, 2.2] if patterned else [0.0, 1.0], "colour": colour,
        }  # fmt: skip

    head = {
        "name": name, "title": TITLES[name], "task": "codec", "source": SOURCE, "licence": "Apache-2.0", "default_precision": "int8",
        "inputs": [tensor(taken, x)], "outputs": [tensor(returned, y)],
    }  # fmt: skip
    quality = {**result["test"]}
    tables = {
        "cost": {"parameters": cost[0], "macs_per_pixel": round(cost[1])},
        "training": {k: v for k, v in result.items() if k not in ("model", "test")}
        | {"export": f"tools.sscnet.export --crops {args.crops} --run {args.run}"},
        "quality": quality,
    }
    arrays = {taken: x, f"{returned}.fp32": cards.store(y)}

    def run(runtime: str, choice: Choice) -> tuple[str, np.ndarray]:
        got = choice.planes(choice.runtime.run({taken: choice.tensor(x.astype(np.float32) / 255)})[returned])
        quality[f"golden_int8_{runtime}_psnr_db"] = round(psnr(y, got), 2)
        return returned, got

    cards.write_tested(folder, head, files, tables, TOLERANCE, arrays, run)
    return folder


def trimmed(cube: np.ndarray) -> np.ndarray:
    """Cut a cube (bands, H, W) to sides that are multiples of 8."""
    return cube[:, : cube.shape[1] // SPATIAL * SPATIAL, : cube.shape[2] // SPATIAL * SPATIAL]


def _encoder_macs(network: SSCNet) -> float:
    """Return the encoder's multiply-accumulates per pixel of the cube."""
    total, area = 0.0, 1.0
    for layer in network.encoder:
        area /= 4 if isinstance(layer, nn.MaxPool2d) else 1
        total += layer.weight.numel() * area if isinstance(layer, nn.Conv2d) else 0
    return total


def parser() -> argparse.ArgumentParser:
    p = command_line.parser("tools.sscnet.export", __doc__)
    p.add_argument("--run", default="sscnet-1024-pruned", help="run under --runs to export (its final.pt; default: %(default)s)")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="data to measure the latent's ranges on")
    p.add_argument(
        "--crops", type=int, default=RANGE_CROPS, help="crops of 128 x 128 pixels for the latent's ranges (default: %(default)s)"
    )
    command_line.add_export_options(p)
    return p


def main() -> None:
    command_line.run("tools.sscnet.export", parser(), export)


if __name__ == "__main__":
    main()
