"""Accuracy of automatic calibration for known homographies: `python benchmarks/calibration.py --pairs DIR [--json]`

DIR has visible/ and infrared/ with registered pairs of one size. Each infrared frame is warped by its own random homography (rotation up
to 5 degrees, scale 0.9 to 1.1, shift up to 40 pixels in both directions; the same in every run). The estimate of `edgefuse calibrate` from
this one pair is compared with it: mean distance of the four corners, in visible pixels. Published pairs are themselves misregistered by a
few pixels, more for near objects. So there are two figures: `corner` takes the published pair as correct; `put_in` takes the method's
estimate for the published pair as correct, which leaves the error made with the added homography. `apart` is the distance between these
two references. `witness` says which of the two is better by a criterion that the method does not use: the mutual information of the
gradients' magnitudes.

--crop uses the largest part of the warped frame without black corners, as a camera would deliver. --mismatch pairs each visible frame with
the next pair's infrared frame: all of these must be refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import cv2
import numpy as np

import edgefuse
from edgefuse.calibration.automatic import estimate
from edgefuse.calibration.refine import refine
from edgefuse.calibration.registration import corners, project
from edgefuse.calibration.views import View, views
from edgefuse.errors import EdgeFuseError
from edgefuse.frames import Frame, FramePair

WRONG_PX = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """Result for one pair. corner_px, put_in_px, apart_px: mean distances of corners, as above. witness: whether it prefers the estimate.
    est_px: the error that the estimate reports. why: the reason for a refusal; None if accepted."""

    name: str
    corner_px: float
    put_in_px: float
    apart_px: float
    witness: bool
    est_px: float
    agreement: float
    seconds: float
    why: str | None


def random_homography(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Draw a random homography from the infrared frame to the warped one."""
    angle, scale, (right, down) = np.deg2rad(rng.uniform(-5, 5)), rng.uniform(0.9, 1.1), rng.uniform(-40, 40, 2)
    c, s, x, y = np.cos(angle) * scale, np.sin(angle) * scale, (width - 1) / 2, (height - 1) / 2
    return np.array([[c, -s, x - c * x + s * y + right], [s, c, y - s * x - c * y + down], [0, 0, 1]])


def pairs_of(folder: str, count: int | None, step: int) -> Iterator[FramePair]:
    with edgefuse.open_source(f"folder:{folder}") as source:
        given = 0
        while (pair := source.read()) is not None and (count is None or given < count):
            if pair.index % step == 0:
                given += 1
                yield pair


def measure(pair: FramePair, other: FramePair, seed: int, crop: bool) -> Result:
    width, height = pair.visible.size
    warp = random_homography(np.random.default_rng([seed, pair.index]), width, height)
    frame = other.infrared.data if other.infrared.size == pair.visible.size else cv2.resize(other.infrared.data, (width, height))
    moved = cv2.warpPerspective(frame, warp, (width, height))
    truth = np.linalg.inv(warp)
    if crop:
        # the largest central part that every warp fills
        left, top = 40 + round(width * 0.11), 40 + round(height * 0.11)
        moved = np.ascontiguousarray(moved[top : height - top, left : width - left])
        truth = truth @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
    begin = time.perf_counter()
    why: str | None
    try:
        fit = estimate(views([FramePair(pair.visible, Frame(moved, "infrared", 0, pair.name), 0)]))
    except EdgeFuseError as e:
        return Result(pair.name, *[float("nan")] * 3, False, float("nan"), 0.0, time.perf_counter() - begin, str(e))
    seconds, why = time.perf_counter() - begin, fit.doubt
    ends = corners((moved.shape[1], moved.shape[0]))
    whole = views([pair])
    published, _, _ = refine(whole, np.eye(3))
    apart = np.hypot(*(project(published, corners((width, height))) - corners((width, height))).T)
    witness = shared(whole[0], published) > shared(whole[0], np.eye(3))
    off, beyond = (np.hypot(*(project(fit.homography, ends) - project(h, ends)).T) for h in (truth, published @ truth))
    return Result(
        pair.name, float(off.mean()), float(beyond.mean()), float(apart.mean()), witness, fit.error_px, fit.agreement, seconds, why
    )


def shared(view: View, homography: np.ndarray) -> float:
    """Return the normalised mutual information of the gradients' magnitudes, in 24 classes of equal count, without a margin."""
    moved = cv2.warpPerspective(view.infrared, homography, view.visible_size, flags=cv2.INTER_CUBIC)
    classes = []
    for picture in (view.visible, moved):
        smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
        strength = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))[24:-24, 24:-24].ravel()
        classes.append(strength.argsort(kind="stable").argsort(kind="stable") * 24 // strength.size)
    joint = np.bincount(classes[0] * 24 + classes[1], minlength=576).reshape(24, 24) / classes[0].size
    one, two, both = (-(p[p > 0] * np.log(p[p > 0])).sum() for p in (joint.sum(axis=1), joint.sum(axis=0), joint.ravel()))
    return float((one + two) / both)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pairs", required=True, metavar="DIR", help="folder with visible/ and infrared/")
    p.add_argument("--frames", type=int, metavar="N", help="stop after N pairs")
    p.add_argument("--step", type=int, default=1, metavar="N", help="take every Nth pair")
    p.add_argument("--seed", type=int, default=0, metavar="N")
    p.add_argument("--crop", action="store_true", help="give a part of the warped frame, without wedges")
    p.add_argument("--mismatch", action="store_true", help="give each visible frame another scene's infrared")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    cv2.setNumThreads(1)
    pairs = list(pairs_of(args.pairs, args.frames, args.step))
    results = []
    for k, pair in enumerate(pairs):
        other = pairs[(k + 1) % len(pairs)] if args.mismatch else pair
        results.append(measure(pair, other, args.seed, args.crop))
        if not args.json:
            r = results[-1]
            verdict = "taken" if r.why is None else f"refused: {r.why}"
            print(f"{r.name:20s} corner {r.corner_px:7.2f} px  put in {r.put_in_px:7.2f} px  own estimate {r.est_px:6.2f} px  "
                  f"agreement {r.agreement:.2f}  {r.seconds:5.1f} s  {verdict}", flush=True)  # fmt: skip
    taken = [r for r in results if r.why is None]
    summary = {
        "pairs": len(results),
        "taken": len(taken),
        "taken_corner_over_5_px": sum(r.corner_px > WRONG_PX for r in taken),
        "taken_put_in_over_5_px": sum(r.put_in_px > WRONG_PX for r in taken),
        "median_corner_px": round(float(np.median([r.corner_px for r in results])), 2),
        "median_put_in_px": round(float(np.median([r.put_in_px for r in results])), 2),
        "median_apart_px": round(float(np.median([r.apart_px for r in results])), 2),
        "largest_apart_px": round(float(np.max([r.apart_px for r in results])), 2),
        "witness_prefers_estimate": sum(r.witness for r in results),
        "median_s": round(float(np.median([r.seconds for r in results])), 2),
    }
    if args.json:
        print(json.dumps({"summary": summary, "pairs": [asdict(r) for r in results]}, indent=1))
    else:
        print(", ".join(f"{k} {v}" for k, v in summary.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
