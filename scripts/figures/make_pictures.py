"""Draws the documentation's pictures (docs/images/*) from the demo scene and stored results.

    python scripts/figures/make_pictures.py

demo.jpg: three frames, for the README. scenes.jpg: eight frames. quality-speed.png and frontier.png: plots of
scripts/figures/results.json, which scripts/figures/make_results.py measures; they need matplotlib (`pip install 'edgefuse[plots]'`).
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

import edgefuse
from edgefuse import zoo
from edgefuse.frames import Frame, FramePair
from edgefuse.sources.demo import DemoSource

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "docs/images"
MOMENTS = (("day", 48), ("cycle", 118), ("night", 194))
SCENES = (
    (1, "day", 20),
    (2, "day", 90),
    (3, "night", 60),
    (4, "night", 120),
    (5, "cycle", 100),
    (6, "cycle", 140),
    (7, "day", 150),
    (8, "night", 200),
)
LABELS = ("visible", "infrared", "blending map", "fused")


def labelled(image: np.ndarray, text: str) -> np.ndarray:
    """Return `image` as BGR with `text` in its corner, white on black."""
    bgr = image.copy() if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 2)
    bgr[: height + below + 12, : width + 16] = 0
    cv2.putText(bgr, text, (8, height + 8), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, cv2.LINE_AA)
    return bgr


def moment(scene: str, index: int, seed: int = 0) -> FramePair:
    """Return pair `index` of the demo without reading those before it."""
    with edgefuse.open_source(f"demo?scene={scene}&seed={seed}") as source:
        assert isinstance(source, DemoSource)
        visible, infrared = source.scene.render(index)
    return FramePair(Frame(visible, "visible", 0, str(index)), Frame(infrared, "infrared", 0, str(index)), index)


def row(fuser: edgefuse.Fuser, scene: str, index: int, seed: int = 0) -> np.ndarray:
    """Return visible frame, infrared frame, map and fused frame of one pair, side by side."""
    pair = moment(scene, index, seed)
    fused = fuser.fuse(pair)
    assert fused.blending_map is not None
    pictures = (pair.visible.data, pair.infrared.data, np.round(fused.blending_map * 255).astype(np.uint8), fused.data)
    return np.hstack([labelled(p, t) for p, t in zip(pictures, LABELS, strict=True)])


def quality_speed(results: dict) -> None:
    """Plot the mean rank on TNO against speed: all of our models, and IFCNN."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, at in results["quality_speed"].items():
        ours = name != "IFCNN"
        axes.scatter(at["ratio"], at["tno_rank"], s=70, color="#1b6ca8" if ours else "#b03a2e", zorder=3)
        axes.annotate(
            name, (at["ratio"], at["tno_rank"]), xytext=(7, -14 if name == zoo.DEFAULT_MODEL else 5), textcoords="offset points", fontsize=9
        )
    axes.set_xscale("log")
    axes.set_xlim(0.6, 5000)
    axes.set_ylim(8.5, 2)
    axes.set_xlabel("speed, times IFCNN's (640 x 480 in colour, end to end, one x86-64 thread)")
    axes.set_ylabel("mean rank on TNO (1 is best)")
    axes.grid(alpha=0.3, which="both")
    figure.savefig(OUT / "quality-speed.png", dpi=110)


def frontier(results: dict) -> None:
    """Plot the targets kept against the mean rank on TNO, for several values of `--targets`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    points = [p for p in results["frontier"] if p["name"] != "blend-classic"]  # the same as --targets 0
    axes.plot([p["tno_rank"] for p in points], [p["kept"] for p in points], "o-", color="#1b6ca8")
    for p in points:
        name = "--targets 0, blend-classic" if float(p["name"]) == 0 else f"--targets {float(p['name']):g}"
        axes.annotate(name, (p["tno_rank"], p["kept"]), xytext=(6, -12), textcoords="offset points", fontsize=9)
    axes.margins(x=0.25, y=0.12)
    axes.set_xlabel("mean rank on TNO (1 is best)")
    axes.set_ylabel("contrast of warm targets kept")
    axes.grid(alpha=0.3)
    figure.savefig(OUT / "frontier.png", dpi=110)


def sscnet(results: dict) -> None:
    """Plot SSCNet's rate and distortion on the held-out scenes, with entropy-coded latents."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    for name, style in (("unpruned", "o-"), ("pruned", "s-"), ("pruned int8", "^--")):
        points = results[name]["points"]
        axes.plot([p["bpppc"] for p in points], [p["psnr_db"] for p in points], style, label=name, markersize=5)
    axes.axvline(0.63, color="grey", linestyle=":", linewidth=1)
    axes.annotate(
        "published latent, as 8 bit",
        (0.63, axes.get_ylim()[0]),
        xytext=(-4, 6),
        textcoords="offset points",
        rotation=90,
        fontsize=8,
        ha="right",
    )
    axes.set_xlabel("bits a pixel and channel, latents as coded (mean of six held-out scenes)")
    axes.set_ylabel("PSNR, dB (mean)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(OUT / "sscnet.png", dpi=110)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with edgefuse.load() as fuser:
        sheet = np.vstack([row(fuser, *moment) for moment in MOMENTS])
        scenes = np.vstack([row(fuser, scene, index, seed) for seed, scene, index in SCENES])
    for name, picture, scale in (("demo.jpg", sheet, 0.6), ("scenes.jpg", scenes, 0.45)):
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(OUT / name), small, [cv2.IMWRITE_JPEG_QUALITY, 86])
    results = json.loads((HERE / "results.json").read_text())
    quality_speed(results)
    frontier(results)
    sscnet(json.loads((HERE / "sscnet.json").read_text()))


if __name__ == "__main__":
    main()
