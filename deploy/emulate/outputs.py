"""Outputs of every model for frames from a file: computed on the emulated Pi and on this machine, then compared.

python3 outputs.py pairs   FRAMES.npz               # draw the demo's frames once, because drawing has rounding errors, too
python3 outputs.py run     FRAMES.npz OUTPUTS.npz
python3 outputs.py compare HERE.npz THERE.npz       # exit code 1 if int8 outputs differ, or fp32 frames below 60 dB
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FUSED_DB = 60.0  # limit for frames of fp32 networks, which round differently: one level in a few pixels
FLOAT_ROUNDING = 2.0**-21  # four units in the last place of 1
FRAMES = {"640x480": 3, "64x64": 1, "256x256": 1}  # the last is used by instructions.py
SIZES = {"640x480": ("mobilefuse-edge", "blend-classic"), "64x64": ("mobilefuse", "mobilefuse-blending-only", "mobilefuse-generative-only")}


def pairs(path: Path) -> None:
    import edgefuse

    frames = {}
    for size, count in FRAMES.items():
        with edgefuse.open_source(f"demo?size={size}&frames=3") as source:
            for k in range(count):
                pair = source.read()
                frames |= {f"{size}.{k}.{f.modality}": f.data for f in (pair.visible, pair.infrared)}
    np.savez(path, **frames)


def run(frames: Path, outputs: Path) -> None:
    import cv2

    import edgefuse
    from edgefuse import zoo
    from edgefuse.frames import Frame, FramePair

    cv2.setNumThreads(1)
    arrays, made = np.load(frames), {}
    for size, models in SIZES.items():
        given = [[arrays[f"{size}.{k}.{m}"] for m in ("visible", "infrared")] for k in range(FRAMES[size])]
        for card in map(zoo.find, models):
            ablation = card.name.endswith("-only")  # mobilefuse's network with other weights, so its int8 files are enough
            for runtime, precision in [(f.runtime, f.precision) for f in card.files] or [("auto", None)]:
                if ablation and precision != "int8":
                    continue
                with edgefuse.load(card.name, runtime, precision, threads=1) as fuser:
                    what = f"{card.name} {fuser.choice.name} {fuser.choice.precision}"
                    for k, (visible, infrared) in enumerate(given):
                        if fuser.choice.file:
                            step = card.reduction
                            planes = (visible[::step, ::step, 1], infrared[::step, ::step])
                            tensors = (fuser.choice.tensor(p.astype(np.float32) / 255) for p in planes)
                            result = fuser.choice.runtime.run(dict(zip(("visible", "infrared"), tensors, strict=True)))
                            made |= {f"{what}, network's {name}.{k}": data for name, data in result.items()}
                        if ablation:
                            continue
                        times = [round(k * 4e7)] * 2
                        shot = (Frame(d, m, t, str(k)) for d, m, t in zip((visible, infrared), ("visible", "infrared"), times, strict=True))
                        made[f"{what}, fused.{k}"] = fuser.fuse(FramePair(*shot, k)).data
    np.savez(outputs, **made)


def compare(here: Path, there: Path) -> int:
    one, other = np.load(here), np.load(there)
    assert one.files == other.files
    wrong = 0
    for name in dict.fromkeys(key.rpartition(".")[0] for key in one.files):
        keys = [key for key in one.files if key.rpartition(".")[0] == name]
        a, b = (np.concatenate([arrays[key].ravel() for key in keys]) for arrays in (one, other))
        difference = np.abs(a.astype(np.float64) - b)
        most, said = difference.max(), f"{np.mean(difference > 0):.2%} of values differ, by {difference.max():.2g} at most"
        bad = False
        if a.tobytes() == b.tobytes():
            said = "bit-equal"
        elif a.dtype == np.uint8:
            decibels = 10 * np.log10(255**2 / np.mean(difference**2))
            said, bad = f"{decibels:.1f} dB; {said}", " fp32" not in name or decibels < FUSED_DB
        elif " int8" in name:
            # an int8 step is 0.01 or more, so a smaller difference comes from the file's last layers, which are float32
            said, bad = f"int8 layers equal, float32 ones after them rounded otherwise: {said}", most > FLOAT_ROUNDING
        wrong += bad
        print(f"{'FAIL' if bad else 'ok':5s}{name:56s}{said}")
    return 1 if wrong else 0


if __name__ == "__main__":
    verb, *paths = sys.argv[1:]
    sys.exit({"pairs": pairs, "run": run, "compare": compare}[verb](*map(Path, paths)))
