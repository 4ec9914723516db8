"""Compares a model's files with its fp32 reference on real pairs: `python -m tools.evaluate --source folder:DIR --model mobilefuse`.

Prints each file's PSNR in dB (peak 255, of the fused colour frames) relative to fp32 in onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

import edgefuse
from edgefuse import zoo
from edgefuse.errors import EdgeFuseError, FrameError


def evaluate(source_uri: str, model: str, frames: int) -> dict[str, dict[str, float]]:
    """Return, by file, mean_psnr_db (from the mean squared error over all frames), lowest_psnr_db (of the worst frame) and frames."""
    card = zoo.find(model)
    reference = edgefuse.load(model, "onnx", "fp32")
    others = {f.path.name: edgefuse.load(model, f.runtime, f.precision) for f in card.files if (f.runtime, f.precision) != ("onnx", "fp32")}
    errors: dict[str, list[float]] = {name: [] for name in others}
    with edgefuse.open_source(source_uri) as source:
        for _ in range(frames):
            try:
                pair = source.read()
            except FrameError as e:
                print(f"skipped: {e}", file=sys.stderr)
                continue
            if pair is None:
                break
            truth = reference.fuse(pair).data.astype(np.float64)
            for name, fuser in others.items():
                errors[name].append(float(np.mean((fuser.fuse(pair).data - truth) ** 2)))

    def psnr(mse: float) -> float:
        return round(float(10 * np.log10(255**2 / max(mse, 1e-6))), 2)

    return {
        name: {"mean_psnr_db": psnr(float(np.mean(e))), "lowest_psnr_db": psnr(max(e)), "frames": len(e)} for name, e in errors.items() if e
    }


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m tools.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--source", required=True, metavar="URI", help="real pairs, such as folder:DIR")
    p.add_argument("--model", default=zoo.DEFAULT_MODEL)
    p.add_argument("--frames", type=int, default=100, help="largest number of pairs (default: %(default)s)")
    args = p.parse_args()
    try:
        print(json.dumps(evaluate(args.source, args.model, args.frames), indent=1))
    except EdgeFuseError as e:
        print(f"tools.evaluate: {e}", file=sys.stderr)
        sys.exit(e.exit_code)


if __name__ == "__main__":
    main()
