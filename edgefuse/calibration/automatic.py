"""Calibration from ordinary pictures of a scene, with a check of whether the result is reliable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgefuse.calibration.refine import LEVELS, Votes, best_motion, higher_order_terms, motion_homography, refine
from edgefuse.calibration.registration import Array, corners, misfit, project
from edgefuse.calibration.search import search
from edgefuse.calibration.views import View
from edgefuse.errors import CalibrationError

VIEWS = (1.0, 0.75, 0.55, 1.35)  # fractions of the visible width that the infrared view is assumed to fill, tried in order
# Correct estimates have errors of 0.5 to 3 pixels in 640 and agreements of 0.12 to 0.6; wrong ones (frames of two scenes) have errors of 4
# to 26 and agreements of 0.02 to 0.18.
_MAX_ERROR = 3.5 / 640  # of the visible width: limit of `Estimate.error_px`
_MAX_ERROR_PER_AGREEMENT = 25 / 640
_MAX_HALVES = 6.0 / 640  # limit of `Estimate.halves_px`
_MIN_LEAD = 0.015
_RESAMPLES = 24


@dataclass(frozen=True, slots=True)
class Estimate:
    """Result of an automatic calibration.

    homography: float64 (3, 3), infrared to visible. error_px: movement of the corners when blocks are resampled, root mean square,
    visible pixels. halves_px: mean distance of the corners between two halves of the blocks. agreement: mean vote, 0..1.
    lead: fraction by which the search's second best candidate scores below the best. doubt: why the result is unreliable, or None.
    """

    homography: Array
    error_px: float
    halves_px: float
    agreement: float
    lead: float
    doubt: str | None


def estimate(views: Sequence[View], share: float | None = None) -> Estimate:
    """Estimate where the infrared frames lie in the visible ones. Returns the best result, reliable or not.

    share: fraction of the visible width that the infrared view fills, to within a fifth; None tries VIEWS. Raises CalibrationError where
    a picture is blank.
    """
    _refuse_blank(views)
    first: Estimate | None = None
    for tried in VIEWS if share is None else (share,):
        result = _estimate_at(views, tried)
        if result.doubt is None:
            return result
        first = first or result
    assert first is not None
    return first


def _refuse_blank(views: Sequence[View]) -> None:
    for v in views:
        for name, picture in (("visible", v.visible), ("infrared", v.infrared)):
            if float(picture.std()) < 1:
                raise CalibrationError(f"{v.name}: the {name} frame shows one brightness all over; give pictures of a scene with edges")


def _estimate_at(views: Sequence[View], share: float) -> Estimate:
    candidates = search(views, share)
    best = candidates[0]
    lead = 1 - candidates[1].score / best.score if len(candidates) > 1 and best.score > 0 else 0.0
    return _refined_estimate(views, best.homography, lead)


def _refined_estimate(views: Sequence[View], begin: Array, lead: float) -> Estimate:
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    homography, votes, agreement = refine(views, begin)
    if impossible := misfit(homography, visible_size, infrared_size):
        return Estimate(begin, float("inf"), float("inf"), agreement, lead, impossible)
    error, halves = _uncertainty(views, homography, votes)
    width = visible_size[0]
    most = width * min(_MAX_ERROR, _MAX_ERROR_PER_AGREEMENT * max(agreement, 0))
    doubt = None
    if error > most:
        doubt = (
            f"the corners vary by {error:.1f} px between parts of the pictures; {most:.1f} is the limit where edges agree to "
            f"{agreement:.2f}"
        )
    elif halves > _MAX_HALVES * width:
        doubt = f"two halves of the pictures disagree by {halves:.1f} px, {_MAX_HALVES * width:.1f} is the limit"
    elif lead < _MIN_LEAD:
        doubt = "two positions fit equally well"
    return Estimate(homography, error, halves, agreement, lead, doubt)


def _uncertainty(views: Sequence[View], homography: Array, votes: Votes) -> tuple[float, float]:
    """Return (error_px, halves_px) of `Estimate`, from the last level's votes."""
    visible_size, infrared_size = views[0].visible_size, views[0].infrared_size
    held = higher_order_terms(homography, visible_size, infrared_size)
    count = len(votes.where)
    place = project(homography, corners(infrared_size))

    def moved(weights: Array) -> Array:
        move, _ = best_motion(votes, visible_size, LEVELS[-1], held, weights)
        return project(motion_homography(move, visible_size), place)

    rng = np.random.default_rng(0)
    middle, spread = moved(np.ones(count)), []
    for _ in range(_RESAMPLES):
        drawn = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        spread.append(((moved(drawn) - middle) ** 2).sum(axis=1))
    # neighbouring blocks go to different halves, as on a checkerboard
    column, row = (np.unique(votes.where[:, axis], return_inverse=True)[1] for axis in (0, 1))
    odd = ((column + row) % 2).astype(np.float64)
    halves = np.hypot(*(moved(odd) - moved(1 - odd)).T)
    return float(np.sqrt(np.mean(spread))), float(halves.mean())


def recheck(views: Sequence[View], homography: Array) -> tuple[Estimate, float]:
    """Estimate anew, starting from a given homography.

    Returns the estimate and its root mean square distance from the given one over the infrared frame, in visible pixels.
    """
    _refuse_blank(views)
    result = _refined_estimate(views, homography, 1.0)
    if result.doubt is not None:
        # the given homography may be further off than the refinement's range
        result = estimate(views)
    width, height = views[0].infrared_size
    xs, ys = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9))
    points = np.stack([xs.ravel(), ys.ravel()], axis=1)
    off = project(homography, points) - project(result.homography, points)
    return result, float(np.sqrt((off**2).sum(axis=1).mean()))
