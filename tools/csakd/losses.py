"""CSAKD's losses: band-energy-balance-aware (BEBA), spectral angle (SAM), and the teacher's response.

Tensors are (N, B, H, W), reflectance. The text names the losses and not their formulas; these are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

ENERGY_FLOOR = 0.01  # of a band's root mean square: below it a band does not weigh more
DETAIL_FLOOR = 3e-4  # of a crop's mean detail
SAM_WEIGHT, RESPONSE_WEIGHT = 1.0, 0.5


def band_weights(truth: Tensor) -> Tensor:
    """(N, B, 1, 1), mean 1 over the bands: the inverse of each band's energy (root mean square): dark bands count as bright ones."""
    energy = truth.square().mean((2, 3), keepdim=True).sqrt().clamp_min(ENERGY_FLOOR)
    return (1 / energy) / (1 / energy).mean(1, keepdim=True)


def beba(made: Tensor, truth: Tensor, start: Tensor) -> Tensor:
    """Absolute error, bands balanced by their energy, as a share of that of `start` (the cubic interpolation): a crop with little detail
    counts as one with much."""
    weights = band_weights(truth)

    def error(x: Tensor) -> Tensor:
        return (weights * (x - truth).abs()).mean((1, 2, 3))

    return (error(made) / error(start).clamp_min(DETAIL_FLOOR)).mean()


def sam(made: Tensor, truth: Tensor) -> Tensor:
    """Mean spectral angle in radians."""
    cosine = (made * truth).sum(1) / (made.norm(dim=1) * truth.norm(dim=1)).clamp_min(1e-4)
    return torch.acos(cosine.clamp(-1, 1 - 1e-6)).mean()


def teaches(made: Tensor, truth: Tensor, start: Tensor) -> Tensor:
    """What the teacher, and the student by itself, are to make small."""
    return beba(made, truth, start) + SAM_WEIGHT * sam(made, truth)


def response(student: Tensor, teacher: Tensor, start: Tensor) -> Tensor:
    """The student held to the teacher's output, which does not learn from it."""
    return beba(student, teacher.detach(), start)
