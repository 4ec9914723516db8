"""The fuser: prepares a pair for a model, has it fused, and hands the picture on."""

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
from edgefuse.fusion.edge import Edge
from edgefuse.fusion.full_resolution import FullResolution
from edgefuse.fusion.method import Method
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
    """Fuses pairs with one model. Keeps state between frames (gain control, steadiness): one fuser a stream, one thread at a time."""

    def __init__(
        self, card: Card, choice: Choice, colour: Colour = "balanced", sharpness: float = DEFAULT_SHARPNESS,
        targets: float = 1.0, steady: bool = False, agc: AgcKind = "percentile", calibration: Calibration | None = None,
        polarity: Polarity = "auto",
    ) -> None:  # fmt: skip
        """`load` describes the arguments. Raises ModelError where the model is not one that fuses a visible and an infrared frame."""
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
            FullResolution(card, choice, colour) if "fused" in outputs else Edge(choice, colour, sharpness, targets, steady)
        )
        self._grey = ToGrey(agc, polarity)
        self._calibration = calibration
        self._registration: Registration | None = None
        self.display: Display | None = None  # draws what is shown; None: the fused picture as it is. May be replaced from any thread

    def fuse(self, pair: FramePair) -> FusedFrame:
        """The fused frame, of the visible frame's size. Raises FrameError where the pair's sizes differ, or from the calibration's.

        Where one of the frames is missing, the other one comes out as it is, in 8 bits. With a `display`, its picture is `data`.
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
            # after gain control: that is cheaper, and truer, on the frame as it comes
            begin = time.perf_counter_ns()
            infrared = registration.apply(infrared)
            stages_ns["register"] = time.perf_counter_ns() - begin
        made = self._method.make(visible, infrared, pair.visible.time_ns)
        spent = {**stages_ns, **made.stages_ns}
        fused = FusedFrame(made.data, pair, spent, made.blending_map, made.scale, made.targets, made.target_scale)
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
        """The one picture of a pair whose other frame is missing; of the visible frame's size where that is known. Infrared is grey."""
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
        """The keys of `FusedFrame.stages_ns`, in order."""
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
    """A fuser for the model `model` (a name or a folder with a card).

    runtime, precision, threads: as `edgefuse.runtimes.choose` describes them. colour: what happens to the visible chroma
    (`edgefuse.fusion.colour`). sharpness: gain of the fine details above 7 levels, 1 (none: each detail band of the picture lies
    between the two frames' own and zero, but for targets) to 2, in sixteenths. targets: how readily a warm thing that the blend would
    lose pulls the picture to the infrared frame, 0 (never) through 1 (where the network takes it for a target) to 2 (always).
    Models that draw the picture at full resolution know neither. steady: the pairs are frames of one video, so let the
    map hold still where the scene does, and average what is only noise. agc: how 16-bit infrared becomes 8 bit (`edgefuse.thermal.agc`).
    calibration: puts infrared frames of the camera's own size and view on the visible grid
    (`edgefuse.calibration.registration.load` reads one); without it both frames are to be of one size and in register.
    polarity: `black-hot` for a camera that shows warm things dark; false colours are taken back to one axis in any case
    (`edgefuse.thermal.false_colour`).
    """
    card = zoo.find(model, "fusion")
    return Fuser(card, runtimes.choose(card, runtime, precision, threads), colour, sharpness, targets, steady, agc, calibration, polarity)
