"""Decides what is a target, and restores its contrast: where the blend would lose a warm object, the picture follows the infrared frame.

1. `edgefuse.fusion.lost_contrast` computes the infrared contrast L that the blended frame lacks, at an eighth of the size.
2. The mask is T = clip(L - c), times a factor from the network's evidence for a target, averaged over 3 x 3 cells. c is the larger of 0.3
   and the level above which at most 0.35 of the frame lies, so that a frame full of warm objects is not replaced by the infrared frame.
   All of these change gradually, so that moving objects do not cause jumps of brightness around them.
3. A guided filter (He, Sun and Tang 2010; coefficients at an eighth of the size, after He and Sun, "Fast Guided Filter", 2015) aligns the
   mask with the warm object's edges, at a quarter of the size.
4. The fused frame is blended with a patch, by the weight 0.85 T. The patch has the fused frame's mean over 25 x 25 cells, plus 0.6 times
   the infrared frame's difference from its own mean there, plus 1.4 times what exceeds 15 levels. So a warm object stands out as in the
   infrared frame, with weaker structure and the usual brightness around it. The weight of visible fine details is reduced by 0.4 T around
   the warm object, but not on it, because they help to recognise people.

The patch is not a convex combination of the two frames: it has the structure of the infrared frame at the brightness of the fused one.
`edgefuse.fusion.target_steps` implements steps 2 to 4.
"""

from __future__ import annotations

import numpy as np

from edgefuse.fusion import lost_contrast, target_steps
from edgefuse.fusion.target_steps import Gate, Strength
from edgefuse.util.arrays import Float32Array, UInt8Array

_KEEP = 0.95  # share of the contrast that is enough
# lost contrast where the mask begins; how much more makes it 1; largest share of the frame in the mask. Pairs: readiness 1, readiness 2
_LEAST, _WIDTH, _BUDGET = (0.3, 0.1), 1.0, (0.35, 0.45)
_EVIDENCE, _EVIDENCE_RISE = 0.0, 4.0  # evidence where the network's factor begins to rise, and its slope
_READY = 0.7  # shift of that beginning per unit of readiness
_STRENGTH = Strength(
    edge=60.0, base=0.85, detail=0.4, own_detail=0.0, warm=15.0, ramp=20.0, flatter=0.6, brighter=1.4, brightest=250.0
)  # fmt: skip


class TargetBlend:
    """Finds targets in pairs of one size, and blends them into the fused frame."""

    def __init__(
        self,
        shape: tuple[int, int],
        readiness: float,
        finder: type[lost_contrast.LostContrast] | None = None,
        steps: type[target_steps.Steps] | None = None,
    ) -> None:
        """Allocate buffers.

        shape: (rows, columns) of an eighth of the padded frame. readiness: how readily something warm counts as a target, 0 (never) to 2
        (always). finder, steps: implementations; None: the fastest ones.
        """
        self._finder = (finder or lost_contrast.best())(shape)
        self._readiness = readiness
        # below 1 the threshold rises in inverse proportion
        lower, higher = max(1e-3, min(1.0, readiness)), max(0.0, readiness - 1)
        least = (_LEAST[0] + (_LEAST[1] - _LEAST[0]) * higher) / lower * lost_contrast.STEPS
        budget = (_BUDGET[0] + (_BUDGET[1] - _BUDGET[0]) * higher) * lower
        evidence = _EVIDENCE + _READY * (1 - readiness)
        gate = Gate(int(budget * shape[0] * shape[1]), least, _WIDTH * lost_contrast.STEPS, evidence, _EVIDENCE_RISE)
        self._steps = (steps or target_steps.best())(shape, gate, _STRENGTH)

    def mask(self, infrared: UInt8Array, fused: UInt8Array, evidence: Float32Array | None) -> Float32Array:
        """Return the mask of targets T, a new float32 array in [0, 1] of `shape`.

        infrared, fused: uint8 of `shape`, contiguous. evidence: the network's for a target, float32 in [0, 1] of `shape`, or None.
        """
        if not self._readiness:
            return np.zeros(infrared.shape, np.float32)
        return self._steps.mask(lost_contrast.largest(self._finder, infrared, fused, _KEEP), evidence)

    def apply(
        self, mask: Float32Array, fused: UInt8Array, quarter: UInt8Array, base: UInt8Array, infrared: UInt8Array
    ) -> tuple[Float32Array, UInt8Array]:  # fmt: skip
        """Blend the patch into `fused` (uint8, a quarter of the size), in place.

        mask: result of the method `mask`. quarter, infrared: the infrared frame at a quarter and at an eighth of the size. base: the fused
        base at an eighth. Returns the mask at a quarter of the size, aligned with the infrared frame's edges (a new float32 array in [0,
        1]), and the reduction of the visible details' weight in 255ths (uint8, overwritten by the next call).
        """
        return self._steps.pull(mask, infrared, base, quarter, fused)
