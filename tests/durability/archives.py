"""What must hold of an archive after whatever happened to it: no original is lost, and what the manifest calls done is there and whole."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from edgefuse.errors import EdgeFuseError
from edgefuse.hyperspectral.codec import spectral_edge


def records(out: Path) -> dict[str, dict[str, object]]:
    """The last whole line of each name in the manifest of `out`."""
    contents = {}
    path = out / "manifest.jsonl"
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            record = json.loads(line)
            contents[record["name"]] = record
        except (ValueError, KeyError, TypeError):
            continue
    return contents


def torn(out: Path) -> list[str]:
    """Names that the manifest calls done without a whole copy."""
    bad = []
    for name, record in records(out).items():
        target = record.get("target")
        if record.get("state") != "done" or not isinstance(target, dict):
            continue
        path = out / target["file"]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != target["sha256"]:
            bad.append(name)
    return bad


def lost(folder: Path, originals: dict[str, bytes]) -> list[str]:
    """Originals of which neither the file, under any name, nor an .efz file that decodes to it is below `folder`."""
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    decoded = []
    for data in files:
        if data.startswith(b"EFZ\x1a"):
            try:
                decoded.append(spectral_edge.decode(data))
            except EdgeFuseError:
                continue
    missing = []
    for name, data in originals.items():
        samples = np.load(io.BytesIO(data))
        if data not in files and not any(samples.dtype == d.dtype and np.array_equal(samples, d) for d in decoded):
            missing.append(name)
    return missing


def leftovers(folder: Path) -> list[str]:
    """Unfinished files below `folder`."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.name.endswith(".part") or ".part." in path.name]
