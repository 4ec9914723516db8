"""MobileFuse-edge: the map at low resolution, the blend at full resolution, in bands. With no network it is blend-classic.

A closed form says which frame carries more of the scene; the network sees one thing only, where warm targets stand out in the
infrared frame, and there pulls the map to it: M = closed form x (1 - target).
"""

from __future__ import annotations

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse.fusion import validity
from edgefuse.fusion.bands import BandBlend
from edgefuse.fusion.closed_form import ClosedForm
from edgefuse.fusion.colour import FLOOR
from edgefuse.fusion.method import Made, Method
from edgefuse.fusion.options import Colour
from edgefuse.fusion.outputs import Outputs
from edgefuse.fusion.steady import Steady
from edgefuse.runtimes import Choice

_ALMOST_ALL = 0.99
# levels by which the visible surroundings of a target may be brighter than the infrared ones: up to the first it pulls in full, from the
# second not at all
_DARKER = 144.0, 204.0
GAP_NS = 1_000_000_000  # pairs further apart than this are not one motion


class Edge(Method):
    """Everything that is made for a frame size is made when a frame of that size first comes, and kept."""

    STAGES = ("prepare", "network", "map", "blend")

    def __init__(self, choice: Choice, mode: Colour, sharpness: float, targets: float, steady: bool) -> None:
        """`edgefuse.fusion.fuser.load` describes the arguments."""
        self._choice, self._floor, self._steady = choice, FLOOR[mode], steady
        self._eighths = round((sharpness - 1) * 8)
        self._readiness = np.float32(1.5 * (targets - 2))
        self._outputs = Outputs()
        self._size = (0, 0)

    def _resize(self, width: int, height: int) -> None:
        self.close()
        self._bands = BandBlend(width, height, self._choice.threads)
        self._closed_form = ClosedForm(self._bands.eighths["visible"].shape)
        self._planes = {name: np.empty(q.shape, np.float32) for name, q in self._bands.quarters.items()}
        self._size, self._memory, self._last_ns = (width, height), Steady(), 0

    def make(self, visible: NDArray[np.uint8], infrared: NDArray[np.uint8], time_ns: int) -> Made:
        begin = time.perf_counter_ns()
        height, width = infrared.shape
        if (width, height) != self._size:
            self._resize(width, height)
        bands = self._bands
        bands.reduce(visible, infrared)
        blank = self._leave_out_borders()
        prepared = time.perf_counter_ns()
        target = self._target()
        ran = time.perf_counter_ns()
        blending_map = self._map(target, blank, time_ns)
        mapped = time.perf_counter_ns()
        data = self._outputs.take(visible.shape)
        chroma = self._floor + (1 - self._floor) * cv2.mean(blending_map)[0]
        bands.finish(blending_map, visible, data, self._eighths, chroma, self._memory.noise)
        done = time.perf_counter_ns()
        spent = (prepared - begin, ran - prepared, mapped - ran, done - mapped)
        return Made(data, blending_map, 8, dict(zip(self.STAGES, spent, strict=True)))

    def _leave_out_borders(self) -> NDArray[np.uint8] | None:
        """Saturated borders of the infrared frame as cells of its eighth, their quarter filled with the mean of the rest, so that they sway
        neither the closed form nor the network.
        """
        quarter = self._bands.quarters["infrared"]
        border = validity.blank_border(quarter, white=True)
        if border is None:
            return None
        rest = cv2.mean(quarter, mask=1 - border)[0]
        quarter[border > 0] = round(rest)
        self._bands.reduce_quarter("infrared")
        shape = self._bands.eighths["infrared"].shape
        return cv2.resize(border * np.uint8(255), shape[::-1], interpolation=cv2.INTER_AREA) > 0

    def _target(self) -> NDArray[np.float32] | None:
        """How far the map is pulled to the infrared frame, float32 in [0, 1] of the eighths' shape; None without a network."""
        if self._choice.file is None:
            return None
        for name, plane in self._planes.items():
            np.multiply(self._bands.quarters[name], np.float32(1 / 255), out=plane)
        out = self._choice.runtime.run({name: self._choice.tensor(plane) for name, plane in self._planes.items()})["target"]
        height, width = self._bands.eighths["visible"].shape
        evidence = cv2.resize(out.reshape(height // 2, width // 2), (width, height), interpolation=cv2.INTER_LINEAR)
        # evidence from 0 to 1 is logits from -4 to 4; of these, -1 to 1 become shares from 0 to 1
        np.multiply(evidence, 4, out=evidence)
        np.add(evidence, self._readiness, out=evidence)
        return np.clip(evidence, 0, 1, out=evidence)

    def _map(self, target: NDArray[np.float32] | None, blank: NDArray[np.uint8] | None, time_ns: int) -> NDArray[np.float32]:
        eighths = self._bands.eighths["visible"], self._bands.eighths["infrared"]
        blending_map = self._closed_form(*eighths)
        if target is not None:
            # where the infrared surroundings are far darker than the visible ones, taking them would dig a black hole into the day
            full, none = _DARKER
            target *= np.clip((np.float32(none) - cv2.subtract(*eighths)) * np.float32(1 / (none - full)), 0, 1)
            np.multiply(blending_map, 1 - target, out=blending_map)
        if self._steady:
            if not 0 < time_ns - self._last_ns <= GAP_NS:
                self._memory = Steady()
            self._last_ns = time_ns
            blending_map = self._memory.smooth(blending_map, self._memory.watch(self._bands.planes, eighths))
        # neither the closed form's buffer nor the memory: it is handed out, and must not change with the next pair
        blending_map = blending_map.copy()
        if validity.is_blank(eighths[1]):
            blending_map[:] = 1
        elif validity.is_blank(eighths[0]):
            blending_map[:] = 0
        elif (black := validity.blank_border(self._bands.quarters["infrared"], white=False)) is not None:
            # a registered frame's empty margin, or a sky colder than the camera's range: its details are 0 already and need no cap
            shown = cv2.resize(black.astype(np.float32), blending_map.shape[::-1], interpolation=cv2.INTER_AREA)
            np.maximum(blending_map, np.float32(_ALMOST_ALL) * cv2.blur(shown, (3, 3)), out=blending_map)
        if blank is not None:
            blending_map[blank] = 1
        return blending_map

    def close(self) -> None:
        if self._size != (0, 0):
            self._bands.close()
