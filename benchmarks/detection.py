"""Precision and recall of the detection of people, on the demo, RoadScene, MSRS and hand-drawn masks of targets.

    python benchmarks/detection.py --shared ../shared [--detector NAME] [--score 0.35] [--json FILE]
    deploy/emulate/pi run --file benchmarks/detection.py -- python3 detection.py --count

Development: the demo (true boxes of the drawn people), 12 night frames of MSRS's test set and 12 frames of RoadScene, with boxes drawn by
hand for this (`benchmarks/detection.json`): the detector's constants were chosen on them. Held back: MSRS's own boxes (30 frames of its
training set) and the masks of `targets` (20 frames of TNO; a mask's components, of which not all are people). On single frames nothing is
tracked: each detection of the least score counts. On the demo's video the tracks are counted.

A detection is right if it overlaps a true box, which no better detection has, by 0.3 or more (intersection over union; the second row of
figures: by 0.5). The infrared frames of MSRS's training set are deformed against its boxes, by up to 40 pixels: there a detection is right
if it is half to twice as high and its middle within a twelfth of the width (`near`). True boxes below 16 pixels of height at 640 x 480, and
the demo's people who are half hidden, are left out of the count, and detections on them count as neither.
--count prints instructions a look on the emulated Pi, where a nanosecond is an instruction.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from edgefuse import detection
from edgefuse.demoscene.scene import DemoScene
from edgefuse.detection import Detection, DetectorOptions, Look
from edgefuse.detection.tracker import Tracker
from edgefuse.frames import Frame, FramePair, FusedFrame, Radiometry
from edgefuse.settings.detect import DetectSettings
from edgefuse.thermal.grey import ToGrey

OVERLAPS, FPS = (0.3, 0.5), 25.0
SMALLEST = 16 / 480  # of the frame's height
LABELS = Path(__file__).with_suffix(".json")
Likeness = Callable[[Detection, Detection], float]
Scene = tuple[str, np.ndarray[Any, Any], list[Detection]]


def box(left: float, top: float, width: float, height: float, size: tuple[int, int]) -> Detection:
    """Return a true box in pixels as shares of a frame of (width, height)."""
    return Detection(left / size[0], top / size[1], (left + width) / size[0], (top + height) / size[1], 1.0)


def demo(scene: str, size: tuple[int, int], every: int, frames: int) -> Iterator[Scene]:
    drawn = DemoScene(size, scene, frames=frames, depth=16)
    for index in range(0, frames, every):
        people = [(b, float(b.shown > 0.5)) for b in drawn.bodies(index) if b.kind == "person"]
        true = [replace(box(b.left, b.top, b.width, b.height, size), score=score) for b, score in people]
        yield f"{scene} {index}", drawn.render(index)[1], true


def labelled(shared: Path, part: str, folder: str, suffix: str) -> Iterator[Scene]:
    """Yield the frames with boxes drawn for this."""
    for name, boxes in json.loads(LABELS.read_text())[part].items():
        picture = cv2.imread(str(shared / f"data/fusion/{folder}/infrared/{name}{suffix}"), cv2.IMREAD_GRAYSCALE)
        yield name, picture, [box(*b, size=picture.shape[1::-1]) for b in boxes]


def msrs(shared: Path) -> Iterator[Scene]:
    folder = shared / "data/fusion/msrs_train"
    for path in sorted((folder / "boxes").glob("*.txt")):
        picture = cv2.imread(str(folder / f"infrared/{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        rows = [[float(n) for n in line.split()] for line in path.read_text().splitlines() if line.strip()]
        people = [Detection(x - w / 2, y - h / 2, x + w / 2, y + h / 2, 1.0) for kind, x, y, w, h in rows if kind == 0]
        yield path.stem, picture, people


def masks(shared: Path) -> Iterator[Scene]:
    folder = shared / "data/fusion/targets"
    for path in sorted((folder / "infrared").glob("*.png")):
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(next((folder / "mask").glob(f"{path.stem}.*"))), cv2.IMREAD_GRAYSCALE)
        stats = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))[2][1:]
        yield path.stem, picture, [box(*s[:4], size=mask.shape[1::-1]) for s in stats.tolist() if s[4] >= 30]


def look(picture: np.ndarray[Any, Any], grey: ToGrey, index: int = 0) -> Look:
    law = Radiometry("demo", 0.01, -273.15) if picture.dtype == np.uint16 else None
    infrared = Frame(picture, "infrared", round(index * 1e9 / FPS), "i", law)
    pair = FramePair(Frame(grey(picture), "visible", infrared.time_ns, "v"), infrared, index)
    return Look(pair.visible.data, FusedFrame(pair.visible.data, pair))  # type: ignore[arg-type]


def near(one: Detection, other: Detection) -> float:
    """Return 1 for two boxes of nearly the same size whose middles are within a twelfth of the frame's width, less farther off; else 0."""
    (x, y), (other_x, other_y) = one.centre, other.centre
    away = math.hypot(x - other_x, 0.75 * (y - other_y)) * 12
    alike = 0.5 <= (one.bottom - one.top) / (other.bottom - other.top) <= 2
    return 1 / max(1.0, away) if alike else 0.0


def matched(detected: Sequence[Detection], true: Sequence[Detection], least: float, likeness: Likeness) -> tuple[int, int, int]:
    """Return (right, wrong, true boxes) of a frame. least: likeness from which a detection is right."""
    free = dict(enumerate(true))
    right = wrong = 0
    for one in sorted(detected, key=lambda d: -d.score):
        best = max(free, key=lambda k: likeness(free[k], one), default=None)
        if best is not None and likeness(free[best], one) >= least:
            right += counts(free.pop(best))
        else:
            wrong += 1
    return right, wrong, sum(map(counts, true))


def counts(true: Detection) -> bool:
    """Whether a true box is to be found: large enough, and shown."""
    return true.bottom - true.top >= SMALLEST and true.score > 0


def rates(results: Sequence[tuple[int, int, int]]) -> dict[str, float | int]:
    right, wrong, true = (sum(c) for c in zip(*results, strict=True))
    precision, recall = right / max(1, right + wrong), right / max(1, true)
    return {"people": true, "right": right, "wrong": wrong, "precision": round(precision, 3), "recall": round(recall, 3)}


def stills(scenes: Iterator[Scene], options: DetectorOptions, deformed: bool = False) -> dict[str, Any]:
    pairs: list[tuple[list[Detection], list[Detection]]] = []
    with_detector = detection.open_detector(options)
    for _, picture, true in scenes:
        people = [d for d in with_detector.detect(look(picture, ToGrey())) if d.score >= options.score]
        pairs.append((people, true))
    if deformed:
        return {"frames": len(pairs), "near": rates([matched(f, t, 1.0, near) for f, t in pairs])}
    return {"frames": len(pairs), **{f"overlap {o}": rates([matched(f, t, o, Detection.overlap) for f, t in pairs]) for o in OVERLAPS}}


def video(scene: str, size: tuple[int, int], options: DetectorOptions, frames: int = 200, every: int = 4) -> dict[str, Any]:
    detector, tracker, grey = detection.open_detector(options), Tracker(options.score), ToGrey()
    pairs: list[tuple[list[Detection], list[Detection]]] = []
    for number, (_, picture, true) in enumerate(demo(scene, size, every, frames)):
        seen = look(picture, grey, number * every)
        tracks = tracker.update(detector.detect(seen), seen.fused.pair.infrared.time_ns, size[0] / size[1])
        pairs.append(([t.box for t in tracks], true))
    return {"frames": len(pairs), "tracks": tracker.confirmed,
            **{f"overlap {o}": rates([matched(f, t, o, Detection.overlap) for f, t in pairs]) for o in OVERLAPS}}  # fmt: skip


def parts(shared: Path | None, options: DetectorOptions) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return by name what measures each part."""
    made: dict[str, Callable[[], dict[str, Any]]] = {
        f"development: demo {scene}, {size[0]}x{size[1]}, tracked": partial(video, scene, size, options)
        for scene in ("day", "cycle", "night")
        for size in ((160, 120), (320, 240))
    }
    if shared is not None:
        own = partial(labelled, shared)
        made |= {
            "development: MSRS, test set, night, single frames": lambda: stills(own("msrs_test", "msrs_test", ".png"), options),
            "development: RoadScene, day, single frames": lambda: stills(own("roadscene", "roadscene", ".jpg"), options),
            "held back: MSRS, training set, single frames": lambda: stills(msrs(shared), options, deformed=True),
            "held back: masks of TNO's targets, single frames": lambda: stills(masks(shared), options),
        }
    return made


def count(options: DetectorOptions, most: int = 5) -> None:
    """Print the time of a look on each size, in ms: on the emulated Pi, millions of instructions."""
    cv2.setNumThreads(1)
    detector = detection.open_detector(options)
    for size in ((160, 120), (256, 192), (640, 480)):
        (_, picture, _), grey, tracker = next(demo("night", size, 1, 1)), ToGrey(), Tracker(options.score)
        spent = []
        for index in range(most + 1):
            begin = time.perf_counter_ns()
            seen = look(picture, grey, index)
            tracks = tracker.update(detector.detect(seen), seen.fused.pair.infrared.time_ns, size[0] / size[1])
            spent.append((time.perf_counter_ns() - begin) / 1e6)
        print(f"{size[0]}x{size[1]}: {median(spent[1:]):.2f} ms a look, {len(tracks)} people", flush=True)


def main() -> int:
    usual = DetectSettings()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", type=Path, help="the project's shared data; without it only the demo is measured")
    p.add_argument("--detector", default=usual.detector, metavar="NAME", help="a detector, or a model's folder (default: %(default)s)")
    p.add_argument("--score", type=float, default=usual.score, help="least score (default: %(default)s)")
    p.add_argument("--part", default="", metavar="WORD", help="measure only the parts with this in their name")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    p.add_argument("--count", action="store_true", help="print the time of a look instead")
    args = p.parse_args()
    options = DetectorOptions(args.detector, args.score)
    if args.count:
        count(options)
        return 0
    figures: dict[str, Any] = {}
    for name, measure in parts(args.shared, options).items():
        if args.part not in name:
            continue
        figures[name] = told = measure()
        print(f"{name}: {told['frames']} frames" + (f", {told['tracks']} tracks" if "tracks" in told else ""))
        for rule, f in ((key, value) for key, value in told.items() if isinstance(value, dict)):
            print(f"  {rule}: precision {f['precision']:.2f}, recall {f['recall']:.2f} ({f['right']} of {f['people']} found, "
                  f"{f['wrong']} wrong)", flush=True)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
