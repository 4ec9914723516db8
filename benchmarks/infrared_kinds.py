"""Targets kept in the fused picture when the infrared camera delivers something other than clean white-hot frames.

    python benchmarks/infrared_kinds.py --shared ../shared [--model NAME]

For the 20 pairs of `data/fusion/targets` and their hand-drawn masks (held back: nothing was tuned on them), the contrast of each target
that the default's picture keeps (`edgefuse.metrics.targets`), of at most 1: with clean white-hot frames, and the same frames as a camera
may give them. Raw counts: with 1 % dead pixels (0), and with parameters instead of the last four rows. 8 bits: black-hot with its setting,
and in the palettes ironbow, rainbow and jet. Exit code 1 where a kind is more than 0.02 away from clean white-hot of its depth.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edgefuse
from edgefuse.frames import Frame, FramePair, Radiometry
from edgefuse.metrics.targets import Targets
from edgefuse.thermal import palettes
from edgefuse.thermal.agc import Polarity

MOST = 0.02
Picture = Any


def counts(grey: Picture) -> Picture:
    """Return grey levels as counts of 0.01 kelvin, 0.1 kelvin a level."""
    return (grey.astype(np.uint16) * 10 + 28000).astype(np.uint16)


def dead(grey: Picture) -> Picture:
    made = counts(grey)
    made[np.random.default_rng(0).random(made.shape) < 0.01] = 0
    return made


def rows(grey: Picture) -> Picture:
    made = counts(grey)
    made[-4:] = np.random.default_rng(0).integers(0, 65536, made[-4:].shape, np.uint16)
    return made


def jet(grey: Picture) -> Picture:
    return cv2.applyColorMap(grey, cv2.COLORMAP_JET)


# kind -> how a frame of it is made, the setting of the polarity, and the kind that it is compared with
KINDS: dict[str, tuple[Callable[[Picture], Picture], Polarity, str]] = {
    "counts, clean": (counts, "auto", "counts, clean"),
    "counts, 1 % dead pixels": (dead, "auto", "counts, clean"),
    "counts, four parameter rows": (rows, "auto", "counts, clean"),
    "8 bits, white-hot": (lambda grey: grey, "auto", "8 bits, white-hot"),
    "8 bits, black-hot": (cv2.bitwise_not, "black-hot", "8 bits, white-hot"),
    "8 bits, ironbow": (lambda grey: palettes.colourise(grey, "ironbow"), "auto", "8 bits, white-hot"),
    "8 bits, rainbow": (lambda grey: palettes.colourise(grey, "rainbow"), "auto", "8 bits, white-hot"),
    "8 bits, jet": (jet, "auto", "8 bits, white-hot"),
}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", type=Path, required=True, help="the project's shared data")
    p.add_argument("--model", default="mobilefuse-edge", metavar="NAME")
    args = p.parse_args()
    logging.disable(logging.WARNING)  # of the palettes that are found
    folder = args.shared / "data/fusion/targets"
    kept: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for path in sorted((folder / "visible").glob("*.png")):
        visible, infrared, mask = (
            cv2.imread(str(folder / part / path.name), cv2.IMREAD_GRAYSCALE) for part in ("visible", "infrared", "mask")
        )
        targets = Targets(visible, infrared, mask)  # type: ignore[arg-type]
        for kind, (make, polarity, _) in KINDS.items():
            data = make(infrared)
            law = Radiometry("generic-16") if data.dtype == np.uint16 else None
            pair = FramePair(Frame(visible, "visible", 0, path.stem), Frame(data, "infrared", 0, path.stem, law), 0)  # type: ignore[arg-type]
            with edgefuse.load(args.model, threads=1, polarity=polarity) as fuser:
                kept[kind] += targets.kept(fuser.fuse(pair).data)
    means = {kind: float(np.mean(values)) for kind, values in kept.items()}
    worst = 0.0
    for kind, (_, _, clean) in KINDS.items():
        away = means[kind] - means[clean]
        worst = max(worst, abs(away))
        print(f"{kind:30s} kept {means[kind]:.3f} of {len(kept[kind])} targets' contrast, {away:+.3f}")
    print(f"farthest from clean white-hot: {worst:.3f}, at most {MOST} wanted")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
