"""Draws the pictures of docs/explanation/compare.md: `python scripts/figures/make_comparison.py`. Writes docs/images/compare-*.jpg.

Each shows two pairs of the demo scene, fused by five methods: a whole frame, and a part of another frame at full size. All except the
previous default's are made here, pair by pair, without state between frames.

The previous default is the one of commit d67238c. Its pictures are in previous-default.jpg, made once:

    python scripts/figures/make_comparison.py --pairs PAIRS               # write the pairs as PNG files
    edgefuse run --source folder:PAIRS --save FUSED                       # in a checkout of d67238c, default settings
    python scripts/figures/make_comparison.py --previous FUSED            # write previous-default.jpg
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from make_pictures import OUT, moment

import edgefuse
from edgefuse.frames import FramePair
from edgefuse.metrics import references

HERE = Path(__file__).resolve().parent
PREVIOUS = HERE / "previous-default.jpg"
SCENES = ("day", "night")
WHOLE, PART = 48, 215  # frames of the demo: the first is shown whole, a part of the second
LEFT, TOP, WIDTH, HEIGHT = 30, 190, 360, 270  # the part, in pixels
COLUMNS = 4
LABEL = 30  # rows above a picture


@dataclass
class Shown:
    """A pair of the demo and its name among the previous default's pictures."""

    scene: str
    index: int
    pair: FramePair


def shown() -> list[Shown]:
    """Return the pairs of the comparison, in the order of previous-default.jpg."""
    moments = []
    for scene in SCENES:
        moments += [Shown(scene, index, moment(scene, index)) for index in (WHOLE, PART)]
    return moments


def write_pairs(folder: Path) -> None:
    """Write the pairs to FOLDER/visible and FOLDER/infrared, for `--source folder:`."""
    for kind in ("visible", "infrared"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for s in shown():
        for frame, kind in ((s.pair.visible, "visible"), (s.pair.infrared, "infrared")):
            cv2.imwrite(str(folder / kind / f"{s.scene}-{s.index:03}.png"), frame.data)


def write_previous(folder: Path) -> None:
    """Stack the previous default's pictures vertically in one file."""
    pictures = [cv2.imread(str(folder / f"{scene}-{index:03}.png")) for scene in SCENES for index in (WHOLE, PART)]
    if any(p is None for p in pictures):
        raise SystemExit(f"{folder}: make the pairs with --pairs, and fuse them into this folder")
    cv2.imwrite(str(PREVIOUS), np.vstack(pictures), [cv2.IMWRITE_JPEG_QUALITY, 82])


def titled(image: np.ndarray, text: str) -> np.ndarray:
    """Return `image` in colour with a white margin and `text` in a white strip above it."""
    bgr = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    made = np.full((bgr.shape[0] + LABEL, bgr.shape[1] + 6, 3), 255, np.uint8)
    made[LABEL:, :-6] = bgr
    cv2.putText(made, text, (2, LABEL - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.66, (0, 0, 0), 2, cv2.LINE_AA)
    return made


def methods(pair: FramePair, previous: np.ndarray, fusers: dict[str, edgefuse.Fuser]) -> dict[str, np.ndarray]:
    """Return the pair's frames and each method's picture, by label; "targets" is the default's mask of targets."""
    visible, infrared = pair.visible.data, pair.infrared.data
    grey = cv2.cvtColor(infrared, cv2.COLOR_GRAY2BGR)
    made = {"visible": visible, "infrared": grey}
    made |= {"average": references.average(visible, grey), "Laplacian pyramid": references.laplacian(visible, grey)}
    made["previous default"] = previous
    fused = {name: fuser.fuse(pair) for name, fuser in fusers.items()}
    made |= {name: f.data for name, f in fused.items()}
    targets = fused["mobilefuse-edge"].targets
    assert targets is not None
    mask = cv2.resize(targets, visible.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    made["mobilefuse-edge: targets"] = cv2.cvtColor(np.round(mask * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    return made


def grid(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Arrange pictures of one size in rows of COLUMNS, each under its label."""
    cells = [titled(p, name) for name, p in pictures.items()]
    return np.vstack([np.hstack(cells[k : k + COLUMNS]) for k in range(0, len(cells), COLUMNS)])


def part(image: np.ndarray) -> np.ndarray:
    return image[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH]


def whole(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def draw() -> None:
    """Write the two pictures."""
    pairs = shown()
    previous = np.split(cv2.imread(str(PREVIOUS)), len(pairs))
    with edgefuse.load("blend-classic") as classic, edgefuse.load("mobilefuse-edge") as edge:
        fusers = {"blend-classic": classic, "mobilefuse-edge": edge}
        made = [methods(s.pair, old, fusers) for s, old in zip(pairs, previous, strict=True)]
    for k, scene in enumerate(SCENES):
        first, second = made[2 * k : 2 * k + 2]
        sheet = np.vstack([grid({n: whole(x) for n, x in first.items()}), grid({n: part(x) for n, x in second.items()})])
        cv2.imwrite(str(OUT / f"compare-{scene}.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 74])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pairs", type=Path, metavar="DIR", help="only write the pairs, to fuse them with another version")
    p.add_argument("--previous", type=Path, metavar="DIR", help="only write previous-default.jpg from the pictures in this folder")
    args = p.parse_args()
    if args.pairs is not None:
        write_pairs(args.pairs)
    elif args.previous is not None:
        write_previous(args.previous)
    else:
        draw()


if __name__ == "__main__":
    main()
