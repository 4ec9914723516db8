"""A model's card.toml, written: docs/reference/models.md lists its keys."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = "golden.npz"


def to_toml(value: Any) -> str:
    """One TOML value; JSON's texts, numbers and lists are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {to_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return "[\n" + "".join(f"  {to_toml(v)},\n" for v in value) + "]"
    return json.dumps(value)


def entry(path: Path, runtime: str, precision: str, layout: str, quantisation: str) -> dict[str, Any]:
    """[[files]]: one of a model's files, as it lies there."""
    data = path.read_bytes()
    return {
        "name": path.name, "runtime": runtime, "precision": precision, "layout": layout, "quantisation": quantisation,
        "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip


def store(x: np.ndarray) -> np.ndarray:
    """[0, 1] as uint16: 256 times finer than the tolerance, a quarter of float32's size when packed."""
    return np.round(np.clip(x, 0, 1) * 65535).astype(np.uint16)


def write(
    folder: Path, head: dict[str, Any], files: list[dict[str, Any]], tables: dict[str, dict[str, Any]], tolerance: dict[str, float]
) -> None:
    """card.toml: `head`'s keys, the files, the golden pair as it lies in `folder` (nothing yet: no digest), and the tables but for None."""
    golden = folder / GOLDEN
    digest = hashlib.sha256(golden.read_bytes()).hexdigest() if golden.exists() else ""
    lines = [f"{k} = {to_toml(v)}" for k, v in head.items()]
    for f in files:
        lines += ["", "[[files]]"] + [f"{k} = {to_toml(v)}" for k, v in f.items()]
    for table, values in ({"golden": {"file": GOLDEN, "sha256": digest, "tolerance": tolerance}} | tables).items():
        lines += ["", f"[{table}]"] + [f"{k} = {to_toml(v)}" for k, v in values.items() if v is not None]
    (folder / "card.toml").write_text("\n".join(lines) + "\n")
