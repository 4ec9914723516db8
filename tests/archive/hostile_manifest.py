"""Manifests with extreme records and torn lines, from a seed, in large numbers (10 million) for benchmarks/fuzz."""

from __future__ import annotations

import copy
import io
import json
import random
from pathlib import Path
from typing import Any

from edgefuse.archive.manifest import NAME, Index, Manifest, intact, parse_record
from tests.hyperspectral.mutate import mutations

_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 70, 1e308, float("nan"), "", "done", "bad", "../../etc/passwd", "/etc/passwd", "a\x1b[2J\nb", "a\0b", "\ud800",
    "x" * 300, [], {}, [[]], {"file": 5}, {"file": "a\0b", "bytes": 1}, [{"file": "\ud800", "bytes": 1}], [None], "0.EFZ",
    "\N{LATIN SMALL LETTER E WITH ACUTE}.efz",
)  # fmt: skip
_LINES = (
    b"", b"\r", b" ", b"null", b"[]", b"{}", b"{", b"\xff\xfe", b"\x00", b"[" * 100_000, b"1" * 5000, b'{"name": "0"}',
    b'{"name": 0, "state": "done"}',
)  # fmt: skip


def _record(rng: random.Random, name: str) -> dict[str, Any]:
    target = {"file": f"{name}.efz", "bytes": 3, "sha256": "0" * 64}
    source = [{"file": "a", "bytes": 1, "mtime_ns": 2, "sha256": "1" * 64}]
    return {"name": name, "state": rng.choice(("done", "done", "done", "bad", "stale")), "settings": {}, "source": source, "target": target}


def hostile_lines(rng: random.Random) -> tuple[bytes, dict[str, dict[str, Any]], set[str]]:
    """Return the bytes of a manifest, the last record of each name in it, and the names of the files that no other cube may overwrite."""
    lines: list[bytes] = []
    records: dict[str, dict[str, Any]] = {}
    files: set[str] = set()
    for _ in range(rng.randrange(1, 5)):
        if rng.random() < 0.15:
            lines.append(rng.choice(_LINES))
            continue
        record = _record(rng, rng.choice(("0", "1", "2", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a\nb")))
        for _ in range(rng.choice((0, 0, 1, 2))):
            of = rng.choice((record, record, record["target"], record["source"]))
            if isinstance(of, list):
                of = of[0] if of and isinstance(of[0], dict) else record
            if isinstance(of, dict):
                of[rng.choice(("beside", "x", *of))] = copy.deepcopy(rng.choice(_VALUES))
            record.setdefault("source", []), record.setdefault("target", None)
        line = json.dumps(record, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:
            # torn by a power cut: no line begins in it
            line = line[: rng.randrange(len(line))]
        elif isinstance(record["name"], str) and isinstance(record["state"], str):
            records[record["name"]] = record
            target = record["target"]
            if record["state"] == "done" and isinstance(target, dict) and isinstance(target.get("file"), str):
                files.add(target["file"])
        lines.append(line)
    return b"\n".join(lines) + (b"\n" if rng.random() < 0.7 else b""), records, files


def check_lines(rng: random.Random, folder: Path) -> None:
    """Read a manifest from memory: what was written is found, and nothing that it says raises an error. folder: of no files."""
    data, records, files = hostile_lines(rng)
    index = Index()
    index.read(io.BytesIO(data))
    assert index.torn == (bool(data) and not data.endswith(b"\n"))
    for name, record in records.items():
        offset = index.offsets[name]
        parsed = parse_record(data[offset : data.find(b"\n", offset) + 1 or len(data)])
        assert parsed is not None
        # NaN differs from itself
        assert parsed == record or "NaN" in repr(parsed) or repr(parsed) == repr(record), (parsed, record)
        assert not intact(parsed, folder)
    for file in files:
        assert index.taken(file)
        assert index.taken(file.upper())
    if rng.random() < 0.1:
        # whatever is in the lines
        index.read(io.BytesIO(next(mutations(data, 1, rng.getrandbits(32)))))


def check_folder(rng: random.Random, folder: Path) -> None:
    """Load such a manifest from a file, ask for its records, and append to it."""
    data, records, _ = hostile_lines(rng)
    if rng.random() < 0.3:
        data, records = next(mutations(data, 1, rng.getrandbits(32))), {}
    path = folder / NAME
    path.write_bytes(data)
    with Manifest(folder) as manifest:
        for name in (*records, "", "0", "a\nb"):
            parsed = manifest.record(name)
            assert name not in records or parsed is not None
            assert not manifest.done(name, [folder / "a"], {})
            manifest.taken(f"{name}.efz")
        manifest.append({"name": "new", "state": "bad", "settings": {}, "message": "x"})
        new = manifest.record("new")
        assert new is not None
        assert new["message"] == "x"
    assert path.stat().st_size > len(data)
    with Manifest(folder) as manifest:
        assert manifest.record("new") == new
        assert all(manifest.record(name) is not None for name in records)
