"""A detector model as docs/how-to/detection.md describes one: it takes the brightest of twelve cells for a person."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.support import onnx_file

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/detection.md"
CELLS = [(row, column) for row in range(3) for column in range(4)]


def boxes() -> np.ndarray:
    """Return the cells' boxes, left, top, right, bottom in shares."""
    return np.array([[(column / 4, row / 3, (column + 1) / 4, (row + 1) / 3) for row, column in CELLS]], np.float32)


def onnx() -> bytes:
    """Return the network: the mean of each cell of 8 x 8 pixels is its score."""
    nodes = [
        onnx_file.node("AveragePool", ["infrared"], "cells", kernel_shape=(8, 8), strides=(8, 8)),
        onnx_file.node("Reshape", ["cells", "flat"], "scores"),
        onnx_file.node("Identity", ["places"], "boxes"),
    ]
    constants = {"flat": np.array([1, 12], np.int64), "places": boxes()}
    return onnx_file.model(nodes, constants, {"infrared": (1, 1, 24, 32)}, {"boxes": (1, 12, 4), "scores": (1, 12)})


def card() -> str:
    """Return the card in the documentation."""
    if not PAGE.is_file():
        pytest.skip("docs/ is not beside these tests; they run in a checkout")
    return PAGE.read_text().split("```toml\n# people-cells/card.toml\n", 1)[1].split("```", 1)[0]


def write(folder: Path, text: str | None = None, network: bytes | None = None) -> Path:
    """Write the model's folder with the right digests, and return it."""
    made = folder / "people-cells"
    made.mkdir()
    data = onnx() if network is None else network
    (made / "people-cells.fp32.onnx").write_bytes(data)
    picture = np.zeros((24, 32), np.uint8)
    picture[8:16, 16:24] = 255
    scores = picture.reshape(3, 8, 4, 8).mean(axis=(1, 3)).reshape(1, 12)
    golden = {
        "infrared": picture,
        "boxes.fp32": np.round(boxes()[0] * 65535).astype(np.uint16),
        "scores.fp32": np.round(scores / 255 * 65535).astype(np.uint16),
    }
    np.savez(made / "golden.npz", **golden)  # type: ignore[arg-type]
    told = (text or card()).replace("SHA256_OF_THE_ONNX_FILE", hashlib.sha256(data).hexdigest())
    told = told.replace("SHA256_OF_GOLDEN_NPZ", hashlib.sha256((made / "golden.npz").read_bytes()).hexdigest())
    (made / "card.toml").write_text(told)
    return made
