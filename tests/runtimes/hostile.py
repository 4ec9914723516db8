"""Graphs for each runtime with any of their numbers at an extreme, for benchmarks/fuzz."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import random
import struct
from pathlib import Path

import numpy as np

from edgefuse import registry, zoo
from edgefuse.zoo import Card, ModelFile
from tests.runtimes.tiny import runtime_for

_NUMBERS = (
    -(2**63),
    -1,
    0,
    1,
    1,
    2,
    3,
    64,
    65,
    256,
    257,
    2**15,
    2**31 - 1,
    2**31,
    2**32 - 5,
    2**32 - 1,
    2**32 + 1,
    2**63,
    2**64 + 2,
    1.0,
    0.5,
    True,
    None,
    "1",
)
_OPERATIONS = (
    "centre",
    "concat",
    "conv",
    "max",
    "widen",
    "sigmoid",
    "clip",
    "blend",
    "pool",
    "enlarge",
    "shuffle",
    "add",
    "attend",
    "none",
)


def check_graph(rng: random.Random, folder: Path) -> None:
    """Load a graph and run it on a small picture. Raises ModelError."""
    kernel, outputs, each = rng.choice((1, 3, 3, 5)), rng.choice((1, 2, 5)), rng.choice((1, 1, 2))
    arrays = {"w": rng.choice((np.ones((outputs, each, kernel, kernel), np.float32), np.ones((1, 1, 3), np.float32)))}
    arrays["b"] = np.zeros(outputs if rng.random() < 0.95 else 9, np.float32)
    names, steps = ["x"], []
    for k in range(rng.randint(1, 5)):
        op = rng.choice((*_OPERATIONS, "conv", "conv", "conv"))
        step = {"op": op, "in": [rng.choice(names) for _ in range(rng.choice((1, 1, 2, 3)))], "out": f"t{k}", "weight": "w", "bias": "b"}
        for key in ("dilation", "stride", "groups", "relu", "contrast", "attention"):
            if rng.random() < 0.4:
                step[key] = rng.choice(_NUMBERS)
        steps.append(step)
        names.append(f"t{k}")
    steps[-1]["out"] = "y"
    side = rng.choice((1, 2, 7, 32))
    out = runtime_for(folder / "model", steps, arrays).run({"x": np.ones((1, 1, side, side + 1), np.float32)})["y"]
    assert out.ndim == 4


@functools.cache
def _sound(runtime: str) -> tuple[Card, tuple[tuple[ModelFile, bytes], ...]]:
    """The small default model, and its files for a runtime."""
    card = zoo.find("mobilefuse-edge")
    return card, tuple((file, file.verified()) for file in card.files if file.runtime == runtime)


def check_file(runtime: str, rng: random.Random, folder: Path) -> None:
    """Load an ONNX or TFLite file of which some numbers are others, and run what is taken. Raises ModelError."""
    card, files = _sound(runtime)
    file, data = rng.choice(files)
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        # most are in the descriptions, at either end of the file; a changed weight shows nothing
        at = rng.randrange(len(data)) if rng.random() < 0.3 else rng.choice((0, len(data) - 4096)) + rng.randrange(4096)
        if runtime == "litert":
            at -= at % 4
            changed[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 2, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**32 - 5, len(data))))
        elif rng.random() < 0.5:
            changed[at] = rng.choice((0, 1, 2, 127, 128, 255))
        else:
            changed[at : at + 1] = rng.choice((b"", b"\xfb\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x01\x01"))
    path = folder / file.path.name
    path.write_bytes(changed)
    loaded = registry.get("edgefuse.runtimes", runtime)(
        card, dataclasses.replace(file, path=path, sha256=hashlib.sha256(changed).hexdigest()), 1
    )  # fmt: skip
    try:
        planes = np.ones((1, 1, 24, 32) if file.layout == "NCHW" else (1, 24, 32, 1), np.float32)
        loaded.run({tensor.name: planes for tensor in card.inputs})
    finally:
        loaded.close()
