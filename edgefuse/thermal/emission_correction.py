"""Gives infrared frames the correction for emissivity and surroundings that a run asks for."""

from __future__ import annotations

import logging
from dataclasses import replace

from edgefuse.frames import Correction, Frame, FramePair

log = logging.getLogger(__name__)


class Corrected:
    """Adds the correction to the radiometry of pairs' infrared frames. The frames' counts stay as they are. For one thread."""

    def __init__(self, correction: Correction | None) -> None:
        """correction: None for apparent temperatures."""
        self._correction, self._warned = correction, False
        self._last: tuple[Frame, Frame] | None = None

    def __call__(self, pair: FramePair) -> FramePair:
        frame, law = pair.infrared, pair.infrared.radiometry
        if self._correction is None or pair.missing == "infrared":
            return pair
        if law is None or law.scale is None:
            if not self._warned:
                log.warning("emissivity and distance change nothing: the infrared camera gives counts or a picture, not degrees")
                self._warned = True
            return pair
        if self._last is None or self._last[0] is not frame:
            # a frame that is reused stays one object
            self._last = frame, replace(frame, radiometry=replace(law, correction=self._correction))
        return replace(pair, infrared=self._last[1])
