"""Implements `edgefuse.fuse`, which fuses one visible and one infrared image, given as arrays or image files."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefuse import runtimes, zoo
from edgefuse.calibration import registration
from edgefuse.errors import FrameError
from edgefuse.frames import Frame, FramePair, Modality
from edgefuse.fusion.fuser import Fuser
from edgefuse.fusion.options import DEFAULT_SHARPNESS, Colour
from edgefuse.runtimes import Choice
from edgefuse.thermal.agc import AgcKind
from edgefuse.util import images
from edgefuse.util.uri import expand
from edgefuse.zoo import Card

Image = NDArray[np.uint8] | NDArray[np.uint16] | str | os.PathLike[str]


class _Loaded(NamedTuple):
    card: Card
    runtime: str
    choice: Choice


_lock = threading.Lock()  # a loaded model runs one frame at a time
_last: _Loaded | None = None


def fuse(
    visible: Image, infrared: Image, *, model: str = zoo.DEFAULT_MODEL, runtime: str = "auto", colour: Colour = "balanced",
    sharpness: float = DEFAULT_SHARPNESS, targets: float = 1.0, agc: AgcKind = "percentile",
    calibration: str | os.PathLike[str] | None = None,
) -> NDArray[np.uint8]:  # fmt: skip
    """Fuse one visible and one infrared image.

    Calls are independent: only the loaded model is kept from one call to the next. For the frames of a video or of cameras use
    `edgefuse.load`, whose fuser keeps the state of the stream.

    Args:
        visible: uint8 or uint16, (H, W) grey or (H, W, 3) in BGR order, full range; or the path of an image file.
        infrared: as `visible`, and of its size unless a calibration is given; 16-bit values are sensor counts of any range.
        model: the name of a model, or a folder that holds a model card.
        runtime: `auto`, `onnx`, `litert` or `numpy`.
        colour: how much of the visible image's colour stays: `keep`, `balanced` or `benchmark`.
        sharpness: gain of the details, 1 (unchanged) to 2.
        targets: how readily warm targets are taken from the infrared image, 0 (never) to 2 (always).
        agc: how 16-bit infrared is converted to 8 bits: `percentile`, `clahe` or `off`.
        calibration: a file made by `edgefuse calibrate`, for an infrared image of another size or view.

    Returns:
        The fused image: uint8, (H, W) where the visible image is grey, else (H, W, 3) in BGR order.

    Raises:
        FrameError: an image can't be read, its type or shape is not one of these, or the sizes differ and there is no calibration.
        SettingsError: an option is out of its range.
        ModelError: there is no such model, or its file is damaged.
    """
    global _last
    pair = FramePair(_frame(visible, "visible"), _frame(infrared, "infrared"), 0)
    geometry = registration.load(expand(os.fspath(calibration))) if calibration is not None else None
    if geometry is None and pair.visible.size != pair.infrared.size:
        sizes = " and infrared ".join("{} x {}".format(*f.size) for f in (pair.visible, pair.infrared))
        raise FrameError("pair", "size", f"visible is {sizes} pixels; edgefuse calibrate makes a file that calibration= takes")
    card = zoo.find(model, "fusion")
    with _lock:
        if _last is None or (_last.card, _last.runtime) != (card, runtime):
            _last = None  # free the previous model before the next is loaded
            _last = _Loaded(card, runtime, runtimes.choose(card, runtime))
        fuser = Fuser(card, _last.choice, colour, sharpness, targets, False, agc, geometry)
        return fuser.fuse(pair).data


def _frame(image: Image, modality: Modality) -> Frame:
    """Convert an image to a Frame. Raises FrameError for anything else."""
    if isinstance(image, (str, os.PathLike)):
        path = expand(os.fspath(image))
        return Frame(_read(path), modality, 0, str(path))
    if not isinstance(image, np.ndarray):
        raise FrameError(modality, "unreadable", f"{modality} is {type(image).__name__}; give a NumPy array, or the path of an image file")
    if isinstance(image, np.ma.MaskedArray):
        raise FrameError(modality, "layout", f"{modality} is a masked array; fill what is masked first")
    grey_or_colour = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype.name not in ("uint8", "uint16") or not grey_or_colour or image.size == 0:
        problem = f"{modality} is {image.dtype} {image.shape}; expected uint8 or uint16, (height, width) or (height, width, 3)"
        raise FrameError(modality, "layout", problem + _hint(image))
    if image.dtype == np.uint8:
        return Frame(np.ascontiguousarray(image, np.uint8), modality, 0, modality)
    return Frame(np.ascontiguousarray(image, np.uint16), modality, 0, modality)


def _hint(image: NDArray[Any]) -> str:
    """Return advice on how to convert an image of another type or shape; empty if there is none."""
    if image.dtype.kind == "f":
        return ". For values from 0 to 1: (255 * image).round().astype(numpy.uint8)"
    if image.ndim == 3 and image.shape[2] in (1, 4):
        return ". Take image[..., 0]" if image.shape[2] == 1 else ". Drop the alpha channel: image[..., :3]"
    return ""


def _read(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    try:
        return images.read(path)
    except ValueError as e:
        raise FrameError(str(path), "unreadable", f"{path} {e}") from None
