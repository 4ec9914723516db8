"""Tiny models for the NumPy runtime."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse.runtimes.numpy import NumpyRuntime
from edgefuse.zoo import Card, read_card

Array = NDArray[Any]
Steps = list[dict[str, Any]]

CARD = """
name = "tiny"
title = "Tiny"
task = "fusion"
source = "a test"
licence = "Apache-2.0"
default_precision = "fp32"
inputs = [{inputs}]
outputs = [{outputs}]
cost = {{}}
training = {{}}
quality = {{}}
[[files]]
name = "m.npz"
runtime = "numpy"
precision = "fp32"
layout = "NCHW"
quantisation = "none"
sha256 = "{digest}"
[golden]
file = "golden.npz"
sha256 = ""
tolerance = {{}}
"""
TENSOR = '{{name = "{}", shape = [1, 1, "h", "w"], layout = "NCHW", dtype = "float32", range = [0, 1], colour = "luma"}}'


def card_for(folder: Path, data: bytes, inputs: tuple[str, ...] = ("x",), outputs: tuple[str, ...] = ("y",)) -> Card:
    folder.mkdir(exist_ok=True)
    (folder / "m.npz").write_bytes(data)
    described = {k: ", ".join(TENSOR.format(n) for n in names) for k, names in (("inputs", inputs), ("outputs", outputs))}
    (folder / "card.toml").write_text(CARD.format(digest=hashlib.sha256(data).hexdigest(), **described))
    return read_card(folder)


def graph_of(steps: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(steps).encode(), np.uint8)


def npz(save: Any = np.savez, **arrays: Array) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def runtime_for(
    folder: Path, steps: Steps, arrays: Mapping[str, Array] | None = None, threads: int = 1, **names: tuple[str, ...]
) -> NumpyRuntime:
    card = card_for(folder, npz(graph=graph_of(steps), **(arrays or {})), **names)
    return NumpyRuntime(card, card.files[0], threads)


def conv_step(**more: Any) -> dict[str, Any]:
    return {"op": "conv", "in": ["x"], "out": "y", "weight": "w", "bias": "b", **more}


def arrays_for(rng: np.random.Generator, channels: int, outputs: int, kernel: int, depthwise: bool) -> dict[str, Array]:
    weight = rng.normal(size=(outputs, 1 if depthwise else channels, kernel, kernel)).astype(np.float32)
    return {"w": weight, "b": rng.normal(size=outputs).astype(np.float32)}
