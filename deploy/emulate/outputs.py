"""What every model gives for frames out of a file: run on the emulated Pi and on this machine, then compared.

python3 outputs.py pairs   FRAMES.npz               # the demo's frames, drawn once: drawing them rounds, too
python3 outputs.py run     FRAMES.npz OUTPUTS.npz
python3 outputs.py compare HERE.npz THERE.npz       # exits 1 where an int8 network's output is not bit-equal
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

SIZES = {"640x480": ("mobilefuse-edge", "blend-classic"), "96x80": ("mobilefuse", "mobilefuse-blending-only", "mobilefuse-generative-only")}


def pairs(path: Path) -> None:
    import edgefuse

    frames = {}
    for size in SIZES:
        with edgefuse.open_source(f"demo?size={size}&frames=3") as source:
            for k in range(3):
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
        given = [[arrays[f"{size}.{k}.{m}"] for m in ("visible", "infrared")] for k in range(3)]
        for card in map(zoo.find, models):
            for runtime, precision in [(f.runtime, f.precision) for f in card.files] or [("auto", None)]:
                with edgefuse.load(card.name, runtime, precision, threads=1) as fuser:
                    what = f"{card.name} {fuser.choice.name} {fuser.choice.precision}"
                    for k, (visible, infrared) in enumerate(given):
                        if fuser.choice.file:
                            step = card.reduction
                            planes = (visible[::step, ::step, 1], infrared[::step, ::step])
                            tensors = (fuser.choice.tensor(p.astype(np.float32) / 255) for p in planes)
                            result = fuser.choice.runtime.run(dict(zip(("visible", "infrared"), tensors, strict=True)))
                            made |= {f"{what}, network's {name}.{k}": data for name, data in result.items()}
                        times = [round(k * 4e7)] * 2
                        shot = (Frame(d, m, t, str(k)) for d, m, t in zip((visible, infrared), ("visible", "infrared"), times, strict=True))
                        made[f"{what}, fused.{k}"] = fuser.fuse(FramePair(*shot, k)).data
    np.savez(outputs, **made)


def compare(here: Path, there: Path) -> int:
    one, other = np.load(here), np.load(there)
    assert one.files == other.files
    unequal = 0
    for name in dict.fromkeys(key.rpartition(".")[0] for key in one.files):
        a, b = (np.stack([arrays[f"{name}.{k}"] for k in range(3)]) for arrays in (one, other))
        equal, difference = a.tobytes() == b.tobytes(), np.abs(a.astype(np.float64) - b)
        must = " int8, network" in name
        unequal += must and not equal
        share = f"{np.mean(difference > 0):.3%} of values differ, by {difference.max():.3g} at most"
        print(f"{'FAIL' if must and not equal else 'ok':5s}{name:58s}{'bit-equal' if equal else share}")
    return 1 if unequal else 0


if __name__ == "__main__":
    verb, *paths = sys.argv[1:]
    sys.exit({"pairs": pairs, "run": run, "compare": compare}[verb](*map(Path, paths)))
