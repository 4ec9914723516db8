"""Another project's fusion model, an ONNX file: its inputs are inspected, and frames are converted to them.

A peer has two picture inputs and one output: (1, C, H, W) or (1, H, W, C), one or three channels, any or a fixed size, float or uint8.
The input scaling cannot be inspected: three float channels get RGB / 255 with ImageNet's mean and standard deviation, as IFCNN uses; one
channel gets luma / 255; uint8 is unscaled. The values do not affect the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgefuse.errors import ModelError
from edgefuse.frames import FramePair
from edgefuse.fusion import colour
from edgefuse.runtimes.onnx import checked, import_onnxruntime

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_DTYPES: dict[str, DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_INFRARED = ("infrared", "thermal", "ir", "lwir", "fir", "inf")
_VISIBLE = ("visible", "vis", "vi", "rgb", "color", "colour")


@dataclass(frozen=True, slots=True)
class Port:
    """One input. size: (width, height) where the model accepts no other."""

    name: str
    layout: str
    channels: int
    size: tuple[int, int] | None
    dtype: DTypeLike

    def __str__(self) -> str:
        size = "any size" if self.size is None else f"{self.size[0]} x {self.size[1]}"
        return (
            f"{self.name} ({self.layout}, {self.channels} channel{'s' if self.channels > 1 else ''}, {np.dtype(self.dtype).name}, {size})"
        )


class Peer:
    """The peer in onnxruntime on the CPU, with idle threads asleep as for our models. ports: of the visible and the infrared frame."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Raises ModelError, naming the file, where it cannot be loaded or its inputs are not two pictures."""
        onnxruntime = import_onnxruntime("a peer")
        self.path, self.threads = path, threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            data = checked(path.read_bytes(), path)
        except OSError as e:
            raise ModelError(f"{path}: {e.strerror}; give a peer's .onnx file") from None
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            raise ModelError(f"{path}: onnxruntime can't load this peer ({_first_line(e)})") from e
        self.ports = _ports(path, self._session.get_inputs())
        self._output = self._session.get_outputs()[0].name

    def network(self, inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the first output. Raises ModelError where the peer fails on these inputs."""
        try:
            return self._session.run([self._output], inputs)[0]
        except Exception as e:
            sizes = ", ".join(str(v.shape) for v in inputs.values())
            raise ModelError(f"{self.path}: the peer fails on {sizes} ({_first_line(e)}); try another --size") from e

    def inputs(self, pair: FramePair) -> dict[str, NDArray[Any]]:
        """Convert both frames to the peer's inputs."""
        frames = pair.visible.data, pair.infrared.data
        return {port.name: prepare(image, port) for port, image in zip(self.ports, frames, strict=True)}

    def end_to_end(self, pair: FramePair) -> NDArray[np.uint8]:
        """Return the fused picture, uint8 in the visible frame's shape. Raises ModelError where the output is not a picture."""
        return self._picture(self.network(self.inputs(pair)), pair)

    def _picture(self, out: NDArray[Any], pair: FramePair) -> NDArray[np.uint8]:
        visible, (width, height) = self.ports[0], pair.visible.size
        planes = out[0] if out.ndim == 4 and len(out) == 1 else out
        if planes.ndim == 3 and planes.shape[0] in (1, 3):
            planes = planes.transpose(1, 2, 0)
        if planes.ndim == 2:
            planes = planes[..., None]
        if planes.ndim != 3 or planes.shape[2] not in (1, 3) or 0 in planes.shape:
            raise ModelError(f"{self.path}: gives {out.shape}, expected one picture of one or three channels")
        if planes.dtype != np.uint8:
            values = planes.astype(np.float32, copy=False)
            if visible.channels == 3 and planes.shape[2] == 3:
                values = values * DEVIATION + MEAN
            planes = np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)
        if planes.shape[:2] != (height, width):
            planes = cv2.resize(planes, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
        if planes.shape[2] == 3:
            return cv2.cvtColor(np.ascontiguousarray(planes), cv2.COLOR_RGB2BGR)
        visible_frame: NDArray[Any] = pair.visible.data
        # luma only: the visible frame's colour is added again, as such models' authors do
        return colour.join(np.ascontiguousarray(planes[..., 0]), colour.split(visible_frame)[1], None, "keep")


def prepare(image: NDArray[Any], port: Port) -> NDArray[Any]:
    """Convert `image`, uint8 (H, W) or BGR (H, W, 3), to an input's format."""
    if port.size is not None and image.shape[1::-1] != port.size:
        image = cv2.resize(image, port.size, interpolation=cv2.INTER_AREA)
    if port.channels == 3:
        planes = cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.ndim == 3 else cv2.COLOR_GRAY2RGB)
    else:
        planes = (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image)[..., None]
    if port.dtype != np.uint8:
        planes = planes.astype(np.float32) / 255
        if port.channels == 3:
            planes = (planes - MEAN) / DEVIATION
    if port.layout == "NCHW":
        planes = planes.transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None], port.dtype)


class Input(Protocol):
    """A model's input as onnxruntime describes it: a free side is a name or None."""

    name: str
    shape: Sequence[int | str | None]
    type: str


def _ports(path: Path, inputs: Sequence[Input]) -> tuple[Port, Port]:
    """Return (the visible frame's input, the infrared frame's), by their names, else in the model's order."""
    if len(inputs) != 2:
        names = ", ".join(i.name for i in inputs)
        raise ModelError(
            f"{path}: has {len(inputs)} input{'s' if len(inputs) != 1 else ''} ({names}); a peer has two, visible and infrared"
        )
    first, second = (_port(path, i.name, i.shape, i.type) for i in inputs)
    if _says(first.name, _INFRARED) or (_says(second.name, _VISIBLE) and not _says(first.name, _VISIBLE)):
        first, second = second, first
    return first, second


def _says(name: str, words: tuple[str, ...]) -> bool:
    parts = "".join(c if c.isalpha() else " " for c in name.lower()).split()
    return any(part in words for part in parts)


def _port(path: Path, name: str, shape: Sequence[int | str | None], kind: str) -> Port:
    wanted = "a peer's inputs are pictures, (1, C, H, W) or (1, H, W, C) with one or three channels, float or uint8"
    description = f"{path}: input {name} is {kind} of {tuple(shape)}"
    if kind not in _DTYPES or len(shape) != 4 or (isinstance(shape[0], int) and shape[0] != 1):
        raise ModelError(f"{description}; {wanted}")
    if shape[1] in (1, 3):
        layout, channels, height, width = "NCHW", shape[1], shape[2], shape[3]
    elif shape[3] in (1, 3):
        layout, channels, height, width = "NHWC", shape[3], shape[1], shape[2]
    else:
        raise ModelError(f"{description}; {wanted}")
    fixed = (width, height) if isinstance(height, int) and isinstance(width, int) else None
    if fixed is None and (isinstance(height, int) or isinstance(width, int)):
        raise ModelError(f"{description}; both sides must be free, or both fixed")
    return Port(name, layout, channels, fixed, _DTYPES[kind])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
