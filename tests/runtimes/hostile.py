"""Graphs for the NumPy runtime with any of their numbers at an extreme, for benchmarks/fuzz.py."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

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
