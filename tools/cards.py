"""Writer of model cards (card.toml); docs/reference/models.md lists the keys."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = "golden.npz"


def to_toml(value: Any) -> str:
    """Format one TOML value; strings, numbers and lists are written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {to_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return "[\n" + "".join(f"  {to_toml(v)},\n" for v in value) + "]"
    return json.dumps(value)


def entry(path: Path, runtime: str, precision: str, layout: str, quantisation: str) -> dict[str, Any]:
    """Return the [[files]] entry of a model's file."""
    data = path.read_bytes()
    return {
        "name": path.name, "runtime": runtime, "precision": precision, "layout": layout, "quantisation": quantisation,
        "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip


def store(x: np.ndarray) -> np.ndarray:
    """Convert values in [0, 1] to uint16: 256 times finer than the tolerance, and a quarter of float32's size when compressed."""
    return np.round(np.clip(x, 0, 1) * 65535).astype(np.uint16)


def write(
    folder: Path, head: dict[str, Any], files: list[dict[str, Any]], tables: dict[str, dict[str, Any]], tolerance: dict[str, float]
) -> None:
    """Write card.toml: the keys of `head`, the files, the golden pair in `folder` (no digest if missing), the tables without None."""
    golden = folder / GOLDEN
    digest = hashlib.sha256(golden.read_bytes()).hexdigest() if golden.exists() else ""
    lines = [f"{k} = {to_toml(v)}" for k, v in head.items()]
    for f in files:
        lines += ["", "[[files]]"] + [f"{k} = {to_toml(v)}" for k, v in f.items()]
    for table, values in ({"golden": {"file": GOLDEN, "sha256": digest, "tolerance": tolerance}} | tables).items():
        lines += ["", f"[{table}]"] + [f"{k} = {to_toml(v)}" for k, v in values.items() if v is not None]
    (folder / "card.toml").write_text("\n".join(lines) + "\n")
