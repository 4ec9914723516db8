"""Writer of model cards (card.toml); docs/reference/models.md lists the keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgefuse import zoo
from edgefuse.runtimes import Choice, choose

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


def int8_files(folder: Path, onnx: bytes, tflite: bytes, how_onnx: str, how_tflite: str) -> list[dict[str, Any]]:
    """Write the int8 files of the model that the folder is named after, and return their entries. how: the quantisation, in words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GOLDEN).unlink(missing_ok=True)
    kinds = (("onnx", "onnx", "NCHW", onnx, how_onnx), ("tflite", "litert", "NHWC", tflite, how_tflite))
    entries = []
    for ending, runtime, layout, data, how in kinds:
        path = folder / f"{folder.name}.int8.{ending}"
        path.write_bytes(data)
        entries.append(entry(path, runtime, "int8", layout, how))
    return entries


def write_tested(
    folder: Path, head: dict[str, Any], files: list[dict[str, Any]], tables: dict[str, dict[str, Any]], tolerance: dict[str, float],
    arrays: dict[str, np.ndarray], run: Callable[[str, Choice], tuple[str, np.ndarray]],
) -> None:  # fmt: skip
    """Write the golden pair and card.toml as `write` does, after each of the int8 `files` ran.

    arrays: the golden inputs and outputs in fp32; those in int8 are added. run: gets the name of a runtime and the model in it, and returns
    the output's name and values in [0, 1]; it may add to `tables`.
    """
    # a runtime can only load a model with a card; the golden pair's digest and what `run` measures are added at the end
    write(folder, head, files, tables, tolerance)
    for file in files:
        choice = choose(zoo.read_card(folder), file["runtime"], "int8", 1)
        name, values = run(file["runtime"], choice)
        arrays[f"{name}.int8.{file['runtime']}"] = store(values)
        choice.runtime.close()
    np.savez_compressed(folder / GOLDEN, **arrays)
    write(folder, head, files, tables, tolerance)


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
