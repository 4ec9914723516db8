"""CSAKD's losses: band-energy-balance-aware (BEBA), spectral angle (SAM), and the teacher's response.

Tensors are reflectances (N, B, H, W). The paper names the losses without their formulas; these formulas are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

ENERGY_FLOOR = 0.01  # lower limit of a band's root mean square in its weight
DETAIL_FLOOR = 3e-4  # lower limit of a crop's mean detail
SAM_WEIGHT, RESPONSE_WEIGHT = 1.0, 0.5


def band_weights(truth: Tensor) -> Tensor:
    """Return weights (N, B, 1, 1), mean 1 over the bands: the inverse of each band's root mean square, so that dark bands count, too."""
    energy = truth.square().mean((2, 3), keepdim=True).sqrt().clamp_min(ENERGY_FLOOR)
    return (1 / energy) / (1 / energy).mean(1, keepdim=True)


def beba(made: Tensor, truth: Tensor, start: Tensor) -> Tensor:
    """Return the absolute error, with bands balanced by their energy, divided by that of `start` (the cubic interpolation), so that crops
    with little detail count as much as others."""
    weights = band_weights(truth)

    def error(x: Tensor) -> Tensor:
        return (weights * (x - truth).abs()).mean((1, 2, 3))

    return (error(made) / error(start).clamp_min(DETAIL_FLOOR)).mean()


def sam(made: Tensor, truth: Tensor) -> Tensor:
    """Return the mean spectral angle in radians."""
    cosine = (made * truth).sum(1) / (made.norm(dim=1) * truth.norm(dim=1)).clamp_min(1e-4)
    return torch.acos(cosine.clamp(-1, 1 - 1e-6)).mean()


def teaches(made: Tensor, truth: Tensor, start: Tensor) -> Tensor:
    """Return the loss against the truth, for the teacher and the student."""
    return beba(made, truth, start) + SAM_WEIGHT * sam(made, truth)


def response(student: Tensor, teacher: Tensor, start: Tensor) -> Tensor:
    """Return the loss of the student against the teacher's output, without a gradient for the teacher."""
    return beba(student, teacher.detach(), start)
