"""The fuser: converts a pair to 8 bits, registers it, and fuses it with a model."""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType
from typing import Self, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefuse import runtimes, zoo
from edgefuse.calibration.registration import Calibration, Registration
from edgefuse.errors import CalibrationError, FrameError, ModelError, SettingsError
from edgefuse.frames import FramePair, FusedFrame
from edgefuse.fusion.full_resolution import FullResolution
from edgefuse.fusion.method import Method
from edgefuse.fusion.mobilefuse_edge import MobileFuseEdge
from edgefuse.fusion.options import DEFAULT_SHARPNESS, SHARPEST, Colour
from edgefuse.fusion.prepare import check_sizes, eight_bits, infrared_8, visible_8
from edgefuse.runtimes import Choice
from edgefuse.thermal.agc import AgcKind, Polarity
from edgefuse.thermal.grey import ToGrey
from edgefuse.thermal.levels import Levels
from edgefuse.views.base import Scene
from edgefuse.views.display import Display
from edgefuse.zoo import Card


class Fuser:
    """Fuses pairs with one model.

    A fuser keeps state between frames (gain control, temporal smoothing): use one fuser per stream, and one thread at a time.
    """

    def __init__(
        self, card: Card, choice: Choice, colour: Colour = "balanced", sharpness: float = DEFAULT_SHARPNESS,
        targets: float = 1.0, steady: bool = False, agc: AgcKind = "percentile", calibration: Calibration | None = None,
        polarity: Polarity = "auto",
    ) -> None:  # fmt: skip
        """See `load` for the arguments. Raises ModelError for a model of another task, SettingsError for an option out of its range."""
        wanted, given = {"visible", "infrared"}, {t.name for t in card.inputs}
        outputs = {t.name for t in card.outputs}
        if card.task != "fusion" or given != wanted or not outputs & {"fused", "target", "map"}:
            raise ModelError(
                f"model {card.name} is for {card.task} with inputs {', '.join(sorted(given))}; fusion needs infrared and visible"
            )
        for name, value, known in (
            ("colour", colour, get_args(Colour)),
            ("agc", agc, get_args(AgcKind)),
            ("polarity", polarity, get_args(Polarity)),
        ):
            if value not in known:
                raise SettingsError(f"{name} {value!r} is not one of {', '.join(known)}")
        if not 1 <= sharpness <= SHARPEST:
            raise SettingsError(f"sharpness {sharpness:g} is not between 1 (none) and {SHARPEST:g}")
        if not 0 <= targets <= 2:
            raise SettingsError(f"targets {targets:g} is not between 0 and 2")
        self.card, self.choice, self.colour = card, choice, colour
        self._method: Method = (
            FullResolution(card, choice, colour) if "fused" in outputs else MobileFuseEdge(choice, colour, sharpness, targets, steady)
        )
        self._grey = ToGrey(agc, polarity)
        self._calibration = calibration
        self._registration: Registration | None = None
        self.display: Display | None = None  # draws what is shown; None: the fused picture as it is. May be replaced from any thread

    def fuse(self, pair: FramePair) -> FusedFrame:
        """Fuse a pair to a picture of the visible frame's size. If one frame is missing, the result is the other one, in 8 bits.

        Raises FrameError if the sizes differ and there is no calibration, or if they are not the calibration's. With a `display`, its
        picture is `data`.
        """
        display = self.display
        if pair.missing is not None:
            only = self._only(pair)
            fused = FusedFrame(cv2.cvtColor(only, cv2.COLOR_GRAY2BGR) if only.ndim == 2 and pair.visible.colour else only, pair)
            infrared = only if pair.missing == "visible" else None
            return fused if display is None else self._shown(display, fused, fused.data, infrared)
        registration = self._registered(pair)
        visible, infrared = eight_bits(pair, self._grey)
        stages_ns: dict[str, int] = {}
        if registration is not None:
            # after gain control, which is faster and more accurate on the original frame
            begin = time.perf_counter_ns()
            infrared = registration.apply(infrared)
            stages_ns["register"] = time.perf_counter_ns() - begin
        result = self._method.make(visible, infrared, pair.visible.time_ns)
        spent = {**stages_ns, **result.stages_ns}
        fused = FusedFrame(result.data, pair, spent, result.blending_map, result.scale, result.targets, result.target_scale)
        return fused if display is None else self._shown(display, fused, visible, infrared)

    def _shown(
        self, display: Display, fused: FusedFrame, visible: NDArray[np.uint8], infrared: NDArray[np.uint8] | None
    ) -> FusedFrame:  # fmt: skip
        """`fused` with the display's picture. infrared: uint8 (H, W) on the visible grid, None where missing."""
        begin = time.perf_counter_ns()
        pair, targets = fused.pair, fused.decided_targets
        if infrared is not None and self._registration is not None:
            infrared = infrared.copy()  # the registration's buffer, which `register` uses again
        levels = Levels.of(self._grey.limits, pair.infrared.radiometry) if pair.missing != "infrared" else None
        scene = Scene(pair, fused.data, visible, infrared, levels, targets, fused.target_scale, self._register)
        picture = display.draw(scene)
        if picture is fused.data:
            return fused
        stages_ns = {**fused.stages_ns, "view": time.perf_counter_ns() - begin}
        return replace(fused, data=picture, beneath=fused.data, stages_ns=stages_ns)

    def _register(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put a plane of the last infrared frame's size on the visible frame's grid."""
        return plane if self._registration is None else self._registration.apply(plane)

    def _only(self, pair: FramePair) -> NDArray[np.uint8]:
        """Return the only frame of an incomplete pair in 8 bits, of the visible frame's size if that is known. Infrared is grey."""
        if pair.missing == "infrared":
            return visible_8(pair)
        infrared = infrared_8(pair, self._grey)
        if pair.visible.size != pair.infrared.size and (registration := self._registered(pair)) is not None:
            infrared = registration.apply(infrared).copy()  # of its buffer, which the next frame overwrites
        return infrared

    def _registered(self, pair: FramePair) -> Registration | None:
        if self._calibration is None:
            check_sizes(pair)
            return None
        sizes = pair.visible.size, pair.infrared.size
        if self._registration is None or (self._registration.visible_size, self._registration.infrared_size) != sizes:
            try:
                self._registration = Registration(self._calibration, *sizes)
            except CalibrationError as e:
                raise FrameError(pair.name, "size", f"{pair.name}: {e}") from None
        return self._registration

    @property
    def stages(self) -> tuple[str, ...]:
        """Keys of `FusedFrame.stages_ns`, in order."""
        before = () if self._calibration is None else ("register",)
        return (*before, *self._method.STAGES, *(() if self.display is None else ("view",)))

    def close(self) -> None:
        self._method.close()
        self.choice.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def load(
    model: str = zoo.DEFAULT_MODEL, runtime: str = "auto", precision: str | None = None, threads: int | None = None,
    colour: Colour = "balanced", sharpness: float = DEFAULT_SHARPNESS, targets: float = 1.0, steady: bool = False,
    agc: AgcKind = "percentile", calibration: Calibration | None = None, polarity: Polarity = "auto",
) -> Fuser:  # fmt: skip
    """Load a model and return its fuser.

    model: a name, or a folder with a model card. runtime, precision, threads: see `edgefuse.runtimes.choose`.
    colour: weight of the visible chroma (`edgefuse.fusion.colour`).
    sharpness: gain of the fine details above 7 levels, 1 (unchanged) to 2, in steps of 1/16. Without gain, each detail band of the picture
        lies between those of the two frames and zero, except at targets.
    targets: how readily the picture is changed towards the infrared frame where the blend would lose a warm object: 0 (never), 1 (where the
        network sees a target) to 2 (always). Models that compute the picture at full resolution ignore `sharpness` and `targets`.
    steady: treat the pairs as frames of one video: smooth the map over time where the scene does not change, and average noise.
    agc: how 16-bit infrared is converted to 8 bits (`edgefuse.thermal.agc`).
    calibration: maps infrared frames of another size or view onto the visible grid (`edgefuse.calibration.registration.load` reads one).
        Without it both frames must have one size and be registered.
    polarity: `black-hot` for a camera that shows warm objects dark. False colours are always converted to grey
        (`edgefuse.thermal.false_colour`).

    Raises SettingsError for an option out of its range, ModelError for an unknown, damaged or unsuitable model.
    """
    card = zoo.find(model, "fusion")
    return Fuser(card, runtimes.choose(card, runtime, precision, threads), colour, sharpness, targets, steady, agc, calibration, polarity)
