"""A calibration from ordinary pictures of a scene, and whether it is to be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgefuse.calibration.refine import LEVELS, Votes, bent, motion, refine, settle
from edgefuse.calibration.registration import Array, corners, misfit, project
from edgefuse.calibration.search import search
from edgefuse.calibration.views import View
from edgefuse.errors import CalibrationError

VIEWS = (1.0, 0.75, 0.55, 1.35)  # shares of the visible width that the infrared view is tried to fill, one after the other
# right places leave 0.5 to 3 pixels in 640 and agree to 0.12 to 0.6; wrong ones (frames of two scenes) leave 4 to 26 and agree to 0.02
# to 0.18
_MOST_DOUBT = 3.5 / 640  # of the visible width: `Found.error_px`
_MOST_DOUBT_PER_AGREEMENT = 25 / 640
_MOST_DISAGREEMENT = 6.0 / 640  # `Found.halves_px`
_LEAST_LEAD = 0.015
_RESAMPLES = 24


@dataclass(frozen=True, slots=True)
class Found:
    """homography: float64 (3, 3), infrared to visible. error_px: how far the corners move when other parts of the pictures are asked,
    root mean square, visible pixels. halves_px: how far two halves of the pictures disagree on them, mean. agreement: mean vote, 0..1.
    lead: share by which the second best place of the search scores below the best. doubt: why it can't be believed; None where it can.
    """

    homography: Array
    error_px: float
    halves_px: float
    agreement: float
    lead: float
    doubt: str | None


def estimate(views: Sequence[View], share: float | None = None) -> Found:
    """Where the infrared frames lie; the best there is, with its doubt. share: of the visible width that the infrared view fills, to
    within a fifth; None tries VIEWS. Raises CalibrationError where a picture shows nothing."""
    _refuse_blank(views)
    first: Found | None = None
    for tried in VIEWS if share is None else (share,):
        found = _estimate(views, tried)
        if found.doubt is None:
            return found
        first = first or found
    assert first is not None
    return first


def _refuse_blank(views: Sequence[View]) -> None:
    for v in views:
        for name, picture in (("visible", v.visible), ("infrared", v.infrared)):
            if float(picture.std()) < 1:
                raise CalibrationError(f"{v.name}: the {name} frame shows one brightness all over; give pictures of a scene with edges")


def _estimate(views: Sequence[View], share: float) -> Found:
    candidates = search(views, share)
    best = candidates[0]
    lead = 1 - candidates[1].score / best.score if len(candidates) > 1 and best.score > 0 else 0.0
    return _judged(views, best.homography, lead)


def _judged(views: Sequence[View], begin: Array, lead: float) -> Found:
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    homography, votes, agreement = refine(views, begin)
    if impossible := misfit(homography, visible_size, infrared_size):
        return Found(begin, float("inf"), float("inf"), agreement, lead, impossible)
    error, halves = _spread(views, homography, votes)
    width = visible_size[0]
    most = width * min(_MOST_DOUBT, _MOST_DOUBT_PER_AGREEMENT * max(agreement, 0))
    doubt = None
    if error > most:
        doubt = f"parts of the pictures put the corners {error:.1f} px apart; {most:.1f} is the most where edges agree to {agreement:.2f}"
    elif halves > _MOST_DISAGREEMENT * width:
        doubt = f"two halves of the pictures disagree by {halves:.1f} px, {_MOST_DISAGREEMENT * width:.1f} is the most"
    elif lead < _LEAST_LEAD:
        doubt = "two places fit equally well"
    return Found(homography, error, halves, agreement, lead, doubt)


def _spread(views: Sequence[View], homography: Array, votes: Votes) -> tuple[float, float]:
    """(error_px, halves_px) of `Found`, from `votes` around where the last level began."""
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    held = bent(homography, visible_size, infrared_size)
    count = len(votes.where)
    place = project(homography, corners(infrared_size))

    def moved(weights: Array) -> Array:
        move, _ = settle(votes, visible_size, LEVELS[-1], held, weights)
        return project(motion(move, visible_size), place)

    rng = np.random.default_rng(0)
    middle, spread = moved(np.ones(count)), []
    for _ in range(_RESAMPLES):
        drawn = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        spread.append(((moved(drawn) - middle) ** 2).sum(axis=1))
    # neighbouring blocks fall to different halves, as on a draughtboard
    column, row = (np.unique(votes.where[:, axis], return_inverse=True)[1] for axis in (0, 1))
    odd = ((column + row) % 2).astype(np.float64)
    halves = np.hypot(*(moved(odd) - moved(1 - odd)).T)
    return float(np.sqrt(np.mean(spread))), float(halves.mean())


def recheck(views: Sequence[View], homography: Array) -> tuple[Found, float]:
    """What the pictures say of a homography at hand: their own estimate, and its root mean square distance over the infrared frame,
    visible pixels."""
    _refuse_blank(views)
    found = _judged(views, homography, 1.0)
    if found.doubt is not None:
        # further off than the small steps reach
        found = estimate(views)
    width, height = views[0].infrared_size
    xs, ys = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9))
    points = np.stack([xs.ravel(), ys.ravel()], axis=1)
    off = project(homography, points) - project(found.homography, points)
    return found, float(np.sqrt((off**2).sum(axis=1).mean()))
