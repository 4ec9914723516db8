"""Measures rate-distortion curves of SSCNet on the held-out scenes: `python -m tools.sscnet.rate_distortion`.

Measured are the unpruned and the pruned network in float32, and the exported pruned int8 network, each with latent steps of 1 to 128 and
EdgeFuse's entropy coder; bytes are those of a tile. Writes scripts/figures/sscnet.json, which scripts/figures/make_pictures.py plots.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edgefuse.hyperspectral.codec import sscnet
from tools.data.cubes import Scene, load
from tools.sscnet.export import Decoder, Encoder, latent_range, trimmed
from tools.sscnet.network import macs_per_pixel, parameters, read
from tools.sscnet.train import PUBLIC, psnr
from tools.training_loop import ROOT

STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
Run = Callable[[np.ndarray], np.ndarray]  # maps (C, H, W) to (C', H', W')


def curve(encode: Run, decode: Run, scenes: list[Scene]) -> list[dict[str, float]]:
    """Return a point for each step: means over the scenes."""
    rows = []
    latents = {s.name: np.rint(encode(trimmed(s.cube)) * 255).astype(np.int32).transpose(1, 2, 0) for s in scenes}
    for step in STEPS:
        rates, psnrs = [], {}
        for s in scenes:
            cube, sent = trimmed(s.cube), sscnet.quantise(latents[s.name], step)
            rates.append(8 * len(sscnet.coded_latent(sent)) / cube.size)
            values = np.clip(sent * step, 0, 255).astype(np.float32) / np.float32(255)
            psnrs[s.name] = round(psnr(cube, decode(values.transpose(2, 0, 1))), 2)
        rows.append(
            {"step": step, "bpppc": round(float(np.mean(rates)), 4), "psnr_db": round(float(np.mean(list(psnrs.values()))), 2)} | psnrs
        )
    return rows


def measure(args: argparse.Namespace) -> dict[str, object]:
    scenes = load(args.data)
    held_out, learned = ([s for s in scenes if s.part == part] for part in ("test", "train"))
    report: dict[str, object] = {"scenes": [s.name for s in held_out]}
    for name, run in (("unpruned", args.unpruned), ("pruned", args.pruned)):
        network = read(args.runs / run)
        limits = latent_range(network, [trimmed(s.cube) for s in learned])
        halves = _float(Encoder(network, *limits).eval(), network.places), _float(Decoder(network, *limits).eval())
        cost = {"parameters": parameters(network), "macs_per_pixel": round(macs_per_pixel(network))}
        report[name] = cost | {"points": curve(*halves, held_out)}
        print(name, report[name], flush=True)
    encoder, decoder = sscnet.Network("sscnet-encoder"), sscnet.Network("sscnet-decoder")
    report["pruned int8"] = {"points": curve(lambda cube: encoder.run(sscnet.with_place_patterns(cube)), decoder.run, held_out)}
    print("pruned int8", report["pruned int8"], flush=True)
    return report


def _float(module: torch.nn.Module, places: bool = False) -> Run:
    def run(given: np.ndarray) -> np.ndarray:
        given = sscnet.with_place_patterns(given) if places else given
        with torch.no_grad():
            return module(torch.from_numpy(np.ascontiguousarray(given))[None])[0].numpy()

    return run


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m tools.sscnet.rate_distortion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--unpruned", default="sscnet-1024", metavar="RUN", help="run under --runs (default: %(default)s)")
    p.add_argument("--pruned", default="sscnet-1024-pruned", metavar="RUN", help="run under --runs (default: %(default)s)")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="as in tools.sscnet.train")
    p.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder of runs (default: %(default)s)")
    p.add_argument("--json", type=Path, default=ROOT / "scripts" / "figures" / "sscnet.json", metavar="FILE", help="default: %(default)s")
    return p


def main() -> None:
    args = parser().parse_args()
    try:
        args.json.write_text(json.dumps(measure(args), indent=1) + "\n")
    except (ValueError, OSError) as e:
        sys.exit(f"tools.sscnet.rate_distortion: {e}")


if __name__ == "__main__":
    main()
