"""Targets: where the plain blend would lose a warm thing's contrast, the fused frame is pulled toward the infrared frame.

1. `lost` (edgefuse.fusion.lost_contrast): the infrared contrast that the plainly blended frame lacks, at an eighth of the size.
2. The mask T = clip(lost - c), c the larger of 0.3 and the level that leaves at most 0.35 of the frame above it: a budget, so
   that a frame full of warm things stays a picture. Times the network's evidence for a target, and smoothed over 3 x 3 cells. All of
   these rise slowly: what moves by must not make its surroundings jump.
3. A guided filter (He et al.; its coefficients at an eighth of the size, after He and Sun's "Fast Guided Filter") draws the mask to the
   warm thing's own edges, at a quarter of the size.
4. There the fused frame goes 0.85 T of the way to a patch: the infrared frame, shifted so that its mean over 25 x 25 cells is the
   blend's, its warm parts a little brighter. So the contrast is kept, and the surroundings' brightness, too. Visible fine details
   lose 0.4 T around a warm body and nothing on it: a detector of people needs them.

A patch is no mix of the two frames: it holds the infrared frame's structure at the blend's brightness. The arithmetic is
`edgefuse.fusion.target_steps`.
"""

from __future__ import annotations

import numpy as np

from edgefuse.fusion import lost_contrast, target_steps
from edgefuse.fusion.target_steps import Gate, Strength
from edgefuse.util.arrays import Float32Array, UInt8Array

_KEEP = 0.95  # share of the contrast that is enough
# contrast lost where the mask begins, and by how much more it is 1; the share of the frame that may be pulled: at readiness 1, and 2
_LEAST, _WIDTH, _BUDGET = (0.3, 0.1), 1.0, (0.35, 0.45)
_EVIDENCE, _EVIDENCE_RISE = 0.0, 4.0  # where the network's gate begins to open, and how fast
_READY = 0.7  # by which readiness moves that
_STRENGTH = Strength(edge=60.0, base=0.85, detail=0.4, own_detail=0.0, warm=10.0, ramp=20.0, brighter=0.15, brightest=250.0)


class TargetBlend:
    """Targets of frames of one size."""

    def __init__(
        self,
        shape: tuple[int, int],
        readiness: float,
        finder: type[lost_contrast.LostContrast] | None = None,
        steps: type[target_steps.Steps] | None = None,
    ) -> None:
        """shape: (rows, columns) of an eighth of the padded frame. readiness: how readily a target is taken for one, 0 (none) to 2 (all).
        finder, steps: how the parts are computed, the fastest way there is unless told.
        """
        self._finder = (finder or lost_contrast.best())(shape)
        self._readiness = readiness
        # below 1 the mask begins later, in inverse proportion
        lower, higher = max(1e-3, min(1.0, readiness)), max(0.0, readiness - 1)
        least = (_LEAST[0] + (_LEAST[1] - _LEAST[0]) * higher) / lower * lost_contrast.STEPS
        budget = (_BUDGET[0] + (_BUDGET[1] - _BUDGET[0]) * higher) * lower
        evidence = _EVIDENCE + _READY * (1 - readiness)
        gate = Gate(int(budget * shape[0] * shape[1]), least, _WIDTH * lost_contrast.STEPS, evidence, _EVIDENCE_RISE)
        self._steps = (steps or target_steps.best())(shape, gate, _STRENGTH)

    def mask(self, infrared: UInt8Array, fused: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        """How far each cell is pulled, float32 in [0, 1], the caller's.

        infrared, fused: uint8 at an eighth of the size, contiguous; evidence: for a target, float32 in [0, 1] of that shape, or None.
        """
        if not self._readiness:
            return np.zeros(infrared.shape, np.float32)
        return self._steps.mask(lost_contrast.largest(self._finder, infrared, fused, _KEEP), evidence)

    def apply(
        self, mask: Float32Array, fused: UInt8Array, quarter: UInt8Array, base: UInt8Array, infrared: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        """Pull `fused` (uint8, a quarter of the size) to the patch, in place.

        mask: of `mask`. quarter, infrared: the infrared frame at a quarter and at an eighth; base: the fused base at an eighth. Returns
        the mask at a quarter of the size, drawn to the infrared frame's edges (float32 in [0, 1], the caller's), and what the visible
        details' weight loses, in 255ths (uint8, overwritten by the next).
        """
        return self._steps.pull(mask, infrared, base, quarter, fused)
